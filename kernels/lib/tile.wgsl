// A tile of 32 rows of activations by 64 rows of weights, by a workgroup of 128: the body of the matrix-matrix kernels.
// Weights are unpacked once a tile, 32 columns at a time. Uses the kernel's `x`, rows of groups * 8 vec4f, padding zero.
//
// Invocation i: m = i / 16 owns activation rows m + 8a (a = 0..3), n = i % 16 owns weight rows n + 16b (b = 0..3).
const TILE_X = 32u;
const TILE_W = 64u;
const TILE_THREADS = 128u;
const PITCH = 9u; // vec4f a row of 32 columns, plus one so that neighbouring rows fall into different banks

var<workgroup> x_tile: array<vec4f, TILE_X * PITCH>;
var<workgroup> w_tile: array<vec4f, TILE_W * PITCH>;

// Invocation i brings in quarters of tile rows: x rows i / 8 and i / 8 + 16, which start at x[x0] and x[x1], and weight
// rows i / 4 and i / 4 + 32, which are rows w0 and w1 of the part. Returns column a, row b: activation row a, weight row b.
fn tile_product(x0: u32, x1: u32, expert: u32, w0: u32, w1: u32, i: u32) -> mat4x4f {
  var sum = mat4x4f();
  let xm = i / 8 * PITCH + i % 8;
  let wn = i / 4 * PITCH + i % 4 * 2;
  let m = i / 16 * PITCH;
  let n = i % 16 * PITCH;
  for (var group = 0u; group < part.groups; group++) {
    x_tile[xm] = x[x0 + group * 8 + i % 8];
    x_tile[xm + 16 * PITCH] = x[x1 + group * 8 + i % 8];
    let near = weights8(expert, w0, group * 4 + i % 4);
    w_tile[wn] = near.lo;
    w_tile[wn + 1] = near.hi;
    let far = weights8(expert, w1, group * 4 + i % 4);
    w_tile[wn + 32 * PITCH] = far.lo;
    w_tile[wn + 32 * PITCH + 1] = far.hi;
    workgroupBarrier();
    for (var k = 0u; k < 8; k++) {
      let b0 = w_tile[n + k];
      let b1 = w_tile[n + 16 * PITCH + k];
      let b2 = w_tile[n + 32 * PITCH + k];
      let b3 = w_tile[n + 48 * PITCH + k];
      let a0 = x_tile[m + k];
      sum[0] += vec4f(dot(a0, b0), dot(a0, b1), dot(a0, b2), dot(a0, b3));
      let a1 = x_tile[m + 8 * PITCH + k];
      sum[1] += vec4f(dot(a1, b0), dot(a1, b1), dot(a1, b2), dot(a1, b3));
      let a2 = x_tile[m + 16 * PITCH + k];
      sum[2] += vec4f(dot(a2, b0), dot(a2, b1), dot(a2, b2), dot(a2, b3));
      let a3 = x_tile[m + 24 * PITCH + k];
      sum[3] += vec4f(dot(a3, b0), dot(a3, b1), dot(a3, b2), dot(a3, b3));
    }
    workgroupBarrier();
  }
  return sum;
}
