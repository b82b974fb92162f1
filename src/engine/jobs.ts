// What waits for its turn in the stepper besides streams: tokens whose logits a session needs, and
// work between two steps.

import { type Claim, Evicted } from "./claim.ts";
import type { Sampler } from "./sampler.ts";
import type { Work } from "./work.ts";

/** A wait for logits, or for the ids that a chain of choices gives. */
export class Job implements Work {
  readonly sequence: Claim;
  readonly tokens: readonly number[];
  readonly wanted: "last" | "all" | "none";
  readonly signal: AbortSignal | undefined;
  /** Of a chain: chooses after each of the tokens as long as it chooses the next one. */
  readonly sampler: Sampler | null;
  /** What it chose; null: the backend cannot. */
  ids: Uint32Array | null = null;
  readonly answer: Promise<Float32Array>;
  /** Its caller has an answer. */
  over = false;
  #resolve!: (logits: Float32Array) => void;
  #reject!: (error: unknown) => void;

  constructor(
    sequence: Claim,
    tokens: readonly number[],
    wanted: Work["wanted"],
    signal: AbortSignal | undefined,
    sampler: Sampler | null = null,
  ) {
    this.sampler = sampler;
    this.sequence = sequence;
    this.tokens = tokens;
    this.wanted = wanted;
    this.signal = signal;
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  get position(): number {
    return this.sequence.length;
  }

  /** @param logits [n, V]; none of a chain */
  done(logits: Float32Array): void {
    if (this.over) return;
    this.over = true;
    this.sequence.reached(this.sequence.length + this.tokens.length);
    this.#resolve(logits);
  }

  /** Nothing is computed of a chain that the backend cannot choose. */
  leave(): void {
    this.over = true;
    this.#resolve(new Float32Array(0));
  }

  fail(error: unknown): void {
    this.over = true;
    this.#reject(error);
  }

  /** The sequence's blocks were evicted. */
  evict(): void {
    this.fail(new Evicted());
  }
}

/** A wait for the pause between two steps. */
export class Pause<T = unknown> {
  readonly answer: Promise<T>;
  #run!: (cut: AbortSignal) => void;
  #reject!: (error: unknown) => void;

  constructor(work: (cut: AbortSignal) => Promise<T>) {
    this.answer = new Promise<AbortSignal>((resolve, reject) => {
      this.#run = resolve;
      this.#reject = reject;
    }).then(work);
  }

  async run(cut: AbortSignal): Promise<void> {
    this.#run(cut);
    await this.answer.catch(() => {}); // reported to its caller
  }

  fail(error: unknown): void {
    this.#reject(error);
  }
}
