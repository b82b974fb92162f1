// Work: tokens of one sequence to compute in one step, and the batch that several
// sequences' work makes.

import type { Batch } from "../backend/ops.ts";
import type { Claim } from "./claim.ts";

/** Tokens of one sequence to compute in one step. */
export interface Work {
  readonly sequence: Claim;
  readonly tokens: readonly number[];
  /** Position of tokens[0]. */
  readonly position: number;
  /** The tokens whose logits are needed. */
  readonly wanted: "last" | "all" | "none";
}

/**
 * Most logits that one step computes: 64 MiB, which fit the buffers of every device
 * whatever the vocabulary.
 */
const MAX_LOGITS = 2 ** 24;

/** Most rows of logits [R, V] that one step computes. */
export function maxRows(vocab: number): number {
  return Math.max(1, Math.floor(MAX_LOGITS / vocab));
}

/** Rows of logits that some work asks for. */
export function rowsOf({ wanted, tokens }: Work): number {
  return wanted === "all" ? tokens.length : wanted === "last" ? 1 : 0;
}

/** Several sequences' work as one flat batch, which `signal` ends early. */
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
  const slots = works.flatMap(({ sequence: { state } }) => state?.slot ?? []);
  const anchors = Uint32Array.from(works, (work) => work.sequence.anchor);
  return {
    ...{ tokens, positions, sequence, tables, anchors, outputs: Uint32Array.from(outputs) },
    ...(slots.length > 0 && { states: Uint32Array.from(slots) }),
    ...(signal && { signal }),
  };
}
