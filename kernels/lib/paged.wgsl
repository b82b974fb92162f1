// Where a position of a sequence lies in the KV store: [block, position in block, Hkv, Dh / 2] pairs.
// Uses the kernel's `blocks`, the block ids of all sequences of the batch one after another.
override BLOCK: u32; // positions a block
override KV_HEADS: u32; // Hkv
override PAIRS: u32; // Dh / 2

fn kv_at(table: u32, position: u32, head: u32) -> u32 {
  let block = blocks[table + position / BLOCK];
  return ((block * BLOCK + position % BLOCK) * KV_HEADS + head) * PAIRS;
}
