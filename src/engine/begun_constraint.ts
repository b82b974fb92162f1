// A constraint of calls that a model may begin: its answer is free up to the mark of one, a call is
// held up to its end, then the answer is free again.

import type { Constraint } from "../grammar/types.ts";
import type { Tokenizer } from "../tokenizer/types.ts";

export interface BegunOptions {
  readonly tokenizer: Tokenizer;
  /** The token behind which a call follows. */
  readonly mark: number;
  /** Tokens that end an answer, as a mask. */
  readonly stops: Int32Array;
  /**
   * The constraint of the call that follows the mark, which ends with it; null if none does.
   * @param head the text in front of the mark, control tokens by name, as far back as MOST_HEAD
   */
  begin(head: string): Promise<Constraint> | null;
}

/** More than the header of any call, in UTF-16 units. */
const MOST_HEAD = 512;

export function begunCalls(options: BegunOptions): Constraint {
  return new Begun(options);
}

class Begun implements Constraint {
  readonly #options: BegunOptions;
  #head = "";
  #beginning: Promise<Constraint> | null = null;
  #call: Constraint | null = null;
  /** Tokens since the call's mark that it has not been given. */
  #waiting: number[] = [];

  constructor(options: BegunOptions) {
    this.#options = options;
  }

  readonly ended = false;

  async mask(): Promise<Int32Array | null> {
    if (this.#beginning !== null) {
      this.#call = await this.#beginning;
      this.#beginning = null;
      for (const id of this.#waiting.splice(0)) {
        await this.#call.mask();
        this.#call.accept(id);
      }
    }
    if (this.#call === null) return null;
    const mask = await this.#call.mask();
    const { stops } = this.#options;
    if (mask !== null && !stops.some((word, i) => (word & (mask[i] ?? 0)) !== 0)) return mask;
    this.#call.close();
    this.#call = null;
    return null;
  }

  accept(id: number): void {
    const { tokenizer, mark } = this.#options;
    if (this.#beginning !== null) this.#waiting.push(id);
    else if (this.#call !== null) this.#call.accept(id);
    else if (id === mark) this.#begin();
    this.#head = (this.#head + tokenizer.tokenText(id)).slice(-MOST_HEAD);
  }

  expect(ids: readonly number[]): void {
    this.#call?.expect?.(ids);
  }

  forced(): string {
    return this.#call?.forced?.() ?? "";
  }

  #begin(): void {
    this.#beginning = this.#options.begin(this.#head);
    // It may fail long before mask() throws that: until then no one would handle it.
    this.#beginning?.catch(() => {});
  }

  close(): void {
    this.#call?.close();
    this.#beginning?.then((call) => call.close()).catch(() => {});
  }
}
