// Memory: what a model needs at each precision, and which precision a budget allows.

import { MemoryError } from "../errors.ts";
import type { Precision } from "../tensor/types.ts";
import { PRECISIONS } from "../tensor/types.ts";

export interface Needs {
  /** Bytes of all weights at a precision. */
  readonly weights: (precision: Precision) => number;
  /** Bytes of keys and values a position, over all layers. */
  readonly kvPerPosition: number;
  /** Bytes of intermediate values of the largest step. */
  readonly scratch: number;
  readonly context: number;
}

export interface Plan {
  readonly weights: Precision;
  /** Bytes that the KV cache may grow to. */
  readonly kvBytes: number;
}

/** Positions that must fit, for a budget to be called enough: a shorter context than this is no use. */
const USEFUL_POSITIONS = 2048;

/**
 * The most precise weights that fit `budget` bytes together with scratch and a KV cache of 2,048 positions (or the
 * whole context, if that is shorter); what is left is the KV cache's to grow into.
 * @param option the name of the option that sets the budget, for the message
 * @throws MemoryError that says the smallest budget that works, and at which precision
 */
export function planMemory(needs: Needs, wanted: "auto" | Precision, budget: number, option: string): Plan {
  const least = (p: Precision): number =>
    needs.weights(p) + needs.scratch + needs.kvPerPosition * Math.min(needs.context, USEFUL_POSITIONS);
  const candidates: readonly Precision[] = wanted === "auto" ? PRECISIONS : [wanted];
  const weights = candidates.find((p) => least(p) <= budget);
  if (weights !== undefined) return { weights, kvBytes: budget - needs.weights(weights) - needs.scratch };
  const smallest = candidates[candidates.length - 1]!;
  const advice = wanted === "auto" || wanted === "q4" ? "" : `, or choose weights q4 (${formatBytes(least("q4"))})`;
  throw new MemoryError(
    `the memory budget of ${formatBytes(budget)} (option ${option}) is too small: the smallest that works with ${smallest} weights is ${formatBytes(least(smallest))}${advice}`,
  );
}

/** Bytes for a person: 1536 MiB below 10 GiB, 26.3 GiB above. Rounded up, so that the figure can be used as a budget. */
export function formatBytes(bytes: number): string {
  if (bytes < 2 ** 20) return `${Math.ceil(bytes / 1024)} KiB`;
  if (bytes < 10 * 2 ** 30) return `${Math.ceil(bytes / 2 ** 20)} MiB`;
  return `${(Math.ceil((bytes / 2 ** 30) * 10) / 10).toFixed(1)} GiB`;
}
