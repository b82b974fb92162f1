// Jinja2's filters for texts, numbers and single values; sequence_filters.ts has
// those for sequences.

import { getOnlyAttribute } from "./access.ts";
import { type Run, TemplateFault } from "./bounds.ts";
import { type Numeric, numberOf, parseFloatText, parseWhole, rounded, toFloat, truncated } from "./numbers.ts";
import { binary, compare, described, lengthOf, listOf, truth, tryIterate } from "./operators.ts";
import { escapeHtml, floatDigits, percentFormat } from "./percent.ts";
import { lines, replaced, splitRight, stripped } from "./search.ts";
import { joined, str, toJson } from "./show.ts";
import { type Applied, applied } from "./signature.ts";
import {
  concat,
  cut,
  isSafe,
  isStr,
  mapParts,
  plain,
  pointStarts,
  SPACES,
  type Str,
  untrustedText,
  withSafe,
} from "./text.ts";
import { callTextMethod, inContext, textArgument, textMethod, wholeArgument } from "./text_methods.ts";
import { Dict, Float, isWhole, Tuple, Undefined, type Value, View } from "./values.ts";
import { wrapped } from "./wrap.ts";

export const textFilters = new Map<string, Applied>();

type Given = readonly (Value | undefined)[];

function define(names: string, parameters: string, call: (run: Run, self: Value, given: Given) => Value): void {
  for (const name of names.split(" ")) textFilters.set(name, applied(name, parameters, call));
}

