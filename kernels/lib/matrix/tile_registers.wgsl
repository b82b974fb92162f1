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

var<workgroup> x_tile: array<vec4f, TILE_X * 8>;

struct Quad {
  even: vec4f,
  odd: vec4f,
}

// Eight columns of four activation rows, the first of which is at x_tile[at], by those of two
// weight rows.
fn quad(at: u32, even: Eight, odd: Eight) -> Quad {
  let a0 = x_tile[at];
  let b0 = x_tile[at + 1];
  let a1 = x_tile[at + 8];
  let b1 = x_tile[at + 9];
  let a2 = x_tile[at + 16];
  let b2 = x_tile[at + 17];
  let a3 = x_tile[at + 24];
  let b3 = x_tile[at + 25];
  return Quad(
    vec4f(dot(even.lo, a0), dot(even.lo, a1), dot(even.lo, a2), dot(even.lo, a3))
      + vec4f(dot(even.hi, b0), dot(even.hi, b1), dot(even.hi, b2), dot(even.hi, b3)),
    vec4f(dot(odd.lo, a0), dot(odd.lo, a1), dot(odd.lo, a2), dot(odd.lo, a3))
      + vec4f(dot(odd.hi, b0), dot(odd.hi, b1), dot(odd.hi, b2), dot(odd.hi, b3)),
  );
}

// Contains barriers: call it in uniform control flow.
fn make_tile(job: Job, i: u32) {
  // Invocation i brings in eighths of activation rows i / 8 and i / 8 + 8. Rows past the end repeat
  // the last one.
  let x0 = x_row(job, min(i / 8, job.count - 1)) * part.groups * 8 + i % 8;
  let x1 = x_row(job, min(i / 8 + 8, job.count - 1)) * part.groups * 8 + i % 8;
  let row = job.row + 2 * i;
  let near = min(row, (part.rows - 1) / 2 * 2);
  var even = mat4x4f(); // products with 16 activation rows: [m / 4][m % 4]
  var odd = mat4x4f();
  for (var group = 0u; group < part.groups; group++) {
    x_tile[i] = x[x0 + group * 8];
    x_tile[i + 64] = x[x1 + group * 8];
    workgroupBarrier();
    for (var unit = 0u; unit < 4; unit++) {
      let w0 = weights8(job.expert, near, group * 4 + unit);
      let w1 = weights8(job.expert, near + 1, group * 4 + unit);
      let q0 = quad(unit * 2, w0, w1);
      let q1 = quad(unit * 2 + 32, w0, w1);
      let q2 = quad(unit * 2 + 64, w0, w1);
      let q3 = quad(unit * 2 + 96, w0, w1);
      even += mat4x4f(q0.even, q1.even, q2.even, q3.even);
      odd += mat4x4f(q0.odd, q1.odd, q2.odd, q3.odd);
    }
    workgroupBarrier();
  }
  if (row < part.rows) {
    for (var m = 0u; m < job.count; m++) {
      store_pair(job, m, row, vec2f(even[m / 4][m % 4], odd[m / 4][m % 4]));
    }
  }
}
