// What is measured on both sides, and what one measurement gives.

import { randomFrom } from "../../src/engine/random.ts";

/**
 * Work that both sides do alike: a prompt of random ids, then greedy tokens past
 * EOS, `repeats` times.
 */
export interface Work {
  readonly promptTokens: number;
  readonly decodeTokens: number;
  readonly repeats: number;
  /** The seed of the prompt's ids. */
  readonly seed: number;
  readonly threads: number;
}

/** One process (or page) of one side. */
export interface Sample {
  /** Every repeat: the prompt's tokens over the time to the first new token. */
  readonly prefillTps: readonly number[];
  /**
   * Every repeat: the tokens after the first over their time; empty where fewer than two
   * were asked for.
   */
  readonly decodeTps: readonly number[];
  readonly loadMs: number;
  /** In a page, from the navigation to the first token of a short prompt, the library included. */
  readonly firstTokenMs?: number;
  /** Largest resident set of the process; null in a page, which has none of its own. */
  readonly peakRssBytes: number | null;
  /** What computed it, in the side's own words. */
  readonly engine: string;
}

export type SideName = "ours" | "peer";

/** Where samples of one model come from. */
export interface Sides {
  readonly ours: (work: Work) => Promise<Sample>;
  readonly peer: (work: Work) => Promise<Sample>;
}

/** The prompt of `hotset bench`: the same ids on both sides. */
export function promptIds({ promptTokens, seed }: Pick<Work, "promptTokens" | "seed">, vocab: number): number[] {
  const random = randomFrom(seed);
  return Array.from({ length: promptTokens }, () => Math.floor(random() * vocab));
}
