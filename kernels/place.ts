// Maps experts to the slots that hold their weights; an expert without a slot gets weight 0.

/**
 * ids and weights [T K], table [E]: an expert's slot, or NO -> slots [T K] and shares [T K], the
 * weight where there is a slot and 0 where there is none. Example: ids [2, 0], weights [.7, .3],
 * table [5, NO, NO] -> slots [NO, 5], shares [0, .3].
 */
export function place(
  ids: Uint32Array,
  weights: Float32Array,
  table: Uint32Array,
  slots: Uint32Array,
  shares: Float32Array,
): void {
  for (let i = 0; i < ids.length; i++) {
    slots[i] = table[ids[i]!]!;
    shares[i] = slots[i] === 0xffffffff ? 0 : weights[i]!;
  }
}
