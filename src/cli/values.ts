// Parsers of option values: each turns an option's text into a checked value, or throws
// what was expected.

import { InvalidArgumentError } from "commander";
import { HotsetError } from "../errors.ts";

/** A parser of numbers from `min` to `max`. */
export function number(min: number, max = Number.MAX_VALUE): (text: string) => number {
  return (text) => {
    const value = text.trim() === "" ? Number.NaN : Number(text);
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected a number ${range(min, max, Number.MAX_VALUE)}.`);
  };
}

/** A parser of integers from `min` to `max`. */
export function integer(min: number, max = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = /^-?\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected an integer ${range(min, max, Number.MAX_SAFE_INTEGER)}.`);
  };
}

function range(min: number, max: number, unbounded: number): string {
  return max === unbounded ? `of at least ${min}` : `from ${min} to ${max}`;
}

/** A parser of times: "30" and "30s" are seconds; also "500ms", "10m", "1h". */
export function seconds(min: number, max: number): (text: string) => number {
  const scales: Readonly<Record<string, number>> = { "": 1, ms: 1e-3, s: 1, m: 60, h: 3600 };
  return (text) => {
    const [, digits, unit = ""] = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h)?$/i.exec(text.trim()) ?? [];
    const value = Number(digits) * scales[unit.toLowerCase()]!;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected a time from ${min} to ${max} seconds, such as "30s", "500ms" or "10m".`);
  };
}

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/** Bytes from a size such as "6GiB", "512MB", "1.5 GiB" or "1048576". */
export function size(text: string): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim()) ?? [];
  const scale = unit === undefined ? undefined : UNITS[unit.toLowerCase()];
  const bytes = scale === undefined ? Number.NaN : Math.floor(Number(digits) * scale);
  if (bytes >= 1 && bytes <= Number.MAX_SAFE_INTEGER) return bytes;
  throw new InvalidArgumentError('Expected a size in bytes such as "6GiB", "512MB" or "1048576".');
}

/** A parser that also takes -1, which other programs use, with the value `meaning`. */
export function orMinusOne(parse: (text: string) => number, meaning = -1): (text: string) => number {
  return (text) => (text.trim() === "-1" ? meaning : parse(text));
}

/** A parser that reports the errors of `check`. */
export function checked<T>(check: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return check(text);
    } catch (error) {
      if (!(error instanceof HotsetError)) throw error;
      throw new InvalidArgumentError(error.message);
    }
  };
}

/**
 * A parser for an option that may be given several times. Empty texts, which scripts with an empty
 * variable pass, are ignored.
 */
export function collectTexts(text: string, before: readonly string[] = []): readonly string[] {
  return text === "" ? before : [...before, text];
}
