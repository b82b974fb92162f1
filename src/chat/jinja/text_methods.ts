// The methods of Python's str.

import { type Run, TemplateFault } from "./bounds.ts";
import * as character from "./characters.ts";
import { described, iterate, lengthOf, slice } from "./operators.ts";
import { escapeHtml, padded } from "./percent.ts";
import { countOf, lines, replaced, split, splitRight, stripped } from "./search.ts";
import { joined, str } from "./show.ts";
import { type Applied, applied } from "./signature.ts";
import {
  cut,
  isSafe,
  isSpace,
  isStr,
  mapParts,
  plain,
  pointStarts,
  pointsBefore,
  pointsIn,
  repeatText,
  type Str,
  withSafe,
} from "./text.ts";
import { Dict, isList, NO_KEYWORDS, Tuple, type Value } from "./values.ts";

const methods = new Map<string, Applied>();

type Given = readonly (Value | undefined)[];

function define(name: string, parameters: string, call: (run: Run, self: Str, given: Given) => Value): void {
  const method = applied(name, parameters, (run, self, given) => {
    run.read(plain(self as Str).length);
    return call(run, self as Str, given);
  });
  methods.set(name, method);
}

/** A method of texts by name. */
export function textMethod(name: string): Applied | undefined {
  return methods.get(name);
}

export function textArgument(value: Value | undefined, what: string): Str {
  if (value !== undefined && isStr(value)) return value;
  throw new TemplateFault(`${what}: expected a text, found ${described(value ?? null)}`);
}

export function wholeArgument(value: Value | undefined, what: string, otherwise?: number): number {
  if (value === undefined && otherwise !== undefined) return otherwise;
  if (typeof value === "boolean") return Number(value);
  if (typeof value === "number") return value;
  throw new TemplateFault(`${what}: expected a whole number, found ${described(value ?? null)}`);
}

/** A text of characters to strip; null for None, which means white space. */
function charsArgument(value: Value | undefined, what: string): string | null {
  return value === undefined || value === null ? null : plain(textArgument(value, what));
}

// Case changes that treat each character by itself, so that trusted and untrusted parts can be
// changed separately.
const local: Readonly<Record<string, (text: string) => string>> = {
  upper: (text) => text.toUpperCase(),
  lower: (text) => text.toLowerCase(),
  swapcase: character.swapped,
  casefold: character.folded,
};
for (const [name, change] of Object.entries(local)) {
  define(name, "", (run, self) => {
    run.room(plain(self).length * 3);
    return mapParts(self, change);
  });
}
/**
 * Applies a change that depends on preceding characters: to the whole text if its length stays the
 * same, else to each part.
 */
export function inContext(run: Run, text: Str, change: (text: string) => string): Str {
  const all = plain(text);
  run.room(all.length * 3);
  const changed = change(all);
  if (typeof text === "string") return changed;
  let at = 0;
  if (changed.length === all.length) {
    return mapParts(text, (part) => {
      at += part.length;
      return changed.slice(at - part.length, at);
    });
  }
  return mapParts(text, change);
}
define("title", "", (run, self) => inContext(run, self, character.titleCase));
define("capitalize", "", (run, self) => inContext(run, self, character.capitalized));

