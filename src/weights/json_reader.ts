// A strict JSON reader that reports what JSON.parse hides: repeated keys, spellings
// of numbers, positions.
//
// It accepts and rejects the same texts as safetensors' reference reader (serde_json: RFC
// 8259, no lone surrogates, no number beyond f64, at most 127 levels of nesting), and builds
// only requested values.

/** The deepest nesting of arrays and objects. */
const MAX_DEPTH = 127;
const MAX_U64 = 2n ** 64n - 1n;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

/** Text that is not the expected JSON; `at` is an index into the text. */
export class JsonError extends Error {
  readonly at: number;
  constructor(message: string, at: number) {
    super(message);
    this.at = at;
  }
}

export class JsonReader {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** The first character of the next value, without reading it; "" at the end. */
  peek(): string {
    for (let c = this.#text[this.#at]; c === " " || c === "\n" || c === "\r" || c === "\t"; )
      c = this.#text[++this.#at];
    return this.#text[this.#at] ?? "";
  }

  /** Reads an object; `member` must read each key's value. Repeated keys are reported each time. */
  object(what: string, member: (key: string) => void): void {
    this.#open("{", what);
    for (let first = true; this.#more("}", first); first = false) {
      const key = this.string("a key in quotes");
      if (this.peek() !== ":") this.fail('":" after a key');
      this.#at++;
      member(key);
    }
    this.#depth--;
  }

  /** Reads an array; `element` must read each value. */
  array(what: string, element: (index: number) => void): void {
    this.#open("[", what);
    for (let index = 0; this.#more("]", index === 0); index++) element(index);
    this.#depth--;
  }

  string(what: string): string {
    if (this.peek() !== '"') this.fail(what);
    let out = "";
    let from = ++this.#at;
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code === 0x22) break;
      if (Number.isNaN(code)) this.fail("the closing quote of a string");
      if (code < 0x20) this.fail("a string without control characters");
      if (code === 0x5c) {
        out += this.#text.slice(from, this.#at) + this.#escape();
        from = this.#at;
      } else this.#at++;
    }
    return out + this.#text.slice(from, this.#at++);
  }

  /**
   * A whole number in 0 .. 2^64 - 1, without fraction, exponent or sign; a bigint only if needed.
   */
  unsigned(what: string): number | bigint {
    const start = this.#at;
    const text = this.#number(what);
    if (/^[0-9]{1,15}$/.test(text)) return Number(text);
    const value = /^[0-9]{16,20}$/.test(text) ? BigInt(text) : MAX_U64 + 1n;
    if (value > MAX_U64) throw new JsonError(`expected ${what}, found ${clip(text)}`, start);
    return value > Number.MAX_SAFE_INTEGER ? value : Number(value);
  }

  null(what: string): void {
    this.peek();
    if (!this.#text.startsWith("null", this.#at)) this.fail(what);
    this.#at += 4;
  }

  /** Skips a value of any kind. */
  skip(): void {
    const c = this.peek();
    if (c === "{") this.object("an object", () => this.skip());
    else if (c === "[") this.array("an array", () => this.skip());
    else if (c === '"') this.string("a string");
    else if (c === "-" || (c >= "0" && c <= "9")) this.#number("a number");
    else {
      const word = ["true", "false", "null"].find((w) => this.#text.startsWith(w, this.#at));
      if (word === undefined) this.fail("a value");
      this.#at += word.length;
    }
  }

  /** Checks that only white space is left. */
  end(): void {
    if (this.peek() !== "") this.fail("the end of the text");
  }

  /** @throws JsonError: `expected` is missing here */
  fail(expected: string): never {
    const found =
      this.#at < this.#text.length ? clip(this.#text.slice(this.#at, this.#at + 64)) : "the end of the text";
    throw new JsonError(`expected ${expected}, found ${found}`, this.#at);
  }

  #open(bracket: string, what: string): void {
    if (this.peek() !== bracket) this.fail(what);
    if (++this.#depth > MAX_DEPTH) throw new JsonError(`nested deeper than ${MAX_DEPTH} levels`, this.#at);
    this.#at++;
  }

  /** Moves to the next member of an array or object; false after its closing bracket. */
  #more(close: string, first: boolean): boolean {
    const c = this.peek();
    if (c === close) {
      this.#at++;
      return false;
    }
    if (first) return true;
    if (c !== ",") this.fail(`"," or "${close}"`);
    this.#at++;
    if (this.peek() === close) this.fail('another value after ","');
    return true;
  }

  #number(what: string): string {
    this.peek();
    NUMBER.lastIndex = this.#at;
    const text = NUMBER.exec(this.#text)?.[0];
    if (text === undefined) this.fail(what);
    // "01", "1." and "1e" match up to the error; these characters cannot follow a number.
    if (/[0-9.eE]/.test(this.#text[NUMBER.lastIndex] ?? "")) this.fail(what);
    if (!Number.isFinite(Number(text))) this.fail("a number in the range of f64");
    this.#at = NUMBER.lastIndex;
    return text;
  }

  #escape(): string {
    const plain = ESCAPES[this.#text[this.#at + 1] ?? ""];
    if (plain !== undefined) {
      this.#at += 2;
      return plain;
    }
    const high = this.#hex();
    if (high < 0xd800 || high > 0xdfff) return String.fromCharCode(high);
    if (high > 0xdbff || this.#text[this.#at] !== "\\") this.fail("a pair of surrogate escapes");
    const low = this.#hex();
    if (low < 0xdc00 || low > 0xdfff) this.fail("a pair of surrogate escapes");
    return String.fromCharCode(high, low);
  }

  #hex(): number {
    const digits = /^\\u([0-9a-fA-F]{4})$/.exec(this.#text.slice(this.#at, this.#at + 6))?.[1];
    if (digits === undefined) this.fail("an escape of JSON");
    this.#at += 6;
    return Number.parseInt(digits, 16);
  }
}

/** Text for a message: short and on one line. */
function clip(text: string): string {
  return JSON.stringify(text.length > 24 ? `${text.slice(0, 24)}...` : text);
}
