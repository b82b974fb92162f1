// Incremental JSON recogniser: takes one value character by character and tells whether it is open,
// complete or invalid.

/** Nesting depth beyond which a value counts as malformed. */
const MAX_DEPTH = 128;
const WORD = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?)$/;
/** A character that may occur in a WORD; the whole word is tested once it ends. */
const WORD_PART = /^[-+.0-9a-zA-Z]$/;

type Expects = "value" | "value or end" | "key" | "key or end" | "colon" | "comma or end" | "string" | "word";

/**
 * "more": the value goes on; "done": this was its last character; "after": the value (a number or a
 * word) ended before this character; "bad": this is not JSON.
 */
export type Scan = "more" | "done" | "after" | "bad";

export class JsonScanner {
  readonly #open: ("{" | "[")[] = [];
  #expects: Expects = "value";
  #isKey = false;
  /**
   * Inside a string: "\\" after a backslash; after \u, the number of hexadecimal
   * digits still expected.
   */
  #escaped: "" | "\\" | number = "";
  #word = "";

  /** Whether a string has begun and not ended. */
  get inString(): boolean {
    return this.#expects === "string";
  }

  push(character: string): Scan {
    if (this.#expects === "string") return this.#inString(character);
    if (this.#expects === "word") {
      if (WORD_PART.test(character)) {
        this.#word += character;
        return this.#word.length > 400 ? "bad" : "more";
      }
      if (!WORD.test(this.#word)) return "bad";
      if (this.#open.length === 0) return "after";
      this.#expects = "comma or end";
    }
    if (character === " " || character === "\n" || character === "\t" || character === "\r") return "more";
    switch (this.#expects) {
      case "colon":
        this.#expects = "value";
        return character === ":" ? "more" : "bad";
      case "comma or end":
        if (character !== ",") return this.#close(character);
        this.#expects = this.#open.at(-1) === "{" ? "key" : "value";
        return "more";
      case "key or end":
        if (character === "}") return this.#close(character);
        return this.#startString(character, true);
      case "key":
        return this.#startString(character, true);
      case "value or end":
        if (character === "]") return this.#close(character);
        return this.#startValue(character);
      default:
        return this.#startValue(character);
    }
  }

  #startValue(character: string): Scan {
    if (character === "{" || character === "[") {
      this.#open.push(character);
      this.#expects = character === "{" ? "key or end" : "value or end";
      return this.#open.length > MAX_DEPTH ? "bad" : "more";
    }
    if (character === '"') return this.#startString(character, false);
    if (!/^[-0-9tfn]$/.test(character)) return "bad";
    this.#word = character;
    this.#expects = "word";
    return "more";
  }

  #startString(character: string, isKey: boolean): Scan {
    if (character !== '"') return "bad";
    this.#expects = "string";
    this.#isKey = isKey;
    return "more";
  }

  #inString(character: string): Scan {
    if (typeof this.#escaped === "number") {
      if (!/^[0-9a-fA-F]$/.test(character)) return "bad";
      this.#escaped = this.#escaped === 1 ? "" : this.#escaped - 1;
      return "more";
    }
    if (this.#escaped === "\\") {
      this.#escaped = character === "u" ? 4 : "";
      return /^["\\/bfnrtu]$/.test(character) ? "more" : "bad";
    }
    if (character === "\\") this.#escaped = "\\";
    else if (character === '"') {
      if (!this.#isKey) return this.#ended();
      this.#expects = "colon";
    } else if (character < " ") return "bad";
    return "more";
  }

  #close(character: string): Scan {
    const open = this.#open.pop();
    if ((open === "{" && character === "}") || (open === "[" && character === "]")) return this.#ended();
    return "bad";
  }

  #ended(): Scan {
    this.#expects = "comma or end";
    return this.#open.length === 0 ? "done" : "more";
  }
}
