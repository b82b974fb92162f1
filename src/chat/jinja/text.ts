// Text that knows which of its characters people wrote, through everything that a template does to it; and lengths as Python counts them.

/** A text, some of which people wrote, or that is marked as safe HTML. What only the template wrote is a plain string. */
export class Text {
  readonly plain: string;
  /** Starts and ends (in UTF-16 units, half open, ascending) of what people wrote. */
  readonly written: readonly number[];
  /** Python's Markup: HTML that is not to be escaped again. */
  readonly safe: boolean;

  constructor(plain: string, written: readonly number[], safe = false) {
    this.plain = plain;
    this.written = written;
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

/** A text that people wrote. */
export function writtenText(text: string): Str {
  return text === "" ? text : new Text(text, [0, text.length]);
}

function made(text: string, written: readonly number[], safe: boolean): Str {
  return written.length > 0 || safe ? new Text(text, written, safe) : text;
}

export function withSafe(text: Str, safe: boolean): Str {
  if (typeof text === "string") return made(text, [], safe);
  return text.safe === safe ? text : made(text.plain, text.written, safe);
}

export function concat(parts: readonly Str[]): Str {
  let marked = false;
  for (const part of parts) if (typeof part !== "string") marked = true;
  if (!marked) return parts.join("");
  const written: number[] = [];
  let at = 0;
  for (const part of parts) {
    if (typeof part !== "string") {
      for (let i = 0; i < part.written.length; i += 2) {
        const start = at + part.written[i]!;
        if (written.length > 0 && written[written.length - 1] === start) written.length--;
        else written.push(start);
        written.push(at + part.written[i + 1]!);
      }
    }
    at += plain(part).length;
  }
  return made(parts.map(plain).join(""), written, false);
}

export function repeatText(text: Str, times: number): Str {
  return typeof text === "string" ? text.repeat(times) : concat(new Array<Str>(times).fill(text));
}

/** Units `start` to `end` of a text, as a text that is not marked safe. */
export function cut(text: Str, start: number, end: number): Str {
  if (typeof text === "string") return text.slice(start, end);
  if (end <= start) return "";
  const written: number[] = [];
  for (let i = 0; i < text.written.length; i += 2) {
    const [from, to] = [Math.max(text.written[i]!, start), Math.min(text.written[i + 1]!, end)];
    if (from < to) written.push(from - start, to - start);
  }
  return made(text.plain.slice(start, end), written, false);
}

/** Every part of one author changed by `change`, which must not depend on the parts around it. */
export function mapParts(text: Str, change: (part: string) => string): Str {
  if (typeof text === "string") return change(text);
  if (text.written[0] === 0 && text.written[1] === text.plain.length) return writtenText(change(text.plain));
  const parts: Str[] = [];
  let at = 0;
  for (let i = 0; i < text.written.length; i += 2) {
    const [start, end] = [text.written[i]!, text.written[i + 1]!];
    parts.push(change(text.plain.slice(at, start)), writtenText(change(text.plain.slice(start, end))));
    at = end;
  }
  parts.push(change(text.plain.slice(at)));
  return concat(parts);
}

const SURROGATE = /[\ud800-\udfff]/;

/** Code points of a text: its length in Python. */
export function pointsIn(text: string): number {
  if (!SURROGATE.test(text)) return text.length;
  let count = 0;
  for (let at = 0; at < text.length; at = after(text, at)) count++;
  return count;
}

/** The unit behind the code point that begins at `at`. */
export function after(text: string, at: number): number {
  return at + (text.codePointAt(at)! > 0xffff ? 2 : 1);
}

/** Where every code point begins, and where the text ends; null where each is one unit. */
export function pointStarts(text: string): readonly number[] | null {
  if (!SURROGATE.test(text)) return null;
  const starts: number[] = [];
  for (let at = 0; at < text.length; at = after(text, at)) starts.push(at);
  starts.push(text.length);
  return starts;
}

/** Code points in front of a unit. */
export function pointsBefore(text: string, unit: number): number {
  return SURROGATE.test(text) ? pointsIn(text.slice(0, unit)) : unit;
}

/** Its code points, each as a text. */
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

/** Python's order of texts: by code points. Negative, 0 or positive. */
export function compareTexts(a: string, b: string): number {
  if (a === b) return 0;
  if (!SURROGATE.test(a) && !SURROGATE.test(b)) return a < b ? -1 : 1;
  for (let at = 0; at < a.length && at < b.length; at = after(a, at)) {
    const difference = a.codePointAt(at)! - b.codePointAt(at)!;
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** What Python's str.isspace() and strip() take for white space. */
export const SPACES = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const SPACE = new RegExp(`[${SPACES}]`);
export function isSpace(unit: string): boolean {
  return SPACE.test(unit);
}

/** What str.splitlines() splits at. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they end lines in Python
export const LINE_END = /\r\n|[\n-\r\x1c-\x1e\x85\u2028\u2029]/g;

/** Without the white space at its end; an expression for it would take the square of a run of white space. */
export function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && isSpace(text[end - 1]!)) end--;
  return text.slice(0, end);
}
