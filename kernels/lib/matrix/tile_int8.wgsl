// A tile of 64 rows of int8 activations by 64 rows of quantized weights, by a workgroup of
// 256, both staged in workgroup memory, four products an instruction. Uses the kernel's
// x_row() and store_pair().
//
// A group of 32 columns a step: half of the invocations bring in weights, unpacked once for the
// whole tile, the other half activations, each four columns of four rows, fetched while the step
// before is multiplied; neighbours write and read neighbouring cells. An invocation multiplies four
// rows by four, exactly, and scales the sums of each group. Quads of activations that an expert
// does not have are neither brought in nor multiplied.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/int8_stride.wgsl"
#import "lib/matrix/tile_job.wgsl"
#import "lib/matrix/tile_store.wgsl"
requires packed_4x8_integer_dot_product;

// A row is its quants, a word four columns, then a scale (f32) a group: quantize.wgsl.
@group(0) @binding(3) var<storage, read> x: array<u32>;

const TILE_X = 64u;
const TILE_W = 64u;
const TILE_THREADS = 256u;

// [half of a group][word of it][quad of rows]: an index each, because checks of an index that is
// the same all along, or known, cost nothing.
var<workgroup> x_tile: array<array<array<vec4u, 16>, 4>, 2>;
var<workgroup> w_tile: array<array<array<vec4u, 16>, 4>, 2>;
var<workgroup> x_scales: array<vec4f, 16>; // [quad of rows]
var<workgroup> w_scales: array<vec4f, 16>;
var<workgroup> w_offsets: array<vec4f, 16>; // OFFSETS: a format's weights are less these

// What an invocation loads for the tile.
struct Source {
  weights: bool,
  expert: u32,
  row: u32, // of the weights
  at: vec4u, // where four rows of activations start
}

fn x4(at: vec4u) -> vec4u {
  return vec4u(x[at.x], x[at.y], x[at.z], x[at.w]);
}

// Four columns of four rows: a word a row.
fn fetch(source: Source, quad: u32) -> vec4u {
  if (source.weights) {
    return levels4x4(source.expert, source.row, quad);
  }
  return x4(source.at + quad);
}

fn fetch_scales(source: Source, group: u32) -> vec4f {
  if (source.weights) {
    return scales4(source.expert, source.row / 8, source.row / 4 % 2, group * 4);
  }
  return bitcast<vec4f>(x4(source.at + part.groups * 8 + group));
}

fn fetch_offsets(source: Source, group: u32) -> vec4f {
  if (OFFSETS && source.weights) {
    return offsets4(source.expert, source.row / 8, source.row / 4 % 2, group * 4);
  }
  return vec4f();
}

fn dots(a: u32, b: vec4u) -> vec4i {
  return vec4i(dot4I8Packed(a, b.x), dot4I8Packed(a, b.y), dot4I8Packed(a, b.z), dot4I8Packed(a, b.w));
}

// Sums of a group: of each row of activations by four of weights, and of four rows of activations.
struct Group {
  a: vec4i,
  b: vec4i,
  c: vec4i,
  d: vec4i,
  all: vec4i,
}

fn multiply(to: ptr<function, Group>, half: u32, word: u32, x: u32, w: u32) {
  let xs = x_tile[half][word][x];
  let ws = w_tile[half][word][w];
  (*to).a += dots(xs.x, ws);
  (*to).b += dots(xs.y, ws);
  (*to).c += dots(xs.z, ws);
  (*to).d += dots(xs.w, ws);
  if (OFFSETS) {
    (*to).all += dots(0x01010101, xs);
  }
}

// The scales of x are a group's, not a row's.
fn x_scale(row: u32) -> f32 {
  return 1.0;
}

// Contains barriers: call it in uniform control flow.
fn make_tile(job: Job, i: u32) {
  let mine_x = i / 16;
  let mine_w = i % 16; // and the quad that is brought in
  let word = i % 128 / 16;
  let brings = i < 128 || mine_w * 4 < job.count;
  // Rows past the end repeat the last ones; what they give is not stored.
  let last = job.count - 1;
  let at = vec4u(
    x_row(job, min(mine_w * 4, last)),
    x_row(job, min(mine_w * 4 + 1, last)),
    x_row(job, min(mine_w * 4 + 2, last)),
    x_row(job, min(mine_w * 4 + 3, last)),
  );
  let row = job.row + mine_w * 4;
  let source = Source(i < 128, job.expert, min(row, (part.rows - 1) / 4 * 4), at * int8_stride(part.groups));
  var sums = mat4x4f(); // [row of x]
  var brought = vec4u();
  var scales = vec4f();
  var offsets = vec4f();
  if (brings) {
    brought = fetch(source, word);
    scales = fetch_scales(source, 0);
    offsets = fetch_offsets(source, 0);
  }
  for (var group = 0u; group < part.groups; group++) {
    if (source.weights) {
      w_tile[word / 4][word % 4][mine_w] = brought;
      if (word == 0) {
        w_scales[mine_w] = scales;
        if (OFFSETS) {
          w_offsets[mine_w] = offsets;
        }
      }
    } else if (brings) {
      x_tile[word / 4][word % 4][mine_w] = brought;
      if (word == 0) {
        x_scales[mine_w] = scales;
      }
    }
    workgroupBarrier();
    if (brings && group + 1 < part.groups) {
      brought = fetch(source, group * 8 + 8 + word);
      scales = fetch_scales(source, group + 1);
      offsets = fetch_offsets(source, group + 1);
    }
    if (mine_x * 4 < job.count) {
      var made = Group();
      for (var half = 0u; half < 2; half++) {
        multiply(&made, half, 0, mine_x, mine_w);
        multiply(&made, half, 1, mine_x, mine_w);
        multiply(&made, half, 2, mine_x, mine_w);
        multiply(&made, half, 3, mine_x, mine_w);
      }
      let s = x_scales[mine_x];
      let t = w_scales[mine_w];
      sums += mat4x4f(
        vec4f(made.a) * (s.x * t),
        vec4f(made.b) * (s.y * t),
        vec4f(made.c) * (s.z * t),
        vec4f(made.d) * (s.w * t),
      );
      if (OFFSETS) {
        let less = s * vec4f(made.all);
        let o = w_offsets[mine_w];
        sums -= mat4x4f(less.x * o, less.y * o, less.z * o, less.w * o);
      }
    }
    workgroupBarrier();
  }
  store_block(job, mine_x * 4, row, sums);
}
