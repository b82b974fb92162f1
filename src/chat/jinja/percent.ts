// `text % values`, and the number formats that it shares with str.format().

import { type Run, TemplateFault } from "./bounds.ts";
import { fixedDigits, numberOf, scientificDigits, toFloat, truncated } from "./numbers.ts";
import { joined, repr, str, wholeText } from "./show.ts";
import {
  concat,
  cut,
  isSafe,
  isStr,
  mapParts,
  plain,
  pointStarts,
  pointsIn,
  repeatText,
  type Str,
  withSafe,
} from "./text.ts";
import { Dict, Float, isList, isWhole, Range, Tuple, typeName, Undefined, type Value } from "./values.ts";

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  "'": "&#39;",
  '"': "&#34;",
};

/** markupsafe.escape(): texts that are already safe are unchanged. */
export function escapeHtml(run: Run, text: Str): Str {
  if (isSafe(text)) return text;
  run.room(plain(text).length);
  return withSafe(
    mapParts(text, (part) => part.replace(/[&<>'"]/g, (one) => ESCAPES[one]!)),
    true,
  );
}

/** The first `count` code points of a text. */
export function firstPoints(text: Str, count: number): Str {
  const starts = pointStarts(plain(text));
  return cut(text, 0, starts === null ? count : (starts[count] ?? plain(text).length));
}

const CONVERSION = /%(?:\(([^()]*(?:\([^()]*\)[^()]*)*)\))?([-#0 +]*)(\*|\d+)?(?:\.(\*|\d+)?)?[hlL]?([\s\S])?/g;

export function percentFormat(run: Run, format: Str, values: Value): Str {
  const safe = isSafe(format);
  const text = plain(format);
  run.read(text.length);
  const list = values instanceof Tuple ? values.items : [values];
  const mapping = values instanceof Dict ? values : null;
  let used = 0;
  const next = (): Value => {
    if (used >= list.length) throw new TemplateFault("'%': expected more values for the format");
    return list[used++]!;
  };
  const size = (given: string | undefined): number | undefined => {
    if (given === undefined) return undefined;
    const value = given === "*" ? next() : Number(given);
    if (typeof value !== "number") throw new TemplateFault("'%': expected a whole number for '*'");
    return value;
  };
  const parts: Str[] = [];
  let at = 0;
  for (const found of text.matchAll(CONVERSION)) {
    const [whole, key, flags, width, precision, kind] = found as unknown as (string | undefined)[];
    parts.push(cut(format, at, found.index));
    at = found.index + whole!.length;
    if (kind === "%") {
      parts.push("%");
      continue;
    }
    let wide = size(width);
    let left = flags!.includes("-");
    if (wide !== undefined && wide < 0) [wide, left] = [-wide, true];
    const exact = /\./.test(whole!.slice((key?.length ?? -2) + 3)) ? (size(precision) ?? 0) : undefined;
    let value: Value;
    if (key === undefined) value = next();
    else {
      if (mapping === null) throw new TemplateFault("'%': expected a dict for the names of the format");
      const member = mapping.get(key);
      if (member === undefined) throw new TemplateFault(`'%': the dict has no '${key}'`);
      [value, used] = [member, 1];
    }
    if (kind === undefined) throw new TemplateFault("'%': the format ends within a conversion");
    const shown = converted(run, kind, value, exact, flags!, safe);
    parts.push(padded(run, shown, wide ?? 0, left ? "<" : flags!.includes("0") && shown.numeric ? "=" : ">", flags!));
  }
  parts.push(cut(format, at, text.length));
  // As in Python: values that can be indexed by name may have unused items.
  const lenient = mapping !== null || isList(values) || values instanceof Range || values instanceof Undefined;
  if (used < list.length && !lenient) throw new TemplateFault("'%': expected fewer values: not all of them are used");
  const result = joined(run, parts);
  return withSafe(result, safe);
}

/** A converted value, before padding. */
export interface Shown {
  readonly sign: string;
  readonly body: Str;
  readonly numeric: boolean;
}

function converted(
  run: Run,
  kind: string,
  value: Value,
  precision: number | undefined,
  flags: string,
  safe: boolean,
): Shown {
  const textual = (text: Str): Shown => ({
    sign: "",
    body: precision === undefined ? text : firstPoints(text, precision),
    numeric: false,
  });
  const plus = flags.includes("+") ? "+" : flags.includes(" ") ? " " : "";
  switch (kind) {
    case "s":
      return textual(safe ? escapeHtml(run, str(run, value)) : withSafe(str(run, value), false));
    case "r":
      return textual(repr(run, value));
    case "a":
      return textual(mapParts(repr(run, value), asciiOnly));
    case "c":
      if (isStr(value) && pointsIn(plain(value)) === 1) return { sign: "", body: value, numeric: false };
      if (
        (typeof value === "number" || typeof value === "boolean") &&
        Number(value) >= 0 &&
        Number(value) <= 0x10ffff
      ) {
        return { sign: "", body: String.fromCodePoint(Number(value)), numeric: false };
      }
      throw new TemplateFault("'%c': expected a character or its number");
  }
  if (value instanceof Undefined) value.fail();
  const number = numberOf(value);
  if (/[diuxXo]/.test(kind)) {
    const exact = number instanceof Float && /[diu]/.test(kind) ? truncated(number.value) : number;
    if (!isWhole(exact)) throw new TemplateFault(`'%${kind}': expected a whole number, found '${typeName(value)}'`);
    const { sign, digits } = wholeDigits(run, exact, kind === "i" || kind === "u" ? "d" : kind, flags.includes("#"));
    return { sign: sign || plus, body: padDigits(run, digits, precision ?? 0), numeric: true };
  }
  if (/[eEfFgG]/.test(kind)) {
    if (number === undefined) throw new TemplateFault(`'%${kind}': expected a number, found '${typeName(value)}'`);
    const { sign, digits } = floatDigits(run, toFloat(number), kind, precision ?? 6, flags.includes("#"));
    return { sign: sign || plus, body: digits, numeric: true };
  }
  throw new TemplateFault(`'%${kind}' is not a conversion`);
}

/** Adds the prefix, with padding zeros between it and the digits. */
function padDigits(run: Run, digits: string, count: number): string {
  const prefix = /^0[xXob]/.exec(digits)?.[0] ?? "";
  run.room(count);
  return prefix + digits.slice(prefix.length).padStart(count, "0");
}

export function asciiOnly(text: string): string {
  return text.replace(/[^ -~]/gu, (one) => {
    const code = one.codePointAt(0)!;
    const [letter, width] = code < 0x100 ? ["x", 2] : code < 0x10000 ? ["u", 4] : ["U", 8];
    return `\\${letter}${code.toString(16).padStart(width as number, "0")}`;
  });
}

/**
 * Pads a text to `width` code points: "<" left, ">" right, "^" centred, "=" padded after the sign.
 */
export function padded(run: Run, shown: Shown, width: number, align: string, flags = "", fill: Str = " "): Str {
  const { sign, body } = shown;
  const missing = Math.max(0, width - pointsIn(sign) - pointsIn(plain(body)));
  run.room(plain(body).length + missing);
  if (missing === 0) return concat([sign, body]);
  if (align === "=") {
    const prefix = /^0[xXobB]/.exec(plain(body))?.[0] ?? "";
    const filler = repeatText(flags.includes("0") ? "0" : fill, missing);
    return concat([sign, prefix, filler, cut(body, prefix.length, plain(body).length)]);
  }
  const before = align === "<" ? 0 : align === ">" ? missing : Math.floor(missing / 2);
  return concat([repeatText(fill, before), sign, body, repeatText(fill, missing - before)]);
}

/** The sign and digits of a whole number, for kind d, b, o, x or X. */
export function wholeDigits(
  run: Run,
  value: number | bigint,
  kind: string,
  prefixed: boolean,
): { sign: string; digits: string } {
  const sign = value < 0 ? "-" : "";
  const size = value < 0 ? -value : value;
  run.spend(1);
  if (kind === "d") return { sign, digits: wholeText(size) };
  const radix = { b: 2, o: 8, x: 16, X: 16 }[kind]!;
  const digits = (prefixed ? `0${kind}` : "") + size.toString(radix);
  return { sign, digits: kind === "X" ? digits.toUpperCase() : digits };
}

/**
 * The sign and digits of a float, for kind e, f, g or their capitals. `dotted` keeps the point, and
 * with g the zeros.
 */
export function floatDigits(
  run: Run,
  value: number,
  kind: string,
  precision: number,
  dotted: boolean,
): { sign: string; digits: string } {
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  const capitals = kind === kind.toUpperCase();
  const cased = (digits: string): string => (capitals ? digits.toUpperCase() : digits);
  if (!Number.isFinite(value)) return { sign, digits: cased(Number.isNaN(value) ? "nan" : "inf") };
  run.room(precision);
  switch (kind.toLowerCase()) {
    case "f": {
      const digits = fixedDigits(value, precision);
      return { sign, digits: dotted && precision === 0 ? `${digits}.` : digits };
    }
    case "e":
      return { sign, digits: cased(exponential(value, precision + 1, dotted)) };
  }
  const count = precision || 1;
  const { exponent } = scientificDigits(value, count);
  const trim = (digits: string): string => (dotted || !digits.includes(".") ? digits : digits.replace(/\.?0*$/, ""));
  if (exponent >= -4 && exponent < count) {
    const digits = trim(fixedDigits(value, count - 1 - exponent));
    return { sign, digits: dotted && !digits.includes(".") ? `${digits}.` : digits };
  }
  const [digits, power] = exponential(value, count, dotted).split("e") as [string, string];
  return { sign, digits: cased(`${trim(digits)}e${power}`) };
}

export function exponential(value: number, count: number, dotted: boolean): string {
  const { digits, exponent } = scientificDigits(value, count);
  const power = `${Math.abs(exponent)}`.padStart(2, "0");
  const rest = digits.length > 1 || dotted ? `.${digits.slice(1)}` : "";
  return `${digits[0]}${rest}e${exponent < 0 ? "-" : "+"}${power}`;
}
