// What is to be computed of one sequence, and how the work of several sequences makes one batch.

import type { Batch } from "../backend/ops.ts";
import type { Claim } from "./claim.ts";

/** One timeline's place in the KV cache. */
export interface Sequence {
  readonly blocks: number[];
  /** Positions whose keys and values are in the cache. */
  length: number;
}

/** Tokens of one sequence that are to be computed in one step. */
export interface Work {
  readonly sequence: Claim;
  readonly tokens: readonly number[];
  /** Of tokens[0]. */
  readonly position: number;
  /** Whose logits are needed. */
  readonly wanted: "last" | "all" | "none";
}

/** Most logits that one step computes: 64 MiB, so that they fit every device's buffers whatever the vocabulary. */
const MAX_LOGITS = 2 ** 24;

/** Rows of logits [R, V] that one step computes at most. */
export function maxRows(vocab: number): number {
  return Math.max(1, Math.floor(MAX_LOGITS / vocab));
}

/** Rows of logits that a piece of work asks for. */
export function rowsOf({ wanted, tokens }: Work): number {
  return wanted === "all" ? tokens.length : wanted === "last" ? 1 : 0;
}

/** Pieces of work side by side as one flat batch, which `signal` ends early. */
export function toBatch(works: readonly Work[], signal?: AbortSignal): Batch {
  const total = works.reduce((sum, work) => sum + work.tokens.length, 0);
  const tokens = new Uint32Array(total);
  const positions = new Uint32Array(total);
  const sequence = new Uint32Array(total);
  const outputs: number[] = [];
  let at = 0;
  for (const [index, work] of works.entries()) {
    for (const [i, token] of work.tokens.entries()) {
      tokens[at] = token;
      positions[at] = work.position + i;
      sequence[at] = index;
      if (work.wanted === "all" || (work.wanted === "last" && i === work.tokens.length - 1)) outputs.push(at);
      at++;
    }
  }
  const tables = works.map((work) => Uint32Array.from(work.sequence.blocks));
  return { tokens, positions, sequence, tables, outputs: Uint32Array.from(outputs), ...(signal && { signal }) };
}
