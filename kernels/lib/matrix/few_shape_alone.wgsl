// Products of few rows by invocations that each make a panel, eight rows of weights, by up to eight
// rows of activations alone, all columns of them (TEAM is 1). For adapters that are processors: to
// load an element takes them as long for all lanes together as it takes a lane, so that each lane
// loads a part of the activations that all of them multiply by. Uses the kernel's x_row().
#import "lib/matrix/few.wgsl"
#import "lib/matrix/tile_job.wgsl"
#import "lib/team/share.wgsl"

const TILE_X = 8u;
const FEW_ROWS = 8u;

// A name for the size: wgpu (naga 29) panics over a formula of overrides that are declared later.
override OWN_SUMS: u32 = THREADS * TILE_X * 2;
var<workgroup> own_sums: array<vec4f, OWN_SUMS>; // [invocation, row of x, half of the panel]

fn sum_of(m: u32, r: u32, lane: Lane) -> f32 {
  return own_sums[(lane.index * TILE_X + m) * 2 + r / 4][r % 4];
}

// Which rows of x are the job's m-th to its (m + 3)-th; those it lacks repeat the last one.
fn x_rows(job: Job, m: u32) -> vec4u {
  let last = job.count - 1;
  return vec4u(
    x_row(job, min(m, last)),
    x_row(job, min(m + 1, last)),
    x_row(job, min(m + 2, last)),
    x_row(job, min(m + 3, last)),
  );
}

// Sums of a panel by four rows of x.
struct Panel {
  near: mat4x4f, // rows 0 .. 3 of weights, by each row of x
  far: mat4x4f, // rows 4 .. 7
}

// Adds the products with `left` rows of x, four at most.
fn add_four(
  sums: ptr<function, Panel>, v: Weights, w: Weights, at: vec4u, share: Share, left: u32, step: u32, lane: Lane,
) {
  let loaded = load_share(share, step, lane);
  let a = shared_columns(loaded, 0, at.x, step, lane);
  (*sums).near[0] = plus_products((*sums).near[0], v, a);
  (*sums).far[0] = plus_products((*sums).far[0], w, a);
  if (left > 1) {
    let b = shared_columns(loaded, 1, at.y, step, lane);
    (*sums).near[1] = plus_products((*sums).near[1], v, b);
    (*sums).far[1] = plus_products((*sums).far[1], w, b);
  }
  if (left > 2) {
    let c = shared_columns(loaded, 2, at.z, step, lane);
    (*sums).near[2] = plus_products((*sums).near[2], v, c);
    (*sums).far[2] = plus_products((*sums).far[2], w, c);
  }
  if (left > 3) {
    let d = shared_columns(loaded, 3, at.w, step, lane);
    (*sums).near[3] = plus_products((*sums).near[3], v, d);
    (*sums).far[3] = plus_products((*sums).far[3], w, d);
  }
}

// Rows `row` .. `row + 7` of the job's expert, row a multiple of 8, times the job's rows of x: the
// invocation's sums (sum_of()). Contains barriers: call it in uniform control flow.
fn make_sums(job: Job, row: u32, lane: Lane) {
  let at_a = x_rows(job, 0);
  let at_b = x_rows(job, 4);
  let share_a = share_of(at_a, lane);
  let share_b = share_of(at_b, lane);
  var a = Panel();
  var b = Panel();
  for (var step = 0u; step < part.groups * STEPS; step++) {
    let v = weights_at(job.expert, row / 8, 0, step);
    let w = weights_at(job.expert, row / 8, 1, step);
    add_four(&a, v, w, at_a, share_a, job.count, step, lane);
    if (job.count > 4) {
      add_four(&b, v, w, at_b, share_b, job.count - 4, step, lane);
    }
  }
  let to = lane.index * TILE_X * 2;
  for (var m = 0u; m < 4; m++) {
    own_sums[to + m * 2] = a.near[m];
    own_sums[to + m * 2 + 1] = a.far[m];
    own_sums[to + m * 2 + 8] = b.near[m];
    own_sums[to + m * 2 + 9] = b.far[m];
  }
  workgroupBarrier();
}
