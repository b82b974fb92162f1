// Values as texts: Python's str() and repr(), and JSON as transformers' `tojson` writes it.

import { pythonFloat } from "../python_json.ts";
import { type Run, TemplateFault } from "./bounds.ts";
import { concat, isStr, mapParts, plain, type Str, withSafe } from "./text.ts";
import { Dict, Float, isList, isWhole, Range, Tuple, typeName, Undefined, type Value, View } from "./values.ts";

/** `str(value)`. A text comes back as it is, marked safe if it was. */
export function str(run: Run, value: Value): Str {
  if (isStr(value)) return value;
  if (value instanceof Undefined) return "";
  return repr(run, value);
}

/** Python refuses to print longer whole numbers. */
const MAX_DIGITS = 4300;

export function wholeText(value: number | bigint): string {
  const text = `${value}`;
  if (text.length > MAX_DIGITS) {
    throw new TemplateFault(`expected a whole number of at most ${MAX_DIGITS} digits, found ${text.length}`);
  }
  return text;
}

export function floatText(value: number): string {
  if (Number.isFinite(value)) return pythonFloat(value);
  return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

export function repr(run: Run, value: Value): Str {
  run.spend(1);
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (isWhole(value)) return wholeText(value);
  if (value instanceof Float) return floatText(value.value);
  if (isStr(value)) {
    run.read(plain(value).length * 2);
    const text = textRepr(value);
    return typeof value !== "string" && value.safe ? concat(["Markup(", text, ")"]) : text;
  }
  if (isList(value)) return listed(run, "[", value, "]");
  if (value instanceof Tuple) return listed(run, "(", value.items, value.items.length === 1 ? ",)" : ")");
  if (value instanceof Dict) return dictRepr(run, value);
  if (value instanceof Undefined) return "Undefined";
  if (value instanceof Range) {
    return `range(${value.start}, ${value.stop}${value.step === 1 ? "" : `, ${value.step}`})`;
  }
  if (value instanceof View) return concat([`dict_${value.kind}(`, listed(run, "[", value.list(), "]"), ")"]);
  if ("shown" in value) return value.shown(run, (inner) => repr(run, inner));
  return `<${value.type} object>`;
}

function listed(run: Run, open: string, items: readonly Value[], close: string): Str {
  const parts: Str[] = [open];
  items.forEach((item, i) => {
    if (i > 0) parts.push(", ");
    parts.push(repr(run, item));
  });
  parts.push(close);
  return joined(run, parts);
}

function dictRepr(run: Run, dict: Dict): Str {
  const parts: Str[] = ["{"];
  for (const [key, value] of dict.pairs()) {
    if (parts.length > 1) parts.push(", ");
    parts.push(repr(run, key), ": ", repr(run, value));
  }
  parts.push("}");
  return joined(run, parts);
}

/** Parts as one text, within the bounds. */
export function joined(run: Run, parts: readonly Str[]): Str {
  run.room(parts.reduce((sum, part) => sum + plain(part).length, 0));
  return concat(parts);
}

const NAMED: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\" };

function textRepr(text: Str): Str {
  const all = plain(text);
  const quote = all.includes("'") && !all.includes('"') ? '"' : "'";
  const escaped = mapParts(text, (part) =>
    // Characters that do not print: of the categories C and Z, but for the space.
    part.replace(/[\p{C}\p{Z}\\'"]/gu, (one) => {
      if (one === " " || (/['"]/.test(one) && one !== quote)) return one;
      if (one === quote) return `\\${one}`;
      if (NAMED[one] !== undefined) return NAMED[one]!;
      const code = one.codePointAt(0)!;
      const [letter, width] = code < 0x100 ? ["x", 2] : code < 0x10000 ? ["u", 4] : ["U", 8];
      return `\\${letter}${code.toString(16).padStart(width as number, "0")}`;
    }),
  );
  return concat([quote, withSafe(escaped, false), quote]);
}

export interface JsonOptions {
  readonly ascii: boolean;
  /** What one level is indented by, or null for one line. */
  readonly indent: string | null;
  readonly between: Str;
  readonly colon: Str;
  /** Of the keys; null for their own. */
  readonly order: ((a: Value, b: Value) => number) | null;
}

/** `json.dumps`. @throws TemplateFault for what JSON has no form for */
export function toJson(run: Run, value: Value, options: JsonOptions, level = 0): Str {
  run.spend(1);
  if (value === null) return "null";
  if (typeof value === "boolean") return `${value}`;
  if (isWhole(value)) return wholeText(value);
  if (value instanceof Float) return pythonFloat(value.value);
  if (isStr(value)) return jsonText(run, value, options.ascii);
  const items = isList(value) ? value : value instanceof Tuple ? value.items : null;
  if (items !== null) {
    return structure(
      run,
      "[]",
      items.map((item) => [toJson(run, item, options, level + 1)]),
      options,
      level,
    );
  }
  if (!(value instanceof Dict)) {
    throw new TemplateFault(`tojson: a value of type ${typeName(value)} has no form in JSON${whyUndefined(value)}`);
  }
  const { order } = options;
  const pairs = [...value.pairs()];
  if (order !== null) pairs.sort(([a], [b]) => order(a, b));
  const members = pairs.map(([key, member]) => [
    jsonText(run, jsonKey(key), options.ascii),
    options.colon,
    toJson(run, member, options, level + 1),
  ]);
  return structure(run, "{}", members, options, level);
}

function whyUndefined(value: Value): string {
  return value instanceof Undefined ? ` (${value.message})` : "";
}

function jsonKey(key: Value): Str {
  if (isStr(key)) return key;
  if (key === null) return "null";
  if (typeof key === "boolean") return `${key}`;
  if (isWhole(key)) return wholeText(key);
  if (key instanceof Float) return pythonFloat(key.value);
  throw new TemplateFault(`tojson: a key of type ${typeName(key)} has no form in JSON`);
}

function structure(
  run: Run,
  brackets: string,
  members: readonly (readonly Str[])[],
  options: JsonOptions,
  level: number,
): Str {
  if (members.length === 0) return brackets;
  const { indent } = options;
  if (indent !== null) run.room(indent.length * (level + 1) * (members.length + 1));
  const line = (depth: number): string => (indent === null ? "" : `\n${indent.repeat(depth)}`);
  const parts: Str[] = [brackets[0]!, line(level + 1)];
  members.forEach((member, i) => {
    if (i > 0) parts.push(options.between, line(level + 1));
    parts.push(...member);
  });
  parts.push(line(level), brackets[1]!);
  return joined(run, parts);
}

function jsonText(run: Run, text: Str, ascii: boolean): Str {
  run.read(plain(text).length * (ascii ? 6 : 2));
  const escaped = mapParts(text, (part) => {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids them
    const common = part.replace(/["\\\u0000-\u001f]/g, (one) => JSON.stringify(one).slice(1, -1));
    if (!ascii) return common;
    return common.replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
  });
  return concat(['"', withSafe(escaped, false), '"']);
}
