// Splits a template into tokens; white space around tags is trimmed as transformers configures it
// (trim_blocks, lstrip_blocks).

import { TemplateFault } from "./bounds.ts";
import { SPACES, trimEnd } from "./text.ts";
import { Float, whole } from "./values.ts";

export type TokenType =
  | "data"
  | "begin"
  | "end"
  | "print"
  | "printed"
  | "name"
  | "text"
  | "number"
  | "operator"
  | "eof";

/** `begin` and `end` are {% and %}, `print` and `printed` are {{ and }}. */
export interface Token {
  readonly type: TokenType;
  readonly line: number;
  /** The name, the operator, or the contents of the text. */
  readonly value: string;
  /** The value of a number token. */
  readonly number: number | bigint | Float | null;
}

const S = `[${SPACES}]*`;
const RAW = new RegExp(`\\{%([-+]?)${S}raw${S}(-%\\}${S}|%\\})`, "y");
const RAW_END = new RegExp(`\\{%([-+]?)${S}endraw${S}(\\+%\\}|-%\\}${S}|%\\}\\n?)`, "g");
const COMMENT_END = new RegExp(`\\+#\\}|-#\\}${S}|#\\}\\n?`, "g");
const BLOCK_END = new RegExp(`\\+%\\}|-%\\}${S}|%\\}\\n?`, "y");
const PRINT_END = new RegExp(`-\\}\\}${S}|\\}\\}`, "y");
const TAG = /\{[{%#][-+]?/g;
const SPACE_RUN = new RegExp(`[${SPACES}]+`, "y");
const FLOAT = /(?<!\.)(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?[eE][-+]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/y;
const INTEGER = /0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0[xX](?:_?[\da-fA-F])+|[1-9](?:_?\d)*|0(?:_?0)*/y;
const NAME = /[\p{L}\p{N}\p{M}\p{Pc}]+/uy;
const IDENTIFIER = /^[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Mn}\p{Mc}\p{Nd}\p{Pc}]*$/u;
const STRING = /'[^'\\]*(?:\\[\s\S][^'\\]*)*'|"[^"\\]*(?:\\[\s\S][^"\\]*)*"/y;
const OPERATOR = /\/\/|\*\*|==|!=|>=|<=|[-+/*%~[\](){}<>=.:|,;]/y;
const CLOSES: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}" };

/** Splits a template into tokens; the last one is `eof`. @throws TemplateFault */
export function tokenize(template: string): Token[] {
  const source = template.replace(/\r\n?/g, "\n").replace(/\n$/, "");
  return new Lexer(source).run();
}

class Lexer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  #at = 0;
  #line = 1;
  #counted = 0;
  /** Whether the current position is at the start of a line. */
  #lineStarts = true;

  constructor(source: string) {
    this.#source = source;
  }

  run(): Token[] {
    const source = this.#source;
    while (this.#at < source.length) {
      TAG.lastIndex = this.#at;
      const tag = TAG.exec(source);
      if (tag === null) {
        this.#data(source.slice(this.#at));
        this.#move(source.length);
        break;
      }
      const [opening, kind] = [tag[0], tag[0][1]!];
      const start = tag.index;
      const raw = kind === "%" ? match(RAW, source, start) : null;
      this.#data(this.#stripped(source.slice(this.#at, start), opening[2] ?? "", kind !== "{"));
      if (raw !== null) this.#raw(start + raw[0].length);
      else {
        this.#move(start + opening.length);
        if (kind === "#") this.#comment();
        else this.#tag(kind === "%");
      }
    }
    this.#push("eof", "");
    return this.#tokens;
  }

  /** The text before a tag, without the white space that the tag trims. */
  #stripped(text: string, sign: string, block: boolean): string {
    if (sign === "-") return trimEnd(text);
    if (sign === "+" || !block) return text;
    const start = text.lastIndexOf("\n") + 1;
    if (start === 0 && !this.#lineStarts) return text;
    return match(SPACE_RUN, text, start)?.[0].length === text.length - start ? text.slice(0, start) : text;
  }

  #raw(start: number): void {
    this.#move(start);
    if (start === this.#source.length) return; // as in Jinja2
    RAW_END.lastIndex = start;
    const end = RAW_END.exec(this.#source) ?? this.#fail("{% raw %}: {% endraw %} is missing");
    this.#data(this.#stripped(this.#source.slice(start, end.index), end[1]!, true));
    this.#move(end.index + end[0].length);
  }

  #comment(): void {
    if (this.#at === this.#source.length) return; // as in Jinja2
    COMMENT_END.lastIndex = this.#at;
    const end = COMMENT_END.exec(this.#source) ?? this.#fail("the end of the comment, #}, is missing");
    this.#move(end.index + end[0].length);
  }

  #tag(block: boolean): void {
    const source = this.#source;
    const open: string[] = [];
    this.#push(block ? "begin" : "print", "");
    for (;;) {
      if (open.length === 0) {
        const end = match(block ? BLOCK_END : PRINT_END, source, this.#at);
        if (end !== null) {
          this.#push(block ? "end" : "printed", block ? "%}" : "}}");
          this.#move(this.#at + end[0].length);
          return;
        }
      }
      if (this.#at >= source.length) return; // the parser reports what is missing
      this.#token(open);
    }
  }

  #token(open: string[]): void {
    for (const [pattern, read] of this.#readers) {
      const text = match(pattern, this.#source, this.#at)?.[0];
      if (text === undefined) continue;
      read(text, open);
      this.#move(this.#at + text.length);
      return;
    }
    this.#fail(`unexpected character '${String.fromCodePoint(this.#source.codePointAt(this.#at)!)}'`);
  }

  /** The kinds of tokens inside a tag, in the order in which they are tried. */
  readonly #readers: readonly (readonly [RegExp, (text: string, open: string[]) => void])[] = [
    [SPACE_RUN, () => {}],
    [FLOAT, (text) => this.#push("number", text, new Float(Number(text.replaceAll("_", ""))))],
    [INTEGER, (text) => this.#push("number", text, whole(BigInt(text.replaceAll("_", ""))))],
    [
      NAME,
      (text) => {
        if (!IDENTIFIER.test(text)) this.#fail(`'${text}' is not a name`);
        this.#push("name", text);
      },
    ],
    [STRING, (text) => this.#push("text", this.#unescaped(text.slice(1, -1)))],
    [OPERATOR, (text, open) => this.#operator(text, open)],
  ];

  #operator(text: string, open: string[]): void {
    const closing = CLOSES[text];
    if (closing !== undefined) open.push(closing);
    else if (/[)\]}]/.test(text)) {
      const expected = open.pop();
      if (expected !== text) this.#fail(`unexpected '${text}'${expected ? `, expected '${expected}'` : ""}`);
    }
    this.#push("operator", text);
  }

  /** Decodes the escapes of a text literal, like Python's unicode-escape. */
  #unescaped(text: string): string {
    const simple: Readonly<Record<string, string>> = {
      ...{ "\n": "", "\\": "\\", "'": "'", '"': '"', a: "\x07", b: "\b" },
      ...{ f: "\f", n: "\n", r: "\r", t: "\t", v: "\v" },
    };
    const pattern = /\\(?:([0-7]{1,3})|x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([\s\S]))/gu;
    return text.replace(pattern, (_, octal?: string, x?: string, u?: string, long?: string, other?: string) => {
      if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8));
      const hex = x ?? u ?? long;
      if (hex !== undefined) {
        const code = Number.parseInt(hex, 16);
        return code <= 0x10ffff ? String.fromCodePoint(code) : this.#fail(`\\U${hex} is not a character`);
      }
      if (/[xuUN]/.test(other!)) this.#fail(`\\${other} in a text: expected hexadecimal digits`);
      // Jinja2 first turns non-ASCII characters into escapes; a backslash before one breaks
      // up that escape.
      const code = other!.codePointAt(0)!;
      if (code < 0x80) return simple[other!] ?? `\\${other}`;
      const digits = code.toString(16);
      if (code < 0x100) return `\\x${digits}`;
      return code < 0x10000 ? `\\u${digits.padStart(4, "0")}` : `\\U${digits.padStart(8, "0")}`;
    });
  }

  #data(text: string): void {
    if (text !== "") this.#push("data", text);
  }

  #push(type: TokenType, value: string, number: Token["number"] = null): void {
    this.#tokens.push({ type, line: this.#lineNow(), value, number });
  }

  #lineNow(): number {
    for (; this.#counted < this.#at; this.#counted++) if (this.#source[this.#counted] === "\n") this.#line++;
    return this.#line;
  }

  #move(to: number): void {
    if (to > this.#at) this.#lineStarts = this.#source[to - 1] === "\n";
    this.#at = to;
  }

  #fail(message: string): never {
    throw new TemplateFault(`line ${this.#lineNow()}: ${message}`);
  }
}

function match(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}
