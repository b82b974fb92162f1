// Numbers as texts: automata that accept the decimal spellings in a range, or of the multiples
// of a number.

import { both, type Dfa, either, not } from "./dfa.ts";
import { INTEGER_DIGITS } from "./json_text.ts";
import { whole } from "./nfa.ts";
import { choice, EMPTY, literal, NEVER, type Regex, repeat, sequence, set } from "./regex.ts";
import { Unsupported } from "./unsupported.ts";

/** A condition on a number; `is: false` is its negation. */
export type NumberPart =
  | { readonly kind: "integer"; readonly is: boolean }
  | { readonly kind: "least" | "most"; readonly value: number; readonly open: boolean }
  | { readonly kind: "multiple"; readonly of: number; readonly is: boolean }
  | { readonly kind: "equal"; readonly values: readonly number[]; readonly is: boolean };

/**
 * How constrained numbers are spelled: without an exponent and with at most 15 significant digits.
 * Different spellings are then different doubles, and what is true of the text is true of the
 * number that is read from it.
 */
const FRACTION_DIGITS = 6;
const WHOLE_DIGITS = INTEGER_DIGITS - FRACTION_DIGITS;
const MAX_MULTIPLE = 1000;
/** Bounds of this size need more than 15 digits. */
const LARGE = 10 ** INTEGER_DIGITS;

const digit = set([0x30, 0x39]);
const digits = repeat(digit, 0);
const between = (low: number, high: number): Regex => (low > high ? NEVER : set([0x30 + low, 0x30 + high]));
const wholePart = (most: number): Regex => choice(literal("0"), sequence(between(1, 9), repeat(digit, 0, most - 1)));
const point = literal(".");
const optional = (regex: Regex): Regex => repeat(regex, 0, 1);
const anyFraction = optional(sequence(point, repeat(digit, 1)));
const zeros = optional(sequence(point, repeat(literal("0"), 1)));

const domain: Regex = sequence(
  optional(literal("-")),
  choice(wholePart(INTEGER_DIGITS), sequence(wholePart(WHOLE_DIGITS), point, repeat(digit, 1, FRACTION_DIGITS))),
);

/** Whether a number from a list (`enum`) meets a condition. */
export function meets(value: number, part: NumberPart): boolean {
  switch (part.kind) {
    case "integer":
      return Number.isInteger(value) === part.is;
    case "least":
      return part.open ? value > part.value : value >= part.value;
    case "most":
      return part.open ? value < part.value : value <= part.value;
    case "multiple":
      return isMultiple(value, part.of) === part.is;
    case "equal":
      return part.values.includes(value) === part.is;
  }
}

function isMultiple(value: number, of: number): boolean {
  const [a, b] = [decimal(Math.abs(value)), decimal(of)];
  const places = Math.max(a.fraction.length, b.fraction.length);
  const scaled = (d: Decimal): bigint => BigInt(d.whole + d.fraction.padEnd(places, "0"));
  return scaled(a) % scaled(b) === 0n;
}

/**
 * The spellings of numbers that meet all conditions.
 * @throws Unsupported for a condition that needs more than 15 digits
 */
export function numbers(parts: readonly NumberPart[]): Dfa {
  return parts.reduce((dfa, part) => both(dfa, dfaOf(part)), whole(domain));
}

function dfaOf(part: NumberPart): Dfa {
  switch (part.kind) {
    case "integer": {
      // 1.0 is an integer; it is spelled 1 where integers are wanted.
      const negative = optional(literal("-"));
      return part.is
        ? whole(sequence(negative, wholePart(INTEGER_DIGITS)))
        : not(whole(sequence(negative, wholePart(INTEGER_DIGITS), zeros)));
    }
    case "least":
      return whole(bound(part.value, part.open, "up"));
    case "most":
      return whole(bound(part.value, part.open, "down"));
    case "multiple":
      return part.is ? multiples(part.of) : not(multiples(part.of));
    case "equal":
      return not(whole(choice(...part.values.map(spellings))));
  }
}

interface Decimal {
  readonly whole: string;
  readonly fraction: string;
}

/** The digits of the shortest decimal that reads as this number, which must not be negative. */
function decimal(value: number): Decimal {
  const [mantissa = "", exponent = "0"] = String(value).split("e");
  const [whole = "0", fraction = ""] = mantissa.split(".");
  const shift = Number(exponent);
  if (shift >= 0) {
    const moved = fraction.padEnd(shift, "0");
    return { whole: (whole + moved.slice(0, shift)).replace(/^0+(?=.)/, ""), fraction: moved.slice(shift) };
  }
  const moved = whole.padStart(1 - shift, "0");
  return { whole: moved.slice(0, shift) || "0", fraction: (moved.slice(shift) + fraction).replace(/0+$/, "") };
}

/** Every spelling of one number that has no exponent. */
function spellings(value: number): Regex {
  const { whole, fraction } = decimal(Math.abs(value));
  const sign = value === 0 ? optional(literal("-")) : value < 0 ? literal("-") : EMPTY;
  const rest = fraction === "" ? zeros : sequence(literal(`.${fraction}`), repeat(literal("0"), 0));
  return sequence(sign, literal(whole), rest);
}

/**
 * Spellings of numbers on one side of a bound: "up" is at least, "down" at most; `open` excludes
 * the bound itself.
 */
