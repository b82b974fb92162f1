// Stores a block of a tile: four rows of activations by four rows of weights, those that there are.
// Uses the kernel's x_row() and store_pair(), and the x_scale() of whatever x is rounded to.

// Rows of activations m .. m + 3, [each] holding rows of weights row .. row + 3. A row is selected:
// with an index that varies, a compiler may keep the block in memory all along.
fn store_block(job: Job, m: u32, row: u32, block: mat4x4f) {
  for (var j = 0u; j < 4 && m + j < job.count && row < part.rows; j++) {
    let near = select(block[0], block[1], j == 1);
    let far = select(block[2], block[3], j == 3);
    let values = select(near, far, j >= 2) * x_scale(x_row(job, m + j));
    store_pair(job, m + j, row, values.xy);
    store_pair(job, m + j, row + 2, values.zw);
  }
}
