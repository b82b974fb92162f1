// The size of a tile: 128 by 128 rows. An invocation multiplies twice four rows of activations by
// twice four of weights: 4 cells for 64 products.
const TILE_X = 128u;
const TILE_W = 128u;

// Blocks of the quads of activations x and x + 16, by those of weights w and w + 16.
struct Sums {
  near: mat4x4f,
  near_by_far: mat4x4f,
  far_by_near: mat4x4f,
  far: mat4x4f,
}

// Both quads of activations.
fn column(sums: ptr<function, Sums>, k: u32, j: u32, x: u32, w: u32) {
  let b = vec4f(w_tile[k][j][w]);
  let d = vec4f(w_tile[k][j][w + 16]);
  let a = vec4f(x_tile[k][j][x]);
  (*sums).near += outer(a, b);
  (*sums).near_by_far += outer(a, d);
  let c = vec4f(x_tile[k][j][x + 16]);
  (*sums).far_by_near += outer(c, b);
  (*sums).far += outer(c, d);
}

// Quad x of activations alone.
fn near_column(sums: ptr<function, Sums>, k: u32, j: u32, x: u32, w: u32) {
  let a = vec4f(x_tile[k][j][x]);
  (*sums).near += outer(a, vec4f(w_tile[k][j][w]));
  (*sums).near_by_far += outer(a, vec4f(w_tile[k][j][w + 16]));
}

// As in tile_size_64.wgsl; an invocation may lack one of its quads.
fn multiply(sums: ptr<function, Sums>, count: u32, x: u32, w: u32) {
  if (x * 4 + 64 < count) {
    for (var k = 0u; k < DEPTH; k++) {
      column(sums, k, 0, x, w);
      column(sums, k, 1, x, w);
      column(sums, k, 2, x, w);
      column(sums, k, 3, x, w);
    }
  } else if (x * 4 < count) {
    for (var k = 0u; k < DEPTH; k++) {
      near_column(sums, k, 0, x, w);
      near_column(sums, k, 1, x, w);
      near_column(sums, k, 2, x, w);
      near_column(sums, k, 3, x, w);
    }
  }
}

fn store_sums(job: Job, sums: Sums, x: u32, w: u32) {
  let row = job.row + w * 4;
  store_block(job, x * 4, row, sums.near);
  store_block(job, x * 4, row + 64, sums.near_by_far);
  store_block(job, x * 4 + 64, row, sums.far_by_near);
  store_block(job, x * 4 + 64, row + 64, sums.far);
}
