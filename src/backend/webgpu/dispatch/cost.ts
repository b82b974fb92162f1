// What a dispatch costs: bytes that it moves beside weights, and its arithmetic.

import type { Batch } from "../../ops.ts";

/** What a grid may depend on of the weights that a kernel reads. */
export interface PartShape {
  readonly rows: number;
  readonly groups: number;
}

/** What a kernel's cost may depend on beside its rows and params. */
export interface Work extends PartShape {
  /** Bytes of the weight part, all of its experts together, and the weights in it. */
  readonly bytes: number;
  readonly values: number;
  /** Bytes of a cached key's or value's element. */
  readonly kv: number;
}

/**
 * What a dispatch moves beside weights (each input and output once: what is read again comes from
 * caches), and the arithmetic that it does, needed or not.
 */
export interface Cost {
  readonly bytes: number;
  readonly flops: number;
}

/** A kernel's params and override constants. */
export type Params = Readonly<Record<string, number>>;

/** Passes over the weights by a kernel that takes `tokens` of its rows at once. */
export const passes = (n: number, { tokens }: Params): number => Math.ceil(n / tokens!);

/**
 * The same over all experts, as a share of their weights, as if tokens went to all of
 * them alike.
 */
export function expertPasses(assignments: number, o: Params): number {
  const chosen = Math.min(o.E!, assignments);
  return (chosen / o.E!) * passes(assignments / chosen, o);
}

/**
 * The cost of a product over n rows: x, y, and a multiplication and an addition for each weight.
 */
export const product = (n: number, { rows, groups, values }: Work): Cost => ({
  bytes: 4 * n * (32 * groups + rows),
  flops: 2 * n * values,
});
/** Rows that a tile multiplies for n: whole quads of those that it has. */
const inQuads = (n: number): number => 4 * Math.ceil(n / 4);
/** The same by tiles. */
export const tiled = (n: number, work: Work): Cost => ({
  ...product(n, work),
  flops: 2 * inQuads(n) * work.values,
});
/** The cost of a product over `assignments` of tokens to E experts with all weights together. */
export const experts = (assignments: number, { E }: Params, work: Work): Cost => ({
  ...product(assignments, work),
  flops: (2 * assignments * work.values) / E!,
});
/** The same by tiles, as if tokens went to all experts alike. */
export function tiledExperts(assignments: number, { E }: Params, work: Work): Cost {
  const chosen = Math.min(E!, assignments);
  return {
    ...product(assignments, work),
    flops: (2 * chosen * inQuads(assignments / chosen) * work.values) / E!,
  };
}
/** The cost of a kernel that moves `words` words of 4 bytes and computes `flops`. */
export const moves = (words: number, flops = 0): Cost => ({ bytes: 4 * words, flops });

/**
 * What n queries of a batch see: `pairs` of query and key, and the `keys` that are read where runs
 * of up to `longest` queries that follow each other in a sequence read theirs together. `window` 0
 * sees all.
 */
export function seen({ positions, sequence }: Batch, longest: number, window: number): { pairs: number; keys: number } {
  let [pairs, keys, run] = [0, 0, 0];
  for (const [t, position] of positions.entries()) {
    const own = window > 0 ? Math.min(position + 1, window) : position + 1;
    pairs += own;
    const follows = t > 0 && sequence[t] === sequence[t - 1] && position === positions[t - 1]! + 1 && run < longest;
    run = follows ? run + 1 : 1;
    keys += follows ? 1 : own;
  }
  return { pairs, keys };
}

/**
 * The cost of attention over a batch whose runs of up to `longest` tokens read their keys together.
 */
export function attentionCost(o: Params, { kv }: Work, batch: Batch, longest: number): Cost {
  const { pairs, keys } = seen(batch, longest, o.window!);
  const width = 2 * o.pairs!; // Dh
  const rows = batch.positions.length * 2 * o.heads! * width;
  return { bytes: 4 * rows + 2 * kv * keys * o.kv_heads! * width, flops: 4 * pairs * o.heads! * width };
}
