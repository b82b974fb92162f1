// Calls that a model writes as Python does: [name(key="value", other=[1, None])]. Values become
// JSON.

import { parsePythonJson, pythonJson } from "./python_json.ts";

export interface PythonCall {
  readonly name: string;
  /** A JSON object, in the order given. */
  readonly arguments: string;
}

const WORDS: Readonly<Record<string, string>> = {
  True: "true",
  False: "false",
  None: "null",
  true: "true",
  false: "false",
  null: "null",
};
const ESCAPES: Readonly<Record<string, string>> = {
  n: "\n",
  t: "\t",
  r: "\r",
  b: "\b",
  f: "\f",
  v: "\v",
  a: "\x07",
  "0": "\0",
  "\n": "",
};
const CLOSING: Readonly<Record<string, string>> = { "[": "]", "(": ")", "{": "}" };
/** Values within values. */
const MOST_DEPTH = 64;

/** Reads a list of calls, or one call; null for anything else. */
export function pythonCalls(text: string): PythonCall[] | null {
  const reader = new Reader(text);
  try {
    return reader.calls();
  } catch (error) {
    if (error instanceof Unreadable) return null;
    throw error;
  }
}

/** Writes a call; arguments that are no JSON object are left out. */
export function pythonCall(name: string, text: string): string {
  const given = parsePythonJson(text);
  const members = given instanceof Map ? [...given].map(([key, value]) => `${String(key)}=${literal(value)}`) : [];
  return `${name}(${members.join(", ")})`;
}

function literal(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (value instanceof Map)
    return `{${[...value].map(([key, one]) => `${pythonJson(key)}: ${literal(one)}`).join(", ")}}`;
  if (value === null) return "None";
  return typeof value === "boolean" ? (value ? "True" : "False") : pythonJson(value);
}

class Unreadable extends Error {}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  calls(): PythonCall[] {
    const calls = this.#takes("[") ? this.#list("]", () => this.#call()) : [this.#call()];
    this.#space();
    if (this.#at < this.#text.length) throw new Unreadable();
    return calls;
  }

  #call(): PythonCall {
    const name = this.#match(/[\w.-]+/y);
    this.#needs("(");
    const members = this.#list(")", () => {
      const key = this.#match(/\w+/y);
      this.#needs("=");
      return `${JSON.stringify(key)}: ${this.#value(0)}`;
    });
    return { name, arguments: `{${members.join(", ")}}` };
  }

  /** Elements up to the closing bracket; the last may have a comma behind it. */
  #list<T>(close: string, element: () => T): T[] {
    const list: T[] = [];
    while (!this.#takes(close)) {
      if (list.length > 0) {
        this.#needs(",");
        if (this.#takes(close)) break;
      }
      list.push(element());
    }
    return list;
  }

  /** One value as JSON. */
  #value(depth: number): string {
    if (depth > MOST_DEPTH) throw new Unreadable();
    this.#space();
    const first = this.#text[this.#at] ?? "";
    if (first === '"' || first === "'") return JSON.stringify(this.#string());
    if (first === "[" || first === "(") {
      this.#at++;
      return `[${this.#list(CLOSING[first]!, () => this.#value(depth + 1)).join(", ")}]`;
    }
    if (first === "{") {
      this.#at++;
      const members = this.#list("}", () => {
        const key = this.#value(depth + 1);
        this.#needs(":");
        return `${key.startsWith('"') ? key : JSON.stringify(key)}: ${this.#value(depth + 1)}`;
      });
      return `{${members.join(", ")}}`;
    }
    const word = this.#match(/[\w.+-]+/y);
    if (Object.hasOwn(WORDS, word)) return WORDS[word]!;
    if (!/^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(word)) throw new Unreadable();
    return word;
  }

  #string(): string {
    const quote = this.#match(/"""|'''|"|'/y);
    let value = "";
    while (!this.#text.startsWith(quote, this.#at)) {
      const character = this.#text[this.#at++];
      if (character === undefined) throw new Unreadable();
      value += character === "\\" ? this.#escape() : character;
    }
    this.#at += quote.length;
    return value;
  }

  /** What stands behind a backslash; Python keeps one that means nothing. */
  #escape(): string {
    const code = /x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})/y;
    code.lastIndex = this.#at;
    const found = code.exec(this.#text);
    if (found) {
      this.#at = code.lastIndex;
      const point = Number.parseInt(found[1] ?? found[2] ?? found[3]!, 16);
      if (point > 0x10ffff) throw new Unreadable();
      return String.fromCodePoint(point);
    }
    const character = this.#text[this.#at++] ?? "";
    if (`\\'"`.includes(character)) return character;
    return ESCAPES[character] ?? `\\${character}`;
  }

  #match(pattern: RegExp): string {
    this.#space();
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found === undefined) throw new Unreadable();
    this.#at += found.length;
    return found;
  }

  #takes(mark: string): boolean {
    this.#space();
    if (!this.#text.startsWith(mark, this.#at)) return false;
    this.#at += mark.length;
    return true;
  }

  #needs(mark: string): void {
    if (!this.#takes(mark)) throw new Unreadable();
  }

  #space(): void {
    while (/\s/.test(this.#text[this.#at] ?? "")) this.#at++;
  }
}
