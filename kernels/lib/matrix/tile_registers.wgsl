// A tile of 16 rows of activations by 128 rows of weights, by a workgroup of 64: best
// where workgroup memory is no faster than any other, as on a CPU. Uses the kernel's
// x_row() and store_pair().
//
// Invocation i owns weight rows 2i and 2i + 1 of the tile and unpacks each of their weights once,
// into registers, for all 16 activation rows. Those lie in workgroup memory, 32 columns at a time,
// and all invocations read the same one at a time.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/tile_job.wgsl"

// Rows of groups * 8 vec4f whose padding is zero.
@group(0) @binding(3) var<storage, read> x: array<vec4f>;

const TILE_X = 16u;
const TILE_W = 128u;
const TILE_THREADS = 64u;

var<workgroup> x_tile: array<array<array<vec4f, 8>, 4>, 4>; // [quad of rows][row of it][four columns]

// Products of four activation rows with two weight rows.
struct Quad {
  even: vec4f,
  odd: vec4f,
}

// Adds eight columns of a quad of activation rows by those of two weight rows.
fn multiply(to: ptr<function, Quad>, quad: u32, unit: u32, even: Eight, odd: Eight) {
  let a0 = x_tile[quad][0][unit * 2];
  let b0 = x_tile[quad][0][unit * 2 + 1];
  let a1 = x_tile[quad][1][unit * 2];
  let b1 = x_tile[quad][1][unit * 2 + 1];
  let a2 = x_tile[quad][2][unit * 2];
  let b2 = x_tile[quad][2][unit * 2 + 1];
  let a3 = x_tile[quad][3][unit * 2];
  let b3 = x_tile[quad][3][unit * 2 + 1];
  (*to).even += vec4f(dot(even.lo, a0), dot(even.lo, a1), dot(even.lo, a2), dot(even.lo, a3))
    + vec4f(dot(even.hi, b0), dot(even.hi, b1), dot(even.hi, b2), dot(even.hi, b3));
  (*to).odd += vec4f(dot(odd.lo, a0), dot(odd.lo, a1), dot(odd.lo, a2), dot(odd.lo, a3))
    + vec4f(dot(odd.hi, b0), dot(odd.hi, b1), dot(odd.hi, b2), dot(odd.hi, b3));
}

// The m-th of sixteen numbers. With an index that varies, a compiler may keep them in memory all
// along.
fn nth(a: vec4f, b: vec4f, c: vec4f, d: vec4f, m: u32) -> f32 {
  let quad = select(select(a, b, m >= 4), select(c, d, m >= 12), m >= 8);
  let pair = select(quad.xy, quad.zw, m % 4 >= 2);
  return select(pair.x, pair.y, m % 2 == 1);
}

// Contains barriers: call it in uniform control flow.
fn make_tile(job: Job, i: u32) {
  // Invocation i brings in eighths of activation rows i / 8 and i / 8 + 8. Rows past the end repeat
  // the last one.
  let x0 = x_row(job, min(i / 8, job.count - 1)) * part.groups * 8 + i % 8;
  let x1 = x_row(job, min(i / 8 + 8, job.count - 1)) * part.groups * 8 + i % 8;
  let row = job.row + 2 * i;
  let near = min(row, (part.rows - 1) / 2 * 2);
  var q0 = Quad();
  var q1 = Quad();
  var q2 = Quad();
  var q3 = Quad();
  for (var group = 0u; group < part.groups; group++) {
    x_tile[i / 32][i / 8 % 4][i % 8] = x[x0 + group * 8];
    x_tile[i / 32 + 2][i / 8 % 4][i % 8] = x[x1 + group * 8];
    workgroupBarrier();
    for (var unit = 0u; unit < 4; unit++) {
      let even = weights8(job.expert, near, group * 4 + unit);
      let odd = weights8(job.expert, near + 1, group * 4 + unit);
      multiply(&q0, 0, unit, even, odd);
      if (job.count > 4) {
        multiply(&q1, 1, unit, even, odd);
      }
      if (job.count > 8) {
        multiply(&q2, 2, unit, even, odd);
      }
      if (job.count > 12) {
        multiply(&q3, 3, unit, even, odd);
      }
    }
    workgroupBarrier();
  }
  if (row < part.rows) {
    for (var m = 0u; m < job.count; m++) {
      let even = nth(q0.even, q1.even, q2.even, q3.even, m);
      store_pair(job, m, row, vec2f(even, nth(q0.odd, q1.odd, q2.odd, q3.odd, m)));
    }
  }
}