/** Defines a filter that calls the method of that name on str(value). */
for (const name of ["upper", "lower", "capitalize"]) {
  define(name, "", (run, self) => callTextMethod(run, textMethod(name)!, str(run, self), []));
}
define("trim", "chars?", (run, self, [chars]) =>
  callTextMethod(run, textMethod("strip")!, str(run, self), chars === undefined ? [] : [chars]),
);
define("center", "width?", (run, self, [width]) =>
  callTextMethod(run, textMethod("center")!, str(run, self), [width ?? 80]),
);
define("string", "", (run, self) => str(run, self));
define("replace", "old new count?", (run, self, [old, by, count]) => {
  const [text, from, to] = [self, old!, by!].map((value) => withSafe(str(run, value), false)) as [Str, Str, Str];
  return replaced(run, text, plain(from), to, count === null ? -1 : wholeArgument(count, "replace", -1));
});
/** Words begin after white space and opening brackets. */
const WORDS = new RegExp(`([-({\\[<${SPACES}]+)`);
define("title", "", (run, self) =>
  inContext(run, str(run, self), (text) =>
    text
      .split(WORDS)
      .map((word) => {
        const [first = ""] = word;
        return first.toUpperCase() + word.slice(first.length).toLowerCase();
      })
      .join(""),
  ),
);
define("wordcount", "", (run, self) => {
  const text = plain(str(run, self));
  run.read(text.length);
  return Array.from(text.matchAll(/[\p{L}\p{N}_]+/gu)).length;
});
define("escape e", "/", (run, self) => escapeHtml(run, str(run, self)));
define("forceescape", "", (run, self) => escapeHtml(run, withSafe(str(run, self), false)));
define("safe", "", (run, self) => withSafe(str(run, self), true));
define("striptags", "", (run, self) => {
  let text = plain(str(run, self));
  run.read(text.length * 4);
  for (const [open, close] of [
    ["<!--", "-->"],
    ["<", ">"],
  ] as const) {
    for (let at = text.indexOf(open); at >= 0; at = text.indexOf(open, at)) {
      const end = text.indexOf(close, at);
      if (end < 0) break;
      run.read(text.length / 8);
      text = text.slice(0, at) + text.slice(end + close.length);
    }
  }
  if (/&[#\w]/.test(text))
    throw new TemplateFault("striptags: a text with HTML's names of characters is not taken here");
  const stripped = text.split(/\s+/).filter(Boolean).join(" ");
  // The origin of each character is lost: if any is untrusted, all of them are.
  return typeof str(run, self) === "string" ? stripped : untrustedText(stripped);
});
define("indent", "width? first? blank?", (run, self, [width = 4, first = false, blank = false]) => {
  if (self instanceof Undefined) self.fail();
  const by = isStr(width) ? width : " ".repeat(Math.max(0, sized(run, wholeArgument(width, "indent"))));
  const all = lines(run, concat([textArgument(self, "indent"), "\n"]));
  const parts: Str[] = truth(first) ? [by] : [];
  all.forEach((line, i) => {
    if (i > 0) parts.push("\n", truth(blank) || plain(line) !== "" ? by : "");
    parts.push(line);
  });
  return withSafe(joined(run, parts), isSafe(self));
});

function sized(run: Run, length: number): number {
  run.room(Math.max(0, length));
  return length;
}

define("truncate", "length? killwords? end? leeway?", (run, self, [length, kill = false, end = "...", leeway]) => {
  const [size, more] = [wholeArgument(length, "truncate", 255), textArgument(end, "truncate")];
  const grace = leeway === undefined || leeway === null ? 5 : wholeArgument(leeway, "truncate");
  const keep = size - lengthOf(more)!;
  if (keep < 0 || grace < 0)
    throw new TemplateFault("truncate: expected a length that has room for the end, and a leeway");
  if ((lengthOf(self) ?? 0) <= size + grace && lengthOf(self) !== undefined) return self;
  const text = textArgument(self, "truncate");
  const starts = pointStarts(plain(text));
  const head = cut(text, 0, starts?.[keep] ?? keep);
  return joined(run, [truth(kill) ? head : splitRight(run, head, " ", 1)[0]!, more]);
});
define(
  "wordwrap",
  "width? break_long_words? wrapstring? break_on_hyphens?",
  (run, self, [width, long = true, by, hyphens = true]) => {
    const between = by === undefined || by === null ? "\n" : textArgument(by, "wordwrap");
    const size = wholeArgument(width, "wordwrap", 79);
    const all = lines(run, textArgument(self, "wordwrap")).map((line) => {
      const options = { width: size, breakLong: truth(long), breakHyphens: truth(hyphens) };
      return separated(wrapped(run, line, options), between);
    });
    return joined(
      run,
      separated(
        all.map((line) => concat(line)),
        between,
      ),
    );
  },
);

function separated(parts: readonly Str[], by: Str): Str[] {
  return parts.flatMap((part, i) => (i === 0 ? [part] : [by, part]));
}

define("urlencode", "", (run, self) => {
  const quote = (value: Value, keep: string): Str => {
    const text = str(run, value);
    run.room(plain(text).length * 9);
    return mapParts(text, (part) =>
      Array.from(part, (one) =>
        /[\w.~-]/.test(one) || keep.includes(one) ? one : encodeURIComponent(one).replace(/[!'()*]/g, percentCode),
      ).join(""),
    );
  };
  const items = isStr(self) ? undefined : tryIterate(run, self instanceof Dict ? new View("items", self) : self);
  if (items === undefined) return quote(self, "/");
  const pairs = Array.from(items, (pair) => {
    const [key, value, ...more] = listOf(run, pair);
    if (key === undefined || value === undefined || more.length > 0)
      throw new TemplateFault("urlencode: expected pairs");
    return [key, value] as const;
  });
  const spaced = (value: Value): Str => mapParts(quote(value, " "), (part) => part.replaceAll(" ", "+"));
  return joined(
    run,
    separated(
      pairs.map(([key, value]) => concat([spaced(key), "=", spaced(value)])),
      "&",
    ),
  );
});
const percentCode = (one: string): string => `%${one.charCodeAt(0).toString(16).toUpperCase()}`;

define("xmlattr", "autospace?", (run, self, [space = true]) => {
  if (!(self instanceof Dict)) throw new TemplateFault(`xmlattr: expected a dict, found ${described(self)}`);
  const parts: Str[] = [];
  for (const [key, value] of self.pairs()) {
    if (value === null || value instanceof Undefined) continue;
    const name = textArgument(key, "xmlattr");
    if (/[\s/>=]/.test(plain(name))) throw new TemplateFault(`xmlattr: '${plain(name)}' is not an attribute name`);
    const shown = (text: Str): Str => withSafe(escapeHtml(run, text), false);
    if (parts.length > 0 || truth(space)) parts.push(" ");
    parts.push(shown(name), '="', shown(str(run, value)), '"');
  }
  return joined(run, parts);
});
textFilters.set("format", (run, self, args, keywords) => {
  if (args.length > 0 && keywords.size > 0)
    throw new TemplateFault("format: expected values by place or by name, found both");
  if (keywords.size === 0) return percentFormat(run, str(run, self), new Tuple(args));
  const names = new Dict();
  for (const [key, value] of keywords) names.set(key, value);
  return percentFormat(run, str(run, self), names);
});

define("default d", "default_value? boolean?", (_, self, [or = "", boolean = false]) =>
  self instanceof Undefined || (truth(boolean) && !truth(self)) ? or : self,
);
define("attr", "name", (run, self, [name]) => getOnlyAttribute(run, self, textArgument(name, "attr")));
define("abs", "/", (_, self) => {
  const number = numberOf(self);
  if (number === undefined) throw new TemplateFault(`abs: expected a number, found ${described(self)}`);
  if (number instanceof Float) return new Float(Math.abs(number.value));
  return number < 0 ? -number : number;
});
define("int", "default? base?", (_, self, [or = 0, base]) => {
  if (self instanceof Undefined) self.fail();
  if (isStr(self)) {
    const text = plain(stripped(self, null, true, true));
    const found = parseWhole(text, wholeArgument(base, "int", 10)) ?? parseFloatText(text);
    if (found === undefined) return or;
    return isWhole(found) && parseWhole(text, wholeArgument(base, "int", 10)) !== undefined
      ? found
      : toWhole(Number(found), or);
  }
  const number = numberOf(self);
  if (number === undefined) return or;
  if (!(number instanceof Float)) return number;
  if (Math.abs(number.value) === Infinity) throw new TemplateFault("int: expected a finite number");
  return toWhole(number.value, or);
});

function toWhole(value: number, or: Value): Value {
  return Number.isFinite(value) ? truncated(value) : or;
}

define("float", "default?", (_, self, [or = new Float(0)]) => {
  if (self instanceof Undefined) self.fail();
  const number = isStr(self) ? parseFloatText(plain(stripped(self, null, true, true))) : numberOf(self);
  if (number === undefined) return or;
  return new Float(isStr(self) ? (number as number) : toFloat(number));
});
define("round", "precision? method?", (run, self, [precision, method = "common"]) => {
  const number = numberOf(self);
  if (number === undefined) throw new TemplateFault(`round: expected a number, found ${described(self)}`);
  const [places, how] = [wholeArgument(precision, "round", 0), plain(textArgument(method, "round"))];
  if (how === "common") return rounded(number, places);
  if (how !== "ceil" && how !== "floor")
    throw new TemplateFault(`round: '${how}': expected 'common', 'ceil' or 'floor'`);
  const unit = binary(run, "**", 10, places) as Numeric;
  const scaled = binary(run, "*", number, unit) as Numeric;
  const whole = scaled instanceof Float ? truncated(Math[how](scaled.value)) : scaled;
  return binary(run, "/", whole, unit);
});
define("filesizeformat", "binary?", (run, self, [binaryUnits = false]) => {
  const number = isStr(self) ? parseFloatText(plain(self)) : numberOf(self);
  if (number === undefined) throw new TemplateFault(`filesizeformat: expected a number, found ${described(self)}`);
  const size = typeof number === "number" ? number : toFloat(number);
  const base = truth(binaryUnits) ? 1024 : 1000;
  if (size === 1) return "1 Byte";
  if (size < base) return `${truncated(size)} Bytes`;
  let power = 2;
  while (power < 9 && !(size < base ** power)) power++;
  const unit = ` ${base === 1024 ? `${"KMGTPEZY"[power - 2]}i` : "kMGTPEZY"[power - 2]}B`;
  return floatDigits(run, (base * size) / base ** power, "f", 1, false).digits + unit;
});

define(
  "tojson",
  "ensure_ascii? indent? separators? sort_keys?",
  (run, self, [ascii = false, indent = null, separators = null, sort = false]) => {
    const pair = separators instanceof Tuple ? separators.items : (separators as readonly Value[] | null);
    if (pair !== null && (!Array.isArray(pair) || pair.length !== 2)) {
      throw new TemplateFault("tojson: separators: expected two texts");
    }
    const steps = indent === null || isStr(indent) ? indent : sized(run, wholeArgument(indent, "tojson"));
    return toJson(run, self, {
      ascii: truth(ascii),
      indent: typeof steps === "number" ? " ".repeat(Math.max(0, steps)) : steps,
      between: pair === null ? (steps === null ? ", " : ",") : textArgument(pair[0] as Value, "tojson: separators"),
      colon: pair === null ? ": " : textArgument(pair[1] as Value, "tojson: separators"),
      order: truth(sort) ? (a, b) => compare(run, a, b) : null,
    });
  },
);

/** Jinja2 filters that chat templates have no use for; using one is an error. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  pprint: "it breaks lines as Python's debugging output does",
  urlize: "it produces HTML links",
};
for (const [name, why] of Object.entries(LEFT_OUT)) {
  textFilters.set(name, () => {
    throw new TemplateFault(`filter '${name}' is not supported: ${why}`);
  });
}
