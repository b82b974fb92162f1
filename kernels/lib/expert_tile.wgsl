// Finds the tile of a grouped matrix product that a workgroup owns: every expert has ceil(count / 16) tiles of slots.
// Uses the kernel's params and `starts`: expert e's slots are sorted[starts[e]] .. sorted[starts[e + 1] - 1].
struct ExpertTile {
  expert: u32,
  first: u32, // index into the sorted slots
  count: u32, // slots of this tile; 0 for a surplus workgroup
}

fn expert_tile(index: u32) -> ExpertTile {
  var tile = index;
  for (var e = 0u; e < p.E; e++) {
    let count = starts[e + 1] - starts[e];
    let tiles = (count + TILE_X - 1) / TILE_X;
    if (tile < tiles) {
      return ExpertTile(e, starts[e] + tile * TILE_X, min(TILE_X, count - tile * TILE_X));
    }
    tile -= tiles;
  }
  return ExpertTile(0, 0, 0);
}
