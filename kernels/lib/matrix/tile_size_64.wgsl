// The size of a tile: 64 by 64 rows. An invocation multiplies four rows of activations by four of
// weights: 2 cells for 16 products.
const TILE_X = 64u;
const TILE_W = 64u;

alias Sums = mat4x4f; // a block

fn column(sums: ptr<function, Sums>, k: u32, j: u32, x: u32, w: u32) {
  *sums += outer(vec4f(x_tile[k][j][x]), vec4f(w_tile[k][j][w]));
}

// Adds the products of the columns in hand, quad of rows x by quad w; nothing for rows that a tile
// of `count` rows of activations lacks. Four columns a turn, written out: compilers do not unroll
// this loop, and it is what the time goes into.
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
  store_block(job, x * 4, job.row + w * 4, sums);
}
