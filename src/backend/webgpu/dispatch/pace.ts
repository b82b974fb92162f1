// How much of a step goes into one submit, and how many tokens into a step: so much that the device
// is busy for some 200 ms, as far as what it has done so far tells.
//
// Systems take a device away that does not answer: on some after two seconds. So a long step is cut
// between its dispatches, and a prompt into chunks whose largest dispatch is short enough.

import type { Batch } from "../../ops.ts";
import type { Command } from "./commands.ts";

/**
 * What a kernel's time goes with: kernels of one kind are slow or fast together. Tiles are all that
 * computes for each token of a prompt alike.
 */
type Kind = "tiles" | "attention" | "memory";

/**
 * Milliseconds a unit before anything is measured, tiles and attention by their floating-point
 * operations, all else by bytes: 1 TFLOPS and 100 GB/s. A device that is ten times slower still
 * ends a first submit of 200 ms in two seconds.
 */
const FIRST: Readonly<Record<Kind, number>> = { tiles: 1e-9, attention: 1e-9, memory: 1e-8 };
const KINDS: Readonly<Record<string, Kind>> = {
  matmul: "tiles",
  expert_up: "tiles",
  expert_down: "tiles",
  delta_rule: "tiles",
  attention: "attention",
  attention_latent: "attention",
};
/** Between steps. */
export const NO_BATCH: Batch = {
  tokens: new Uint32Array(0),
  positions: new Uint32Array(0),
  sequence: new Uint32Array(0),
  tables: [],
  outputs: new Uint32Array(0),
};
/** How much faster than before one measurement may say that a device is. */
const LEAP = 4;
/** Shares of the longest submit below which a submit is not worth measuring. */
const SMALL = 0.1;
/** Milliseconds that a chunk of a prompt may take: others wait for it. */
const LONGEST_CHUNK = 4000;
/** Tokens from which on a step tells something of chunks. */
const MANY_TOKENS = 16;
/** Tokens of the smallest chunk: with fewer, weights are read for too little. */
const LEAST_TOKENS = 32;
/** Submits of one step that the device may have at once: the next one is there when one ends. */
export const IN_FLIGHT = 2;

export interface PaceOptions {
  /** Milliseconds of the longest submit. Default 200. */
  readonly longest?: number;
  /** Milliseconds. Default: performance.now(). */
  readonly now?: () => number;
}

/** What a step of many tokens has shown of chunks, in milliseconds. */
interface Chunks {
  readonly batch: Batch;
  /** Of the largest tile dispatch, and of all, a token; before `factors`. */
  tile: number;
  tiles: number;
  /** Of the largest and of all attention, a token and position. */
  attention: number;
  attentions: number;
}

export class Pace {
  readonly #longest: number;
  readonly #now: () => number;
  /** What kernels take, to what FIRST says. */
  readonly #factors: Record<Kind, number> = { tiles: 1, attention: 1, memory: 1 };
  #chunks: Chunks | null = null;
  /** When the last submit that was measured ended. */
  #ended = 0;

  constructor({ longest = 200, now = () => performance.now() }: PaceOptions = {}) {
    this.#longest = longest;
    this.#now = now;
  }

  /** Milliseconds that commands are expected to take. */
  expected(commands: readonly Command[], batch: Batch): number {
    let sum = 0;
    for (const command of commands) {
      const kind = kindOf(command);
      sum += first(command, kind, batch) * this.#factors[kind];
    }
    return sum;
  }

  /** How many of the commands the next submit takes: at least one. */
  fits(commands: readonly Command[], batch: Batch): number {
    let sum = 0;
    for (const [i, command] of commands.entries()) {
      sum += this.expected([command], batch);
      if (sum > this.#longest && i > 0) return i;
    }
    return commands.length;
  }

  /**
   * Notes a submit that begins now. Returns what to call when it ends; null where it is too short
   * to tell anything.
   */
  begins(commands: readonly Command[], batch: Batch): (() => void) | null {
    const shares: Record<Kind, number> = { tiles: 0, attention: 0, memory: 0 };
    const chunks = this.#chunksOf(batch);
    for (const command of commands) {
      const kind = kindOf(command);
      const ms = first(command, kind, batch);
      shares[kind] += ms * this.#factors[kind];
      if (chunks) note(chunks, kind, ms);
    }
    const expected = shares.tiles + shares.attention + shares.memory;
    if (expected < this.#longest * SMALL) return null;
    const began = this.#now();
    return () => {
      const ended = this.#now();
      const took = ended - Math.max(began, this.#ended); // the device was at others before
      this.#ended = ended;
      const ratio = Math.max(took / expected, 1 / LEAP);
      // Laid to the kinds by their shares.
      for (const kind of Object.keys(shares) as Kind[]) this.#factors[kind] *= ratio ** (shares[kind] / expected);
    };
  }

  /**
   * Tokens of a prompt that a step should take from `position` on: a power of two, `most` at most.
   */
  chunk(position: number, most: number): number {
    const seen = this.#chunks;
    if (!seen) return most;
    const { tiles, attention } = this.#factors;
    const fits = (n: number): boolean => {
      const pairs = n * (position + n);
      const largest = Math.max(seen.tile * tiles * n, seen.attention * attention * pairs);
      const all = seen.tiles * tiles * n + seen.attentions * attention * pairs;
      return largest <= this.#longest && all <= LONGEST_CHUNK;
    };
    let n = most;
    while (n > LEAST_TOKENS && !fits(n)) n = 2 ** (Math.ceil(Math.log2(n)) - 1);
    return Math.max(1, n);
  }

  /** What is known of chunks from this batch, if it is large enough to be one. */
  #chunksOf(batch: Batch): Chunks | null {
    if (batch.tokens.length < MANY_TOKENS) return null;
    if (this.#chunks?.batch !== batch) this.#chunks = { batch, tile: 0, tiles: 0, attention: 0, attentions: 0 };
    return this.#chunks;
  }
}

function kindOf({ call }: Command): Kind {
  return KINDS[call.kernel] ?? "memory";
}

/** Milliseconds that a command takes by FIRST. */
function first({ call, n }: Command, kind: Kind, batch: Batch): number {
  const { bytes, flops } = call.cost(n, batch);
  return FIRST[kind] * (kind === "memory" ? bytes + call.weights(n) : flops);
}

function note(chunks: Chunks, kind: Kind, ms: number): void {
  const { tokens, positions } = chunks.batch;
  const T = tokens.length;
  if (kind === "tiles") {
    chunks.tile = Math.max(chunks.tile, ms / T);
    chunks.tiles += ms / T;
  } else if (kind === "attention") {
    const pairs = T * (positions[T - 1]! + 1);
    chunks.attention = Math.max(chunks.attention, ms / pairs);
    chunks.attentions += ms / pairs;
  }
}
