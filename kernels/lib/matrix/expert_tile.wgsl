// Finds the tile of a grouped matrix product that a workgroup owns: every expert has ceil(count /
// TILE_X) tiles of assignments. Uses the kernel's params and `starts`: expert e's assignments are
// sorted[starts[e]] .. sorted[starts[e + 1] - 1].

// The job of a workgroup of rows from `row`; its count is 0 for a surplus workgroup, or where the
// part lacks the expert.
fn expert_job(index: u32, row: u32) -> Job {
  var tile = index;
  for (var e = 0u; e < p.E; e++) {
    let count = starts[e + 1] - starts[e];
    let tiles = (count + TILE_X - 1) / TILE_X;
    if (tile < tiles) {
      let expert = e - part.first_expert; // wraps to a large number below the part
      if (expert >= part.experts) {
        break;
      }
      return Job(expert, row, starts[e] + tile * TILE_X, min(TILE_X, count - tile * TILE_X));
    }
    tile -= tiles;
  }
  return Job(0, row, 0, 0);
}