for (const [name, left, right] of [
  ["strip", true, true],
  ["lstrip", true, false],
  ["rstrip", false, true],
] as const) {
  define(name, "/ chars?", (_, self, [chars]) => stripped(self, charsArgument(chars, name), left, right));
}
define("removeprefix", "/ prefix", (_, self, [prefix]) => {
  const start = plain(textArgument(prefix, "removeprefix"));
  return plain(self).startsWith(start) ? cut(self, start.length, plain(self).length) : self;
});
define("removesuffix", "/ suffix", (_, self, [suffix]) => {
  const end = plain(textArgument(suffix, "removesuffix"));
  return end !== "" && plain(self).endsWith(end) ? cut(self, 0, plain(self).length - end.length) : self;
});
define("replace", "/ old new count?", (run, self, [old, by, count]) =>
  replaced(
    run,
    self,
    plain(textArgument(old, "replace")),
    textArgument(by, "replace"),
    wholeArgument(count, "replace", -1),
  ),
);
define("split", "sep? maxsplit?", (run, self, [separator, limit]) =>
  split(run, self, charsArgument(separator, "split"), wholeArgument(limit, "split", -1)),
);
define("rsplit", "sep? maxsplit?", (run, self, [separator, limit]) =>
  splitRight(run, self, charsArgument(separator, "rsplit"), wholeArgument(limit, "rsplit", -1)),
);
define("splitlines", "keepends?", (run, self, [keep]) => lines(run, self, wholeArgument(keep, "splitlines", 0) !== 0));
for (const name of ["partition", "rpartition"]) {
  define(name, "/ sep", (_, self, [separator]) => {
    const [all, by] = [plain(self), plain(textArgument(separator, name))];
    if (by === "") throw new TemplateFault(`${name}: the separator is empty`);
    const at = name === "partition" ? all.indexOf(by) : all.lastIndexOf(by);
    if (at < 0) return new Tuple(name === "partition" ? [self, "", ""] : ["", "", self]);
    const end = at + by.length;
    return new Tuple([cut(self, 0, at), cut(self, at, end), cut(self, end, all.length)]);
  });
}
define("join", "/ iterable", (run, self, [items]) => {
  const parts: Str[] = [];
  for (const item of iterate(run, items!)) {
    run.spend(1);
    if (!isStr(item) && !isSafe(self)) throw new TemplateFault(`join: expected texts, found ${described(item)}`);
    if (parts.length > 0) parts.push(self);
    parts.push(isSafe(self) ? escapeHtml(run, str(run, item)) : (item as Str));
  }
  return joined(run, parts);
});

/** The part of a text that find() and similar methods search, and its start. */
function span(
  run: Run,
  text: Str,
  start: Value | undefined,
  end: Value | undefined,
): { part: string; from: number } | null {
  if (start === undefined && end === undefined) return { part: plain(text), from: 0 };
  const length = lengthOf(text)!;
  const place = (value: Value | undefined, otherwise: number): number => {
    if (value === undefined || value === null) return otherwise;
    const at = wholeArgument(value, "a position in a text");
    return at < 0 ? Math.max(0, at + length) : at;
  };
  const from = place(start, 0);
  if (from > length) return null;
  return { part: plain(slice(run, text, [from, Math.min(place(end, length), length), null]) as Str), from };
}
for (const [name, backwards, must] of [
  ["find", false, false],
  ["rfind", true, false],
  ["index", false, true],
  ["rindex", true, true],
] as const) {
  define(name, "/ sub start? end?", (run, self, [sub, start, end]) => {
    const looked = span(run, self, start, end);
    const part = plain(textArgument(sub, name));
    const at = looked === null ? -1 : backwards ? looked.part.lastIndexOf(part) : looked.part.indexOf(part);
    if (at >= 0) return looked!.from + pointsBefore(looked!.part, at);
    if (must) throw new TemplateFault(`${name}: substring not found`);
    return -1;
  });
}
define("count", "/ sub start? end?", (run, self, [sub, start, end]) => {
  const [looked, part] = [span(run, self, start, end), plain(textArgument(sub, "count"))];
  if (looked === null) return 0;
  return part === "" ? pointsIn(looked.part) + 1 : countOf(looked.part, part);
});
for (const name of ["startswith", "endswith"] as const) {
  define(name, "/ part start? end?", (run, self, [part, start, end]) => {
    const looked = span(run, self, start, end);
    const parts = part instanceof Tuple ? part.items : [part];
    return parts.some((one) => {
      const text = plain(textArgument(one, name));
      run.read(text.length);
      if (looked === null) return false;
      return name === "startswith" ? looked.part.startsWith(text) : looked.part.endsWith(text);
    });
  });
}

