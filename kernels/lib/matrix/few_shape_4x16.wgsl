// Products of few rows in the shape of half a panel, four rows of weights, by up to sixteen rows of
// activations, by a team of TEAM invocations, which stride over the columns: as many sums as an
// invocation has registers for. Every weight is read and unpacked once for all of them; rows that
// the job lacks are not multiplied. Uses the kernel's x_row().
#import "lib/matrix/few.wgsl"
#import "lib/matrix/tile_job.wgsl"
#import "lib/team/sums.wgsl"

const TILE_X = 16u;
const FEW_ROWS = 4u;

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

// Adds the products with `left` rows of x, four at most.
fn add_four(sums: ptr<function, mat4x4f>, w: Weights, at: vec4u, left: u32, step: u32) {
  (*sums)[0] = plus_products((*sums)[0], w, columns_at(at.x, step));
  if (left > 1) {
    (*sums)[1] = plus_products((*sums)[1], w, columns_at(at.y, step));
  }
  if (left > 2) {
    (*sums)[2] = plus_products((*sums)[2], w, columns_at(at.z, step));
  }
  if (left > 3) {
    (*sums)[3] = plus_products((*sums)[3], w, columns_at(at.w, step));
  }
}

fn put_four(slot: u32, sums: mat4x4f, lane: Lane) {
  put_sum(slot, sums[0], lane);
  put_sum(slot + 1, sums[1], lane);
  put_sum(slot + 2, sums[2], lane);
  put_sum(slot + 3, sums[3], lane);
}

// Rows `row` .. `row + 3` of the job's expert, row a multiple of 4, times the job's rows of x: the
// team's sums (sum_of()). Contains barriers: call it in uniform control flow.
fn make_sums(job: Job, row: u32, lane: Lane) {
  let at_a = x_rows(job, 0);
  let at_b = x_rows(job, 4);
  let at_c = x_rows(job, 8);
  let at_d = x_rows(job, 12);
  var a = mat4x4f(); // by the first four rows of activations
  var b = mat4x4f();
  var c = mat4x4f();
  var d = mat4x4f();
  for (var first = lane.index % TEAM * EACH; first < part.groups * STEPS; first += TEAM * EACH) {
    for (var step = first; step < first + EACH; step++) {
      let w = weights_at(job.expert, row / 8, row / 4 % 2, step);
      add_four(&a, w, at_a, job.count, step);
      if (job.count > 4) {
        add_four(&b, w, at_b, job.count - 4, step);
      }
      if (job.count > 8) {
        add_four(&c, w, at_c, job.count - 8, step);
      }
      if (job.count > 12) {
        add_four(&d, w, at_d, job.count - 12, step);
      }
    }
  }
  put_four(0, a, lane);
  if (job.count > 4) {
    put_four(4, b, lane);
  }
  if (job.count > 8) {
    put_four(8, c, lane);
  }
  if (job.count > 12) {
    put_four(12, d, lane);
  }
  workgroupBarrier();
}
