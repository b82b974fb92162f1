// Converts values to text: Python's str() and repr(), and JSON like transformers' `tojson`.

import { pythonFloat } from "../python_json.ts";
import { type Run, TemplateFault } from "./bounds.ts";
import { concat, isStr, mapParts, plain, repeatText, type Str, withSafe } from "./text.ts";
import { Dict, Float, isList, isWhole, Range, Tuple, typeName, Undefined, type Value, View } from "./values.ts";

/** `str(value)`. A text is returned unchanged, including its safe mark. */
export function str(run: Run, value: Value): Str {
  if (isStr(value)) return value;
  if (value instanceof Undefined) return "";
  return repr(run, value);
}

/** Python raises an error for longer whole numbers. */
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
  const out: Str[] = [];
  writeRepr(run, value, out);
  return out.length === 1 ? out[0]! : joined(run, out);
}

function writeRepr(run: Run, value: Value, out: Str[]): void {
  run.spend(1);
  if (value === null) out.push("None");
  else if (typeof value === "boolean") out.push(value ? "True" : "False");
  else if (isWhole(value)) out.push(wholeText(value));
  else if (value instanceof Float) out.push(floatText(value.value));
  else if (isStr(value)) {
    run.read(plain(value).length * 2);
    const text = textRepr(value);
    out.push(typeof value !== "string" && value.safe ? concat(["Markup(", text, ")"]) : text);
  } else if (isList(value)) writeItems(run, "[", value, "]", out);
  else if (value instanceof Tuple) writeItems(run, "(", value.items, value.items.length === 1 ? ",)" : ")", out);
  else if (value instanceof Dict) {
    let between = "{";
    for (const [key, member] of value.pairs()) {
      out.push(between);
      writeRepr(run, key, out);
      out.push(": ");
      writeRepr(run, member, out);
      between = ", ";
    }
    out.push(value.size === 0 ? "{}" : "}");
  } else if (value instanceof Undefined) out.push("Undefined");
  else if (value instanceof Range) {
    out.push(`range(${value.start}, ${value.stop}${value.step === 1 ? "" : `, ${value.step}`})`);
  } else if (value instanceof View) writeItems(run, `dict_${value.kind}([`, value.list(), "])", out);
  else if ("shown" in value) out.push(value.shown(run, (inner) => repr(run, inner)));
  else out.push(`<${value.type} object>`);
}

function writeItems(run: Run, open: string, items: readonly Value[], close: string, out: Str[]): void {
  out.push(open);
  items.forEach((item, i) => {
    if (i > 0) out.push(", ");
    writeRepr(run, item, out);
  });
  out.push(close);
}

/** Joins parts, within the limits of the rendering. */
export function joined(run: Run, parts: readonly Str[]): Str {
  run.room(parts.reduce((sum, part) => sum + plain(part).length, 0));
  return concat(parts);
}

const NAMED: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\" };

function textRepr(text: Str): Str {
  const all = plain(text);
  const quote = all.includes("'") && !all.includes('"') ? '"' : "'";
  const escaped = mapParts(text, (part) =>
    // Unprintable characters: categories C and Z, except the space.
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
  /** The indentation per level, or null for a single line. */
  readonly indent: Str | null;
  readonly between: Str;
  readonly colon: Str;
  /** How keys are sorted; null keeps their order. */
  readonly order: ((a: Value, b: Value) => number) | null;
}

/** `json.dumps`. @throws TemplateFault for values that JSON cannot represent */
export function toJson(run: Run, value: Value, options: JsonOptions): Str {
  const out: Str[] = [];
  writeJson(run, value, options, 0, out);
  return joined(run, out);
}

function writeJson(run: Run, value: Value, options: JsonOptions, level: number, out: Str[]): void {
  run.spend(1);
  if (value === null) out.push("null");
  else if (typeof value === "boolean") out.push(`${value}`);
  else if (isWhole(value)) out.push(wholeText(value));
  else if (value instanceof Float) out.push(pythonFloat(value.value));
  else if (isStr(value)) writeJsonText(run, value, options.ascii, out);
  else if (isList(value) || value instanceof Tuple) {
    const items = isList(value) ? value : value.items;
    writeStructure(run, "[]", items.length, options, level, out, (i) => {
      writeJson(run, items[i]!, options, level + 1, out);
    });
  } else if (value instanceof Dict) {
    const { order } = options;
    const pairs = [...value.pairs()];
    if (order !== null) pairs.sort(([a], [b]) => order(a, b));
    writeStructure(run, "{}", pairs.length, options, level, out, (i) => {
      const [key, member] = pairs[i]!;
      writeJsonText(run, jsonKey(key), options.ascii, out);
      out.push(options.colon);
      writeJson(run, member, options, level + 1, out);
    });
  } else {
    throw new TemplateFault(
      `tojson: a value of type ${typeName(value)} cannot be written as JSON${whyUndefined(value)}`,
    );
  }
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
  throw new TemplateFault(`tojson: a key of type ${typeName(key)} cannot be written as JSON`);
}

function writeStructure(
  run: Run,
  brackets: string,
  count: number,
  options: JsonOptions,
  level: number,
  out: Str[],
  member: (i: number) => void,
): void {
  if (count === 0) {
    out.push(brackets);
    return;
  }
  const { indent } = options;
  if (indent !== null) run.room(plain(indent).length * (level + 1) * (count + 1));
  const line = (depth: number): Str => (indent === null ? "" : concat(["\n", repeatText(indent, depth)]));
  const [before, after] = [line(level + 1), line(level)];
  out.push(brackets[0]!, before);
  for (let i = 0; i < count; i++) {
    if (i > 0) out.push(options.between, before);
    member(i);
  }
  out.push(after, brackets[1]!);
}

function writeJsonText(run: Run, text: Str, ascii: boolean, out: Str[]): void {
  run.read(plain(text).length * (ascii ? 6 : 2));
  const escaped = mapParts(text, (part) => {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids them
    const common = part.replace(/["\\\u0000-\u001f]/g, (one) => JSON.stringify(one).slice(1, -1));
    if (!ascii) return common;
    return common.replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
  });
  out.push('"', escaped, '"');
}
