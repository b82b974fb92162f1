// str.format(): fields, conversions and Python's format specifications.

import { type Run, TemplateFault } from "./bounds.ts";
import { numberOf, toFloat } from "./numbers.ts";

import {
  asciiOnly,
  escapeHtml,
  exponential,
  firstPoints,
  floatDigits,
  padded,
  type Shown,
  wholeDigits,
} from "./percent.ts";
import { floatText, joined, repr, str } from "./show.ts";
import type { Applied } from "./signature.ts";
import { cut, isSafe, isStr, mapParts, plain, pointsIn, type Str, withSafe } from "./text.ts";
import { Dict, Float, type Keywords, typeName, Undefined, type Value } from "./values.ts";

/** How fields access attributes and items; the sandbox provides it. */
interface Access {
  getAttribute(run: Run, value: Value, name: string): Value;
  getItem(run: Run, value: Value, index: Value): Value;
}

/** The methods `format` and `format_map`. */
export function formatMethod(access: Access): (name: string) => Applied {
  return (name) => (run, self, args, keywords) => {
    if (name === "format") return new Formatter(run, access, args, keywords, isSafe(self)).text(self as Str, 2);
    const [mapping] = args;
    if (args.length !== 1 || !(mapping instanceof Dict)) throw new TemplateFault("format_map: expected one dict");
    const names = new Map(Array.from(mapping.pairs(), ([key, value]) => [plain(str(run, key)), value]));
    return new Formatter(run, access, [], names, isSafe(self)).text(self as Str, 2);
  };
}

class Formatter {
  readonly #run: Run;
  readonly #access: Access;
  readonly #args: readonly Value[];
  readonly #keywords: Keywords;
  readonly #safe: boolean;
  #automatic = 0;

  constructor(run: Run, access: Access, args: readonly Value[], keywords: Keywords, safe: boolean) {
    this.#run = run;
    this.#access = access;
    this.#args = args;
    this.#keywords = keywords;
    this.#safe = safe;
  }

