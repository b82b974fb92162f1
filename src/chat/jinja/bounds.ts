// Limits of a rendering: templates are untrusted code, which must neither hang nor exhaust memory.

/** The template called raise_exception() to reject the conversation. */
export class Refusal extends Error {}

/** The template is invalid, or exceeded its limits. */
export class TemplateFault extends Error {}

/** Nesting depth of macro calls. */
const MAX_DEPTH = 150;
/**
 * Budget of a rendering in units (one node evaluated, or 16 characters processed), plus 8 for each
 * input character.
 */
const BUDGET = 1_000_000;
/** Maximum length of any text that a template creates, plus 16 for each input character. */
const MAX_TEXT = 2 ** 22;

/** One rendering: its remaining budget and its current line. */
export class Run {
  /** The template line being evaluated. */
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
    // Negated so that it also catches NaN, which a template's numbers can produce.
    if (!(this.#left >= 0)) {
      throw new TemplateFault(`it exceeds the limit of ${this.#budget} steps; is there an endless loop?`);
    }
  }

  /** Spends the cost of processing this many characters. */
  read(length: number): void {
    this.spend(1 + length / 16);
  }

  /** Checks, before a text of this many characters is created, that it is within the limit. */
  room(length: number): void {
    if (!(length <= this.#maxText)) {
      throw new TemplateFault(`it creates a text of more than ${this.#maxText} characters`);
    }
    this.read(length);
  }

  /** Runs a call of the template's own code, within the limit of nesting. */
  nested<T>(call: () => T): T {
    if (++this.#depth > MAX_DEPTH) {
      throw new TemplateFault(`calls are nested more than ${MAX_DEPTH} deep; is there an endless recursion?`);
    }
    const { line } = this;
    const result = call();
    this.line = line;
    this.#depth--;
    return result;
  }
}
