// Where a position of a sequence lies in the KV store: [block, position in block, Hkv, Dh / 2]
// pairs. A head's pairs are padded with zeros to a multiple of four, so that eight dimensions
// can be read at once wherever they start. Uses the kernel's `step`, which holds the block ids,
// and its params.

fn kv_at(table: u32, position: u32, head: u32) -> u32 {
  let block = step[table + position / p.block];
  return ((block * p.block + position % p.block) * p.kv_heads + head) * ((p.pairs + 3) / 4 * 4);
}
