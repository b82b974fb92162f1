// A tile of 16 rows of activations by 128 rows of weights, by a workgroup of 64: the body of the matrix-matrix kernels.
// Uses the kernel's `x`, rows of groups * 8 vec4f whose padding is zero.
//
// Invocation i owns weight rows i and i + 64 of the tile and unpacks each of their weights once, into registers, for all
// 16 activation rows. Those lie in workgroup memory, 32 columns at a time, and everyone reads the same one at a time.
const TILE_X = 16u;
const TILE_W = 128u;
const TILE_THREADS = 64u;

var<workgroup> x_tile: array<vec4f, TILE_X * 8>;

// Products with 16 activation rows: [m / 4][m % 4].
struct TileSums {
  near: mat4x4f, // of weight row i
  far: mat4x4f, // of weight row i + 64
}

struct Quad {
  near: vec4f,
  far: vec4f,
}

// Eight columns of four activation rows, the first of which is at x_tile[at], by those of two weight rows.
fn quad(at: u32, near: Eight, far: Eight) -> Quad {
  let a0 = x_tile[at];
  let b0 = x_tile[at + 1];
  let a1 = x_tile[at + 8];
  let b1 = x_tile[at + 9];
  let a2 = x_tile[at + 16];
  let b2 = x_tile[at + 17];
  let a3 = x_tile[at + 24];
  let b3 = x_tile[at + 25];
  return Quad(
    vec4f(dot(near.lo, a0), dot(near.lo, a1), dot(near.lo, a2), dot(near.lo, a3))
      + vec4f(dot(near.hi, b0), dot(near.hi, b1), dot(near.hi, b2), dot(near.hi, b3)),
    vec4f(dot(far.lo, a0), dot(far.lo, a1), dot(far.lo, a2), dot(far.lo, a3))
      + vec4f(dot(far.hi, b0), dot(far.hi, b1), dot(far.hi, b2), dot(far.hi, b3)),
  );
}

// Invocation i brings in eighths of the tile's activation rows i / 8 and i / 8 + 8, which start at x[x0] and x[x1];
// its weight rows are `near` and `far` of the part. Contains barriers: call it in uniform control flow.
fn tile_product(x0: u32, x1: u32, expert: u32, near: u32, far: u32, i: u32) -> TileSums {
  var sums = TileSums();
  for (var group = 0u; group < part.groups; group++) {
    x_tile[i] = x[x0 + group * 8 + i % 8];
    x_tile[i + 64] = x[x1 + group * 8 + i % 8];
    workgroupBarrier();
    for (var unit = 0u; unit < 4; unit++) {
      let w0 = weights8(expert, near, group * 4 + unit);
      let w1 = weights8(expert, far, group * 4 + unit);
      let q0 = quad(unit * 2, w0, w1);
      let q1 = quad(unit * 2 + 32, w0, w1);
      let q2 = quad(unit * 2 + 64, w0, w1);
      let q3 = quad(unit * 2 + 96, w0, w1);
      sums.near += mat4x4f(q0.near, q1.near, q2.near, q3.near);
      sums.far += mat4x4f(q0.far, q1.far, q2.far, q3.far);
    }
    workgroupBarrier();
  }
  return sums;
}