  /** @param depth how many levels of fields inside specifications are allowed */
  text(format: Str, depth: number): Str {
    const all = plain(format);
    if (depth < 0) throw new TemplateFault("format: fields are nested too deeply");
    this.#run.read(all.length);
    const parts: Str[] = [];
    let at = 0;
    for (let i = 0; i < all.length; ) {
      if (all[i] !== "{" && all[i] !== "}") i++;
      else if (all[i + 1] === all[i]) {
        parts.push(cut(format, at, i + 1));
        at = i += 2;
      } else if (all[i] === "}") throw new TemplateFault("format: a '}' ends no field");
      else {
        const end = fieldEnd(all, i);
        parts.push(cut(format, at, i), this.#field(cut(format, i + 1, end), depth));
        at = i = end + 1;
      }
    }
    parts.push(cut(format, at, all.length));
    return joined(this.#run, parts);
  }

  #field(field: Str, depth: number): Str {
    const text = plain(field);
    const found = /^([^!:[]*(?:\[[^\]]*\][^!:[]*)*)(?:!([^:]*))?(?::([\s\S]*))?$/.exec(text);
    if (found === null) throw new TemplateFault(`format: '{${text}}' is not a valid field`);
    const [, name, conversion, specification = ""] = found as unknown as [string, string, string?, string?];
    let value = this.#value(name);
    switch (conversion) {
      case undefined:
        break;
      case "r":
        value = repr(this.#run, value);
        break;
      case "s":
        value = str(this.#run, value);
        break;
      case "a":
        value = mapParts(repr(this.#run, value), asciiOnly);
        break;
      default:
        throw new TemplateFault(`format: '!${conversion}' is not a conversion`);
    }
    const spec = this.text(cut(field, text.length - specification.length, text.length), depth - 1);
    const shown = specified(this.#run, value, spec);
    return this.#safe && !isSafe(value) ? escapeHtml(this.#run, shown) : shown;
  }

  #value(name: string): Value {
    const first = /^[^.[]*/.exec(name)![0];
    let value: Value | undefined;
    if (first === "" || /^\d+$/.test(first)) {
      const numbered = first !== "";
      if ((numbered && this.#automatic > 0) || (!numbered && this.#automatic < 0)) {
        throw new TemplateFault("format: fields with numbers and fields without cannot be mixed");
      }
      value = this.#args[numbered ? Number(first) : this.#automatic];
      this.#automatic += numbered ? (this.#automatic === 0 ? -1 : 0) : 1;
    } else value = this.#keywords.get(first);
    if (value === undefined) throw new TemplateFault(`format: no argument for '{${name}}'`);
    let rest = name.slice(first.length);
    while (rest !== "") {
      const step = /^(?:\.([^.[]+)|\[([^\]]+)\])/.exec(rest);
      if (step === null) throw new TemplateFault(`format: '{${name}}' is not a valid field`);
      const [whole, attribute, index] = step as unknown as [string, string?, string?];
      if (attribute !== undefined) value = this.#access.getAttribute(this.#run, value, attribute);
      else value = this.#access.getItem(this.#run, value, /^\d+$/.test(index!) ? Number(index) : index!);
      rest = rest.slice(whole.length);
    }
    return value;
  }
}

function fieldEnd(text: string, start: number): number {
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    if (text[at] === "[" && depth === 1) {
      const close = text.indexOf("]", at);
      if (close > at) at = close;
    } else if (text[at] === "{") depth++;
    else if (text[at] === "}" && --depth === 0) return at;
  }
  throw new TemplateFault("format: the end of a field, '}', is missing");
}

const SPECIFICATION = /^(?:([\s\S])?([<>=^]))?([-+ ])?(z)?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([a-zA-Z%])?$/u;

interface Specification {
  readonly fill: Str;
  readonly align: string | undefined;
  readonly sign: string | undefined;
  readonly alternate: boolean;
  readonly width: number;
  readonly grouping: string | undefined;
  readonly precision: number | undefined;
  readonly kind: string | undefined;
}

/** `format(value, specification)`. */
function specified(run: Run, value: Value, specification: Str): Str {
  if (specification === "") return str(run, value);
  const found = SPECIFICATION.exec(plain(specification));
  if (found === null) throw new TemplateFault(`format: '${plain(specification)}' is not a format specification`);
  const [, fill, align, sign, , alternate, zero, width, grouping, precision, kind] = found as unknown as string[];
  const spec: Specification = {
    fill: fill !== undefined ? cut(specification, 0, fill.length) : zero !== undefined ? "0" : " ",
    align: align ?? (zero !== undefined && !isStr(value) ? "=" : undefined),
    sign,
    alternate: alternate !== undefined,
    width: Number(width ?? 0),
    grouping,
    precision: precision === undefined ? undefined : Number(precision),
    kind,
  };
  run.room(spec.width);
  if (isStr(value)) return textual(run, withSafe(value, false), spec);
  const number = numberOf(value);
  if (number === undefined || value instanceof Undefined) {
    throw new TemplateFault(`format: a value of type '${typeName(value)}' does not support a format specification`);
  }
  const isFloatKind = spec.kind !== undefined && "eEfFgG%".includes(spec.kind);
  const shown =
    number instanceof Float || isFloatKind ? floating(run, toFloat(number), spec) : integral(run, number, spec);
  return padded(run, { ...shown, numeric: true }, spec.width, spec.align ?? ">", "", spec.fill);
}

function textual(run: Run, text: Str, spec: Specification): Str {
  const { align, kind = "s", precision } = spec;
  if (kind !== "s" || align === "=" || spec.sign !== undefined || spec.grouping !== undefined || spec.alternate) {
    throw new TemplateFault("format: this specification is not for texts");
  }
  const body = precision === undefined ? text : firstPoints(text, precision);
  return padded(run, { sign: "", body, numeric: false }, spec.width, align ?? "<", "", spec.fill);
}

function signed(spec: Specification, sign: string): string {
  return sign || (spec.sign === "+" || spec.sign === " " ? spec.sign : "");
}

function integral(run: Run, value: number | bigint, spec: Specification): Shown {
  const { kind = "d" } = spec;
  if (spec.precision !== undefined) throw new TemplateFault("format: whole numbers take no precision");
  if (kind === "c") {
    if (spec.sign !== undefined || spec.alternate || spec.grouping !== undefined) {
      throw new TemplateFault("format: a sign, '#' or ',' is not allowed with 'c'");
    }
    if (typeof value !== "number" || value < 0 || value > 0x10ffff)
      throw new TemplateFault("format: no such character");
    return { sign: "", body: String.fromCodePoint(value), numeric: true };
  }
  if (!"bdoxXn".includes(kind)) throw new TemplateFault(`format: '${kind}' is not a format of whole numbers`);
  if ((spec.grouping === "," && kind !== "d") || (spec.grouping !== undefined && kind === "n")) {
    throw new TemplateFault(`format: '${spec.grouping}' is not allowed with '${kind}'`);
  }
  const { sign, digits } = wholeDigits(run, value, kind === "n" ? "d" : kind, spec.alternate);
  const shown = signed(spec, sign);
  return { sign: shown, body: grouped(digits, shown, spec, kind === "d" || kind === "n" ? 3 : 4), numeric: true };
}

function floating(run: Run, value: number, spec: Specification): Shown {
  const { kind, precision, alternate } = spec;
  if (kind === "n" && spec.grouping !== undefined)
    throw new TemplateFault("format: ',' or '_' is not allowed with 'n'");
  let result: { sign: string; digits: string };
  if (kind === "%") {
    result = floatDigits(run, value * 100, "f", precision ?? 6, alternate);
    result.digits += "%";
  } else if (kind !== undefined && "eEfFgGn".includes(kind)) {
    result = floatDigits(run, value, kind === "n" ? "g" : kind, precision ?? 6, alternate);
  } else if (kind !== undefined) throw new TemplateFault(`format: '${kind}' is not a format of floats`);
  else if (precision === undefined || !Number.isFinite(value)) {
    const shortest = floatText(value);
    const text = alternate && !shortest.includes(".") ? shortest.replace("e", ".e") : shortest;
    result = text.startsWith("-") ? { sign: "-", digits: text.slice(1) } : { sign: "", digits: text };
  } else result = general(run, value, precision || 1, alternate);
  const shown = signed(spec, result.sign);
  return { sign: shown, body: grouped(result.digits, shown, spec, 3), numeric: true };
}

/**
 * A float with a precision but no kind: like g, but with at least one digit after the point, and an
 * exponent one digit earlier.
 */
function general(run: Run, value: number, precision: number, dotted: boolean): { sign: string; digits: string } {
  const { sign, digits } = floatDigits(run, value, "g", precision, dotted);
  if (digits.includes("e")) return { sign, digits };
  const before = digits.split(".")[0]!.length;
  if (before < precision || (/^0/.test(digits) && (precision > 1 || value !== 0))) {
    return { sign, digits: digits.includes(".") ? digits : `${digits}.0` };
  }
  const [mantissa, power] = exponential(value, precision, dotted).split("e") as [string, string];
  return { sign, digits: `${!dotted && mantissa.includes(".") ? mantissa.replace(/\.?0*$/, "") : mantissa}e${power}` };
}

/**
 * Digits in groups; if the specification pads with zeros after the sign, with leading zeros up to
 * the width.
 */
function grouped(digits: string, sign: string, spec: Specification, size: number): string {
  if (spec.grouping === undefined || !/\d/.test(digits)) return digits;
  const prefix = /^0[xXob]/.exec(digits)?.[0] ?? "";
  const [, whole, rest] = /^([0-9a-zA-Z]*?)((?:[.%]|[eE][-+]).*)?$/.exec(
    digits.slice(prefix.length),
  ) as unknown as string[];
  let count = whole!.length;
  if (spec.fill === "0" && spec.align === "=") {
    const room = spec.width - pointsIn(sign) - prefix.length - (rest?.length ?? 0);
    while (count + Math.floor((count - 1) / size) < room) count++;
  }
  const padded = whole!.padStart(count, "0");
  const first = count % size || size;
  const groups = [padded.slice(0, first)];
  for (let at = first; at < count; at += size) groups.push(padded.slice(at, at + size));
  return `${prefix}${groups.join(spec.grouping)}${rest ?? ""}`;
}