function bound(value: number, open: boolean, side: "up" | "down"): Regex {
  const any = sequence(wholePart(INTEGER_DIGITS), anyFraction);
  const all = sequence(optional(literal("-")), any);
  if (Math.abs(value) >= LARGE) {
    if (value > 0 === (side === "down")) return all;
    throw new Unsupported(`a number beyond ${INTEGER_DIGITS} digits, ${value},`);
  }
  const size = decimal(Math.abs(value));
  const minus = literal("-");
  if (value === 0) {
    const none = sequence(literal("0"), zeros);
    const zero = sequence(optional(minus), none);
    const more = above(size, true);
    if (side === "up") return open ? more : choice(more, zero);
    return open ? sequence(minus, more) : choice(sequence(minus, more), zero);
  }
  if (value > 0 === (side === "up")) {
    const far = above(size, open);
    return value > 0 ? far : sequence(minus, far);
  }
  // The side that contains 0 also contains all numbers of the other sign.
  return value > 0 ? choice(below(size, open), sequence(minus, any)) : choice(sequence(minus, below(size, open)), any);
}

/** Spellings of a size of at least (open: more than) this. */
function above({ whole, fraction }: Decimal, open: boolean): Regex {
  const out: Regex[] = [];
  if (whole.length < INTEGER_DIGITS)
    out.push(sequence(between(1, 9), repeat(digit, whole.length, INTEGER_DIGITS - 1), anyFraction));
  for (let i = 0; i < whole.length; i++)
    out.push(
      sequence(
        literal(whole.slice(0, i)),
        between(Number(whole[i]) + 1, 9),
        repeat(digit, whole.length - i - 1, whole.length - i - 1),
        anyFraction,
      ),
    );
  const tails: Regex[] = [];
  for (let i = 0; i < fraction.length; i++)
    tails.push(sequence(literal(fraction.slice(0, i)), between(Number(fraction[i]) + 1, 9), digits));
  const more = open ? sequence(literal(fraction), digits, between(1, 9), digits) : sequence(literal(fraction), digits);
  if (fraction !== "" || open) tails.push(more);
  if (fraction === "" && !open) out.push(sequence(literal(whole), anyFraction));
  out.push(sequence(literal(`${whole}.`), choice(...tails)));
  return choice(...out);
}

/** Spellings of a size of at most (open: less than) this. */
function below({ whole, fraction }: Decimal, open: boolean): Regex {
  const out: Regex[] = [];
  if (whole.length > 1) out.push(sequence(wholePart(whole.length - 1), anyFraction));
  for (let i = 0; i < whole.length; i++) {
    const lowest = i === 0 && whole.length > 1 ? 1 : 0;
    out.push(
      sequence(
        literal(whole.slice(0, i)),
        between(lowest, Number(whole[i]) - 1),
        repeat(digit, whole.length - i - 1, whole.length - i - 1),
        anyFraction,
      ),
    );
  }
  const tails: Regex[] = [];
  for (let i = 0; i < fraction.length; i++) {
    tails.push(sequence(literal(fraction.slice(0, i)), between(0, Number(fraction[i]) - 1), digits));
    if (i > 0) tails.push(literal(fraction.slice(0, i)));
  }
  if (fraction !== "") out.push(literal(whole));
  else if (!open) out.push(sequence(literal(whole), zeros));
  if (!open && fraction !== "") tails.push(sequence(literal(fraction), repeat(literal("0"), 0)));
  out.push(sequence(literal(`${whole}.`), choice(...tails)));
  return choice(...out);
}

/**
 * Spellings of multiples of a decimal: long division as an automaton, whose state is the remainder
 * and the number of decimals.
 */
function multiples(of: number): Dfa {
  const { whole: w, fraction } = decimal(of);
  const places = fraction.length;
  const step = BigInt(w + fraction);
  // Whole numbers are multiples of 1, 0.1, 0.01 ... whatever their decimals.
  if (step !== 1n && (step > BigInt(MAX_MULTIPLE) || places > FRACTION_DIGITS))
    throw new Unsupported(`${of}: more than ${MAX_MULTIPLE} steps, or more than ${FRACTION_DIGITS} decimals`);
  const depth = Math.min(places, FRACTION_DIGITS);
  const A = Number(step);
  // States: 0 start, 1 after the sign, 2 no number, then (left, decimals) with decimals 0..depth,
  // and after them zeros only.
  const starts = [0, 0x2d, 0x2e, 0x2f, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a];
  const state = (left: number, seen: number): number => 3 + left * (depth + 2) + seen;
  const next: number[] = [];
  const accepts: boolean[] = [false, false, false];
  const row = (to: (c: number) => number): void => {
    for (const c of starts) next.push(to(c));
  };
  const isDigit = (c: number): boolean => c >= 0x30 && c <= 0x39;
  row((c) => (c === 0x2d ? 1 : isDigit(c) ? state((c - 0x30) % A, 0) : 2));
  row((c) => (isDigit(c) ? state((c - 0x30) % A, 0) : 2));
  row(() => 2);
  for (let left = 0; left < A; left++) {
    for (let seen = 0; seen <= depth + 1; seen++) {
      // seen 0: before the point; seen k + 1: k decimals.
      const decimals = Math.max(0, seen - 1);
      let scaled = left;
      for (let i = decimals; i < places; i++) scaled = (scaled * 10) % A;
      accepts.push(scaled === 0);
      row((c) => {
        if (c === 0x2e) return seen === 0 ? state(left, 1) : 2;
        if (!isDigit(c)) return 2;
        if (seen === 0) return state((left * 10 + c - 0x30) % A, 0);
        if (decimals < depth) return state((left * 10 + c - 0x30) % A, seen + 1);
        return c === 0x30 ? state(left, seen) : 2;
      });
    }
  }
  return either({ starts, next, accepts });
}
