// Maps experts to the slots that hold their weights; an expert without a slot gets weight 0.

/**
 * ids and weights [T K], table [E]: an expert's slot, or NO -> slots [T K] and shares [T K], the
 * weight where there is a slot, and where there is none 0, or with `add` what it was. Example: ids
 * [2, 0], weights [.7, .3], table [5, NO, NO] -> slots [NO, 5], shares [0, .3].
 */
export function place(
  ids: Uint32Array,
  weights: Float32Array,
  table: Uint32Array,
  slots: Uint32Array,
  shares: Float32Array,
  add = false,
): void {
  for (let i = 0; i < ids.length; i++) {
    slots[i] = table[ids[i]!]!;
    if (slots[i] !== 0xffffffff) shares[i] = weights[i]!;
    else if (!add) shares[i] = 0;
  }
}
