// What a workgroup of a matrix-matrix kernel makes: `count` rows of activations by TILE_W rows of
// weights. The tile (tile_*.wgsl) says how; the kernel says which row of x the tile's
// m-th is, x_row(), and where the results go, store_pair(), which it gets two neighbouring rows of
// weights at a time, the first of them even.
struct Job {
  expert: u32, // counts from the part's first
  row: u32, // of the part, a multiple of TILE_W
  first: u32, // row of x, or index into the sorted assignments
  count: u32, // at least 1, at most TILE_X
}
