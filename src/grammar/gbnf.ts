// Translates GBNF, llama.cpp's grammar notation, to the EBNF that ebnf.ts reads. Constructs mean
// what they mean in llama.cpp's parser (src/llama-grammar.cpp) and its grammars/README.md.
//
// The differences are small and easy to overlook: in GBNF `.` is any character, not part of a name;
// names may begin with a digit or a dash; a space may stand before `*`; there are no 'texts in
// single quotes', and fewer escapes.

import { RequestError } from "../errors.ts";

/** The limit of ebnf.ts. */
const MAX_TEXT = 64 * 1024;
const NAME = /[A-Za-z0-9_-]+/y;
const ASSIGN = /[ \t]*::=/y;
const REPEAT = /[*+?]|\{\s*\d+\s*(,\s*\d*\s*)?\}/y;
const ESCAPES: Readonly<Record<string, string>> = {
  t: "\t",
  r: "\r",
  n: "\n",
  "\\": "\\",
  '"': '"',
  "[": "[",
  "]": "]",
  "-": "-",
};

/**
 * @throws RequestError with the line and column of a mistake; and for tokens of a vocabulary
 * (`<think>`), which are not texts
 */
export function gbnfToEbnf(text: string): string {
  if (typeof text !== "string") throw new RequestError(`grammar: expected a text, found ${typeof text}`);
  if (text.length > MAX_TEXT) throw new RequestError(`grammar: more than ${MAX_TEXT / 1024} KiB`);
  return new Reader(text).rules();
}

/** A grammar in EBNF that allows these texts and no others. */
export function choicesToEbnf(choices: readonly string[]): string {
  return `root ::= ${choices.map((choice) => `"${Array.from(choice, escaped).join("")}"`).join(" | ")}`;
}

/** A character within a text or a class. */
function escaped(char: string): string {
  const point = char.codePointAt(0)!;
  if (/[\p{L}\p{N} ]/u.test(char)) return char;
  return `\\U${point.toString(16).padStart(8, "0")}`;
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  rules(): string {
    const rules: string[] = [];
    this.#blank();
    while (this.#at < this.#text.length) {
      const name = this.#match(NAME) ?? this.#fail("expected the name of a rule");
      if (this.#match(ASSIGN) === null) this.#fail("expected ::=");
      rules.push(`${nameOf(name)} ::= ${this.#terms()}`);
    }
    return rules.join("\n");
  }

  /**
   * The right side of ::=, or the contents of parentheses. Iterative, so that ebnf.ts
   * can reject what is nested too deep. A repetition of a repetition repeats the whole,
   * as in llama.cpp's parser.
   */
  #terms(): string {
    const out: string[] = [];
    const opened: number[] = []; // where the open parentheses begin
    let item = -1; // where the item that may be repeated begins
    let repeated = ""; // its repetition so far
    for (;;) {
      this.#blank();
      const c = this.#text[this.#at];
      if (c === undefined || (opened.length === 0 && this.#atRule())) {
        if (opened.length > 0) this.#fail("expected )");
        return out.join(" ");
      }
      const repeat = this.#match(REPEAT);
      if (repeat !== null) {
        if (item < 0) this.#fail(`expected something to repeat in front of ${repeat}`);
        const wanted = repeat.replaceAll(/\s/g, "");
        const both = wanted.length === 1 && repeated.length === 1;
        const last = out.length - 1;
        if (both) out[last] = out[last]!.slice(0, -1);
        else if (repeated !== "") {
          out[item] = `(${out[item]}`;
          out[last] += ")";
        }
        repeated = both && wanted !== repeated ? "*" : wanted;
        out[last] += repeated;
        continue;
      }
      item = c === "|" || c === "(" ? -1 : out.length;
      repeated = "";
      if (c === "|" || c === "(" || c === ")") {
        this.#at++;
        if (c === "(") opened.push(out.length);
        if (c === ")") item = opened.pop() ?? this.#fail("a ) without a (");
        out.push(c);
      } else if (c === '"') {
        this.#at++;
        out.push(`"${this.#until('"', "a text")}"`);
      } else if (c === "[") {
        this.#at++;
        out.push(this.#class());
      } else if (c === ".") {
        this.#at++;
        out.push("[^]");
      } else if (c === "<" || c === "!") {
        this.#fail("tokens of the vocabulary (<...>) are not supported: write their text");
      } else {
        out.push(nameOf(this.#match(NAME) ?? this.#fail("expected a text, a class, a group or the name of a rule")));
      }
    }
  }

  /** Whether the next rule begins here. */
  #atRule(): boolean {
    const start = this.#at;
    const found = this.#match(NAME) !== null && this.#match(ASSIGN) !== null;
    this.#at = start;
    return found;
  }

  #until(end: string, where: string): string {
    let out = "";
    while (this.#text[this.#at] !== end) out += escaped(this.#character(where));
    this.#at++;
    return out;
  }

  #class(): string {
    let out = "[";
    if (this.#text[this.#at] === "^") {
      this.#at++;
      out += "^";
    }
    while (this.#text[this.#at] !== "]") {
      out += escaped(this.#character("a class"));
      if (this.#text[this.#at] !== "-" || this.#text[this.#at + 1] === "]") continue;
      this.#at++;
      out += `-${escaped(this.#character("a class"))}`;
    }
    this.#at++;
    return `${out}]`;
  }

  #character(where: string): string {
    const point = this.#text.codePointAt(this.#at);
    if (point === undefined) this.#fail(`${where} that does not end`);
    const char = String.fromCodePoint(point!);
    this.#at += char.length;
    if (char !== "\\") return char;
    const code = this.#match(/x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}/y);
    if (code !== null) {
      const value = Number.parseInt(code.slice(1), 16);
      if (value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) this.#fail("no character of Unicode");
      return String.fromCodePoint(value);
    }
    const c = this.#text[this.#at++] ?? this.#fail(`${where} that does not end`);
    return ESCAPES[c] ?? this.#fail(`the escape \\${c}, which is not known`);
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (!found) return null;
    this.#at += found[0].length;
    return found[0];
  }

  /** White space and comments. */
  #blank(): void {
    this.#match(/(?:\s|#[^\n]*)*/y);
  }

  #fail(what: string): never {
    const before = this.#text.slice(0, this.#at).split("\n");
    throw new RequestError(`grammar: line ${before.length}, column ${before.at(-1)!.length + 1}: ${what}`);
  }
}

/** A distinct name that EBNF allows: there, names begin with a letter or an underscore. */
function nameOf(name: string): string {
  return /^[A-Za-z]/.test(name) ? name : `_${name}`;
}
