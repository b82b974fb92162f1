// Incremental parser of a list of tool calls as the model generates it:
// [{"name": "f", "arguments": {...}}, ...].

import { JsonScanner } from "./json_scan.ts";

export interface CallListener {
  /** Whether a tool of this name exists. If not, the list is malformed from here on. */
  knows(name: string): boolean;
  /**
   * Reports a complete call. `text` is the JSON object of its arguments; `id` is null unless the
   * model wrote one.
   */
  call(name: string, id: string | null, text: string): void;
}

type Expects =
  | "list"
  | "call or end"
  | "call"
  | "comma or end"
  | "key or end"
  | "key"
  | "colon"
  | "value"
  | "next key"
  | "done";

/**
 * The result of pushing a character: the list goes on, is complete, or is malformed
 * at this character.
 */
export type ListScan = "more" | "done" | { readonly malformed: string };

export class CallList {
  /**
   * Characters read since the last complete call; they become ordinary text if the call
   * turns out malformed.
   */
  raw = "";
  readonly #listener: CallListener;
  #expects: Expects = "list";
  #scanner = new JsonScanner();
  /**
   * The key or value being read, and its first character: indexing into a growing string would
   * flatten it each time.
   */
  #text = "";
  #first = "";
  #key = "";
  #name: string | null = null;
  #id: string | null = null;
  #arguments = "{}";
  #seen = new Set<string>();

  constructor(listener: CallListener) {
    this.#listener = listener;
  }

  /** Whether the opening bracket has not been read yet. */
  get waiting(): boolean {
    return this.#expects === "list";
  }

  /** Whether the next character belongs to a text in quotation marks. */
  get inString(): boolean {
    return (this.#expects === "key" || this.#expects === "value") && this.#scanner.inString;
  }

  push(character: string): ListScan {
    this.raw += character;
    if (this.#expects === "key" || this.#expects === "value") return this.#inValue(character);
    if (character === " " || character === "\n" || character === "\t" || character === "\r") return "more";
    switch (`${this.#expects} ${character}`) {
      case "list [":
        return this.#to("call or end");
      case "call or end {":
      case "call {":
        this.#name = this.#id = null;
        this.#arguments = "{}";
        this.#seen = new Set();
        return this.#to("key or end");
      case "call or end ]":
      case "comma or end ]":
        this.#expects = "done";
        return "done";
      case "comma or end ,":
        return this.#to("call");
      case "colon :":
        return this.#to("value");
      case "next key ,":
        return this.#to("key");
      case "key or end }":
      case "next key }":
        return this.#endCall();
    }
    if (this.#expects === "key or end" && character === '"') {
      this.#to("key");
      return this.#inValue(character);
    }
    return {
      malformed: `expected ${this.#expects === "list" ? "a list of calls" : this.#expects}, found ${JSON.stringify(character)}`,
    };
  }

  #to(expects: Expects): "more" {
    this.#expects = expects;
    if (expects === "key" || expects === "value") {
      this.#scanner = new JsonScanner();
      this.#text = this.#first = "";
    }
    return "more";
  }

  #inValue(character: string): ListScan {
    const scan = this.#scanner.push(character);
    if (scan === "bad") return { malformed: "not valid JSON" };
    if (scan !== "after" && (this.#first !== "" || character.trim() !== "")) {
      this.#text += character;
      if (this.#first === "") this.#first = character;
    }
    if (this.#expects === "key") {
      if (this.#first !== "" && this.#first !== '"') return { malformed: "expected a key in quotation marks" };
      if (scan === "done") {
        this.#key = JSON.parse(this.#text) as string;
        if (this.#seen.has(this.#key)) return { malformed: `"${this.#key}" is given twice` };
        this.#seen.add(this.#key);
        this.#to("colon");
      }
      return "more";
    }
    if (this.#key === "arguments") return this.#inArguments(scan);
    if (scan === "more") return "more";
    const value: unknown = JSON.parse(this.#text);
    this.#to("next key");
    if (this.#key === "id" && typeof value === "string") this.#id = value;
    if (this.#key === "name") {
      if (typeof value !== "string") return { malformed: "expected a name in quotation marks" };
      if (!this.#listener.knows(value)) return { malformed: `there is no tool ${JSON.stringify(value)}` };
      this.#name = value;
    }
    if (scan !== "after") return "more";
    this.raw = this.raw.slice(0, -1); // push() below adds the character again
    return this.push(character);
  }

  #inArguments(scan: "more" | "done" | "after"): ListScan {
    if (this.#first === "") return "more";
    if (this.#first !== "{" && this.#first !== '"') return { malformed: "expected an object of arguments" };
    if (scan === "more") return "more";
    // Some models write the object as a JSON string.
    this.#arguments = this.#first === '"' ? (JSON.parse(this.#text) as string) : this.#text;
    if (!isObject(this.#arguments)) return { malformed: "expected an object of arguments" };
    return this.#to("next key");
  }

  #endCall(): ListScan {
    if (this.#name === null) return { malformed: "expected a name" };
    this.#listener.call(this.#name, this.#id, this.#arguments);
    this.raw = "";
    return this.#to("comma or end");
  }
}

/** Whether a text is a JSON object. */
export function isObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}
