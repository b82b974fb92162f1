// The size of a tile: 64 rows of activations by 128 of weights. An invocation multiplies four rows
// of activations by twice four of weights: 3 cells for 32 products.
const TILE_X = 64u;
const TILE_W = 128u;

// Blocks of the quads of weights w and w + 16.
struct Sums {
  near: mat4x4f,
  far: mat4x4f,
}

fn column(sums: ptr<function, Sums>, k: u32, j: u32, x: u32, w: u32) {
  let a = vec4f(x_tile[k][j][x]);
  (*sums).near += outer(a, vec4f(w_tile[k][j][w]));
  (*sums).far += outer(a, vec4f(w_tile[k][j][w + 16]));
}

// As in tile_size_64.wgsl.
fn multiply(sums: ptr<function, Sums>, count: u32, x: u32, w: u32) {
  if (x * 4 < count) {
    for (var k = 0u; k < DEPTH; k++) {
      column(sums, k, 0, x, w);
      column(sums, k, 1, x, w);
      column(sums, k, 2, x, w);
      column(sums, k, 3, x, w);
    }
  }
}

fn store_sums(job: Job, sums: Sums, x: u32, w: u32) {
  store_block(job, x * 4, job.row + w * 4, sums.near);
  store_block(job, x * 4, job.row + w * 4 + 64, sums.far);
}
