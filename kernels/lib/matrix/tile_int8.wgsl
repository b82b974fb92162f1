// A tile of 64 rows of int8 activations by 64 rows of quantized weights, by a workgroup of
// 256, both staged in workgroup memory, four products an instruction. Uses the kernel's
// x_row() and store_pair().
//
// A group of 32 columns a step: half of the invocations bring in weights, unpacked once for the
// whole tile, the other half activations, each four columns of four rows, fetched while the step
// before is multiplied; neighbours write and read neighbouring cells. An invocation multiplies four
// rows by four, exactly, and scales the sums of each group.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/tile_job.wgsl"
requires packed_4x8_integer_dot_product;

// A row is groups * 8 words of four columns each, then a scale (f32) a group: quantize.wgsl.
@group(0) @binding(3) var<storage, read> x: array<u32>;

const TILE_X = 64u;
const TILE_W = 64u;
const TILE_THREADS = 256u;

var<workgroup> x_tile: array<vec4u, 128>; // [word, quad of rows]
var<workgroup> w_tile: array<vec4u, 128>;
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

// Contains barriers: call it in uniform control flow.
fn make_tile(job: Job, i: u32) {
  let rows = i % 16 * 4;
  let word = i % 128 / 16;
  // Rows past the end repeat the last ones; what they give is not stored.
  let last = job.count - 1;
  let at = vec4u(
    x_row(job, min(rows, last)),
    x_row(job, min(rows + 1, last)),
    x_row(job, min(rows + 2, last)),
    x_row(job, min(rows + 3, last)),
  );
  let source = Source(i < 128, job.expert, min(job.row + rows, (part.rows - 1) / 4 * 4), at * part.groups * 9);
  let mine_x = i / 16;
  let mine_w = i % 16;
  var sums = mat4x4f(); // [row of x]
  var brought = fetch(source, word);
  var scales = fetch_scales(source, 0);
  var offsets = fetch_offsets(source, 0);
  for (var group = 0u; group < part.groups; group++) {
    if (source.weights) {
      w_tile[i] = brought;
      if (word == 0) {
        w_scales[i] = scales;
        if (OFFSETS) {
          w_offsets[i] = offsets;
        }
      }
    } else {
      x_tile[i - 128] = brought;
      if (word == 0) {
        x_scales[i - 128] = scales;
      }
    }
    workgroupBarrier();
    if (group + 1 < part.groups) {
      brought = fetch(source, group * 8 + 8 + word);
      scales = fetch_scales(source, group + 1);
      offsets = fetch_offsets(source, group + 1);
    }
    var a = vec4i();
    var b = vec4i();
    var c = vec4i();
    var d = vec4i();
    var all = vec4i(); // sums of the rows of activations
    for (var k = 0u; k < 128; k += 16) {
      let xs = x_tile[k + mine_x];
      let ws = w_tile[k + mine_w];
      a += dots(xs.x, ws);
      b += dots(xs.y, ws);
      c += dots(xs.z, ws);
      d += dots(xs.w, ws);
      if (OFFSETS) {
        all += dots(0x01010101, xs);
      }
    }
    let s = x_scales[mine_x];
    let t = w_scales[mine_w];
    sums += mat4x4f(vec4f(a) * (s.x * t), vec4f(b) * (s.y * t), vec4f(c) * (s.z * t), vec4f(d) * (s.w * t));
    if (OFFSETS) {
      let less = s * vec4f(all);
      let o = w_offsets[mine_w];
      sums -= mat4x4f(less.x * o, less.y * o, less.z * o, less.w * o);
    }
    workgroupBarrier();
  }
  let row = job.row + mine_w * 4;
  if (row < part.rows) {
    for (var j = 0u; j < 4 && mine_x * 4 + j < job.count; j++) {
      store_pair(job, mine_x * 4 + j, row, sums[j].xy);
      store_pair(job, mine_x * 4 + j, row + 2, sums[j].zw);
    }
  }
}
