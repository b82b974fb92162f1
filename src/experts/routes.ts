// A step's routes grouped by expert: which rows each expert gets, and with which weights.

export interface Rows {
  readonly expert: number;
  readonly tokens: Uint32Array; // [n] rows of x, ascending
  readonly shares: Float32Array; // [n]
}

/**
 * Groups ids and weights [T, K] by expert, in ascending order. Example, T = 2 and K = 2:
 *   ids [[3, 1], [1, 0]]    ->    0: row 1    1: rows 0, 1    3: row 0
 */
export function rowsByExpert(ids: Uint32Array, weights: Float32Array, k: number): Rows[] {
  const groups = new Map<number, { tokens: number[]; shares: number[] }>();
  for (const [i, expert] of ids.entries()) {
    let group = groups.get(expert);
    if (!group) {
      group = { tokens: [], shares: [] };
      groups.set(expert, group);
    }
    group.tokens.push(Math.floor(i / k));
    group.shares.push(weights[i]!);
  }
  return [...groups]
    .sort(([a], [b]) => a - b)
    .map(([expert, { tokens, shares }]) => ({
      expert,
      tokens: Uint32Array.from(tokens),
      shares: Float32Array.from(shares),
    }));
}
