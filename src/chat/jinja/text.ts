// Texts of a template: a text marks its untrusted characters (those from the conversation) through
// all operations. Also lengths and order of texts as in Python.

/**
 * A text with untrusted characters, or marked as safe HTML. Text of the template alone is
 * a plain string.
 */
export class Text {
  readonly plain: string;
  /**
   * Start and end of each untrusted range, alternating (UTF-16 units, end exclusive, ascending).
   */
  readonly untrusted: readonly number[];
  /** Python's Markup: HTML that must not be escaped again. */
  readonly safe: boolean;

  constructor(plain: string, untrusted: readonly number[], safe = false) {
    this.plain = plain;
    this.untrusted = untrusted;
    this.safe = safe;
  }
}

export type Str = string | Text;

export function isStr(value: unknown): value is Str {
  return typeof value === "string" || value instanceof Text;
}

export function plain(text: Str): string {
  return typeof text === "string" ? text : text.plain;
}

export function isSafe(value: unknown): value is Text {
  return value instanceof Text && value.safe;
}

/** A text whose characters are all untrusted. */
export function untrustedText(text: string): Str {
  return text === "" ? text : new Text(text, [0, text.length]);
}

function made(text: string, untrusted: readonly number[], safe: boolean): Str {
  return untrusted.length > 0 || safe ? new Text(text, untrusted, safe) : text;
}

export function withSafe(text: Str, safe: boolean): Str {
  if (typeof text === "string") return made(text, [], safe);
  return text.safe === safe ? text : made(text.plain, text.untrusted, safe);
}

export function concat(parts: readonly Str[]): Str {
  let marked = false;
  for (const part of parts) if (typeof part !== "string") marked = true;
  if (!marked) return parts.join("");
  const untrusted: number[] = [];
  let at = 0;
  for (const part of parts) {
    if (typeof part !== "string") {
      for (let i = 0; i < part.untrusted.length; i += 2) {
        const start = at + part.untrusted[i]!;
        if (untrusted.length > 0 && untrusted[untrusted.length - 1] === start) untrusted.length--;
        else untrusted.push(start);
        untrusted.push(at + part.untrusted[i + 1]!);
      }
    }
    at += plain(part).length;
  }
  return made(parts.map(plain).join(""), untrusted, false);
}

export function repeatText(text: Str, times: number): Str {
  return typeof text === "string" ? text.repeat(times) : concat(new Array<Str>(times).fill(text));
}

/** The UTF-16 units from `start` to `end`, without the safe mark. */
export function cut(text: Str, start: number, end: number): Str {
  if (typeof text === "string") return text.slice(start, end);
  if (end <= start) return "";
  const untrusted: number[] = [];
  for (let i = 0; i < text.untrusted.length; i += 2) {
    const [from, to] = [Math.max(text.untrusted[i]!, start), Math.min(text.untrusted[i + 1]!, end)];
    if (from < to) untrusted.push(from - start, to - start);
  }
  return made(text.plain.slice(start, end), untrusted, false);
}

/**
 * Applies `change` to the trusted and untrusted parts separately; it must not depend on the
 * surrounding text.
 */
export function mapParts(text: Str, change: (part: string) => string): Str {
  if (typeof text === "string") return change(text);
  if (text.untrusted[0] === 0 && text.untrusted[1] === text.plain.length) return untrustedText(change(text.plain));
  const parts: Str[] = [];
  let at = 0;
  for (let i = 0; i < text.untrusted.length; i += 2) {
    const [start, end] = [text.untrusted[i]!, text.untrusted[i + 1]!];
    parts.push(change(text.plain.slice(at, start)), untrustedText(change(text.plain.slice(start, end))));
    at = end;
  }
  parts.push(change(text.plain.slice(at)));
  return concat(parts);
}

const SURROGATE = /[\ud800-\udfff]/;

/** Number of code points: the length of a text in Python. */
export function pointsIn(text: string): number {
  if (!SURROGATE.test(text)) return text.length;
  let count = 0;
  for (let at = 0; at < text.length; at = after(text, at)) count++;
  return count;
}

/** The position after the code point at `at`. */
export function after(text: string, at: number): number {
  return at + (text.codePointAt(at)! > 0xffff ? 2 : 1);
}

/**
 * Start positions of all code points and the end of the text; null if every code point is one unit.
 */
export function pointStarts(text: string): readonly number[] | null {
  if (!SURROGATE.test(text)) return null;
  const starts: number[] = [];
  for (let at = 0; at < text.length; at = after(text, at)) starts.push(at);
  starts.push(text.length);
  return starts;
}

/** Number of code points before a position. */
export function pointsBefore(text: string, unit: number): number {
  return SURROGATE.test(text) ? pointsIn(text.slice(0, unit)) : unit;
}

/** The code points of a text, each as a text. */
export function characters(text: Str): Str[] {
  const all = plain(text);
  const found: Str[] = [];
  for (let at = 0; at < all.length; ) {
    const end = after(all, at);
    found.push(cut(text, at, end));
    at = end;
  }
  return found;
}

/** Compares texts by code points, as Python does. Negative, 0 or positive. */
export function compareTexts(a: string, b: string): number {
  if (a === b) return 0;
  if (!SURROGATE.test(a) && !SURROGATE.test(b)) return a < b ? -1 : 1;
  for (let at = 0; at < a.length && at < b.length; at = after(a, at)) {
    const difference = a.codePointAt(at)! - b.codePointAt(at)!;
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** White space as Python's str.isspace() and strip() define it. */
export const SPACES = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const SPACE = new RegExp(`[${SPACES}]`);
export function isSpace(unit: string): boolean {
  return SPACE.test(unit);
}

/** Line boundaries of str.splitlines(). */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they end lines in Python
export const LINE_END = /\r\n|[\n-\r\x1c-\x1e\x85\u2028\u2029]/g;

/** Removes trailing white space; a regular expression would take quadratic time. */
export function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && isSpace(text[end - 1]!)) end--;
  return text.slice(0, end);
}