for (const [name, align] of [
  ["ljust", "<"],
  ["rjust", ">"],
  ["center", "^"],
] as const) {
  define(name, "/ width fill?", (run, self, [width, fill]) => {
    const filler = fill === undefined ? " " : textArgument(fill, name);
    if (pointsIn(plain(filler)) !== 1) throw new TemplateFault(`${name}: fillchar: expected one character`);
    const wide = wholeArgument(width, name);
    if (align !== "^") return padded(run, { sign: "", body: self, numeric: false }, wide, align, "", filler);
    // Python puts the odd fill character in front only if the width is odd.
    const missing = Math.max(0, wide - lengthOf(self)!);
    run.room(missing * plain(filler).length);
    const before = Math.floor(missing / 2) + (missing & wide & 1);
    return joined(run, [repeatText(filler, before), self, repeatText(filler, missing - before)]);
  });
}
define("zfill", "/ width", (run, self, [width]) => {
  const missing = Math.max(0, wholeArgument(width, "zfill") - lengthOf(self)!);
  run.room(missing);
  const sign = /^[-+]?/.exec(plain(self))![0].length;
  return joined(run, [cut(self, 0, sign), "0".repeat(missing), cut(self, sign, plain(self).length)]);
});
define("expandtabs", "tabsize?", (run, self, [size]) => {
  const [step, parts] = [wholeArgument(size, "expandtabs", 8), [] as Str[]];
  let [column, from] = [0, 0];
  const all = plain(self);
  for (let at = 0; at < all.length; at++) {
    if (all[at] === "\t") {
      const spaces = step > 0 ? step - (column % step) : 0;
      run.room(spaces);
      parts.push(cut(self, from, at), " ".repeat(spaces));
      [column, from] = [column + spaces, at + 1];
    } else if (all[at] === "\n" || all[at] === "\r") column = 0;
    else if (!/[\udc00-\udfff]/.test(all[at]!)) column++;
  }
  parts.push(cut(self, from, all.length));
  return joined(run, parts);
});

const tests: Readonly<Record<string, character.CharacterTest>> = {
  isalpha: character.isLetter,
  isdecimal: character.isDecimal,
  isdigit: character.isDigit,
  isnumeric: character.isNumeric,
  isalnum: (c) => character.isLetter(c) || character.isNumeric(c) || character.isDigit(c),
  isspace: isSpace,
};
for (const [name, test] of Object.entries(tests)) {
  define(name, "", (_, self) => plain(self) !== "" && Array.from(plain(self)).every(test));
}
define("isprintable", "", (_, self) => Array.from(plain(self)).every(character.isPrintable));
// biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII has them
define("isascii", "", (_, self) => /^[\x00-\x7f]*$/.test(plain(self)));
define("isidentifier", "", (_, self) => /^[\p{XID_Start}_]\p{XID_Continue}*$/u.test(plain(self)));
define("islower", "", (_, self) => character.hasCase(plain(self), "lower"));
define("isupper", "", (_, self) => character.hasCase(plain(self), "upper"));
define("istitle", "", (_, self) => character.isTitled(plain(self)));

define("translate", "/ table", (run, self, [table]) => {
  if (!(table instanceof Dict)) throw new TemplateFault("translate: expected a dict");
  run.spend(plain(self).length);
  const starts = pointStarts(plain(self));
  const parts: Str[] = [];
  for (let i = 0; i < lengthOf(self)!; i++) {
    const one = cut(self, starts?.[i] ?? i, starts?.[i + 1] ?? i + 1);
    const to = table.get(plain(one).codePointAt(0)!);
    if (to === undefined) parts.push(one);
    else if (typeof to === "number") parts.push(String.fromCodePoint(to));
    else if (to !== null) parts.push(textArgument(to, "translate"));
  }
  return joined(run, parts);
});
define("encode", "encoding? errors?", () => {
  throw new TemplateFault("encode: not supported: templates have no bytes");
});

/**
 * Calls a method of a text. On a safe text, inserted texts are escaped and resulting
 * texts are safe.
 */
export function callTextMethod(
  run: Run,
  method: Applied,
  self: Str,
  args: readonly Value[],
  keywords = NO_KEYWORDS,
): Value {
  if (!isSafe(self)) return method(run, self, args, keywords);
  const puts = ["replace", "center", "ljust", "rjust"].some((name) => methods.get(name) === method);
  const escaped = args.map((arg, i) => (puts && i === 1 && isStr(arg) ? escapeHtml(run, arg) : arg));
  const safely = (value: Value): Value => {
    if (isStr(value)) return withSafe(value, true);
    if (isList(value)) return value.map(safely);
    return value instanceof Tuple ? new Tuple(value.items.map(safely)) : value;
  };
  return safely(method(run, self, escaped, keywords));
}
