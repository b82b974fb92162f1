// A constraint of several texts, each behind a fixed header of tokens that tells which it is.

import type { Constraint } from "../grammar/types.ts";

export interface HeadedText {
  /** Its tokens; no header is the beginning of another. */
  readonly head: readonly number[];
  readonly text: Constraint;
}

/** @param vocab V */
export function oneOfHeaded(options: readonly HeadedText[], vocab: number): Constraint {
  return new OneOf(options, vocab);
}

class OneOf implements Constraint {
  readonly #all: readonly HeadedText[];
  /** Those whose headers begin with the tokens so far. */
  #left: readonly HeadedText[];
  readonly #mask: Int32Array;
  #done = 0;

  constructor(options: readonly HeadedText[], vocab: number) {
    this.#all = this.#left = options;
    this.#mask = new Int32Array(Math.ceil(vocab / 32));
  }

  get ended(): boolean {
    return this.#chosen?.ended ?? false;
  }

  /** The constraint behind a complete header. */
  get #chosen(): Constraint | undefined {
    return this.#left.find(({ head }) => head.length <= this.#done)?.text;
  }

  async mask(): Promise<Int32Array | null> {
    const chosen = this.#chosen;
    if (chosen) return chosen.mask();
    this.#mask.fill(0);
    for (const { head } of this.#left) {
      const id = head[this.#done]!;
      this.#mask[id >> 5] = this.#mask[id >> 5]! | (1 << (id & 31));
    }
    return this.#mask;
  }

  accept(id: number): void {
    const chosen = this.#chosen;
    if (chosen) {
      chosen.accept(id);
      return;
    }
    this.#left = this.#left.filter(({ head }) => head[this.#done] === id);
    this.#done++;
  }

  close(): void {
    for (const { text } of this.#all) text.close();
  }
}
