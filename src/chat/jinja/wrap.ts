// Python's textwrap.wrap(), for the filter wordwrap.

import { type Run, TemplateFault } from "./bounds.ts";
import { cut, plain, pointStarts, pointsIn, type Str } from "./text.ts";

export interface WrapOptions {
  readonly width: number;
  readonly breakLong: boolean;
  readonly breakHyphens: boolean;
}

const BLANK = "[\\t\\n\\v\\f\\r ]";
const INK = "[^\\t\\n\\v\\f\\r ]";
const LETTER = "[^\\d\\W]";
const PUNCTUATED = `[\\w!"'&.,?]`;
/** White space, dashes between words, and words, which may be broken after hyphens. */
const HYPHENATED = new RegExp(
  `(${BLANK}+|(?<=${PUNCTUATED})-{2,}(?=\\w)|${INK}+?(?:-(?:(?<=${LETTER}{2}-)|(?<=${LETTER}-${LETTER}-))(?=${LETTER}-?${LETTER})|(?=${BLANK}|$)|(?<=${PUNCTUATED})(?=-{2,}\\w)))`,
);
const SIMPLE = new RegExp(`(${BLANK}+)`);

/** Wraps one line to lines of at most `width` code points; each is a list of pieces. */
export function wrapped(run: Run, line: Str, options: WrapOptions): Str[] {
  const { width } = options;
  if (width <= 0) throw new TemplateFault(`wordwrap: expected a width above 0, found ${width}`);
  const all = plain(line);
  run.spend(all.length);
  let at = 0;
  const chunks: [start: number, end: number][] = [];
  for (const chunk of all.split(options.breakHyphens ? HYPHENATED : SIMPLE)) {
    if (chunk) chunks.push([at, at + chunk.length]);
    at += chunk?.length ?? 0;
  }
  chunks.reverse();
  const length = ([start, end]: readonly [number, number]): number => pointsIn(all.slice(start, end));
  const blank = ([start, end]: readonly [number, number]): boolean => all.slice(start, end).trim() === "";
  const lines: Str[] = [];
  while (chunks.length > 0) {
    const taken: [number, number][] = [];
    let used = 0;
    if (lines.length > 0 && blank(chunks.at(-1)!)) chunks.pop();
    while (chunks.length > 0 && used + length(chunks.at(-1)!) <= width) {
      used += length(chunks.at(-1)!);
      taken.push(chunks.pop()!);
    }
    if (chunks.length > 0 && length(chunks.at(-1)!) > width) {
      const [start, end] = chunks.pop()!;
      const room = width - used;
      if (options.breakLong) {
        const middle = breakAt(all.slice(start, end), room, options.breakHyphens) + start;
        taken.push([start, middle]);
        if (middle < end) chunks.push([middle, end]);
      } else if (taken.length === 0) taken.push([start, end]);
      else chunks.push([start, end]);
    }
    if (taken.length > 0 && blank(taken.at(-1)!)) taken.pop();
    if (taken.length > 0) lines.push(cut(line, taken[0]![0], taken.at(-1)![1]));
    run.spend(1);
  }
  return lines;
}

/** Where to break a word that is too long: after its last hyphen that fits, or at the width. */
function breakAt(word: string, room: number, hyphens: boolean): number {
  const starts = pointStarts(word);
  const end = starts?.[room] ?? room;
  if (!hyphens || pointsIn(word) <= room) return end;
  const hyphen = word.lastIndexOf("-", end - 1);
  return hyphen > 0 && /[^-]/.test(word.slice(0, hyphen)) ? hyphen + 1 : end;
}
