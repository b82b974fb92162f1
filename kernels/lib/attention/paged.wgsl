// Where a position of a sequence lies in the KV store: [block, position in block, Hkv, kv_row]
// pairs, four of which are a unit (kv_*.wgsl). Uses the kernel's `step`, which holds the block ids,
// and its params.

fn kv_at(table: u32, position: u32, head: u32) -> u32 {
  let block = step[table + position / p.block];
  return ((block * p.block + position % p.block) * p.kv_heads + head) * kv_row(p.pairs);
}
