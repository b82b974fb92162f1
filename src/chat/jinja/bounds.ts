// What one rendering may spend: whoever made the folder wrote the template, and it must neither hang nor fill the memory.

/** A template's own raise_exception(): it refuses the conversation. */
export class Refusal extends Error {}

/** A template that is wrong, or that goes beyond its bounds. */
export class TemplateFault extends Error {}

/** Calls of macros within calls. */
const MAX_DEPTH = 150;
/** What a rendering may spend, beyond 8 for each character given. A unit is one node evaluated or 16 characters handled. */
const BUDGET = 1_000_000;
/** Characters of any text that a template makes, beyond 16 for each character that it was given. */
const MAX_TEXT = 2 ** 22;

/** One rendering: what it has left, and where it is. */
export class Run {
  /** Line of the template that is being evaluated. */
  line = 1;
  #depth = 0;
  #left: number;
  readonly #budget: number;
  readonly #maxText: number;

  constructor(given: number) {
    this.#budget = BUDGET + 8 * given;
    this.#left = this.#budget;
    this.#maxText = MAX_TEXT + 16 * given;
  }

  spend(units: number): void {
    this.#left -= units;
    // Also for NaN, which numbers of a template can make.
    if (!(this.#left >= 0)) {
      throw new TemplateFault(`it takes more than the ${this.#budget} steps that a rendering may take; does it loop?`);
    }
  }

  /** Spends what handling this many characters costs. */
  read(length: number): void {
    this.spend(1 + length / 16);
  }

  /** Makes sure, before it is made, that a text of this many characters may be made. */
  room(length: number): void {
    if (!(length <= this.#maxText)) {
      throw new TemplateFault(`it makes a text of more than ${this.#maxText} characters`);
    }
    this.read(length);
  }

  /** A call of the template's own code. */
  nested<T>(call: () => T): T {
    if (++this.#depth > MAX_DEPTH) {
      throw new TemplateFault(`it is nested more than ${MAX_DEPTH} calls deep; does it call itself?`);
    }
    const { line } = this;
    const result = call();
    this.line = line;
    this.#depth--;
    return result;
  }
}
