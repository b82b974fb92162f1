// Python's numbers: integers of any size, floats, and their exact decimal digits.

import { type Run, TemplateFault } from "./bounds.ts";
import { Float, isWhole, type Value, whole } from "./values.ts";

export type Numeric = number | bigint | Float;

/** Maximum size in bits of a whole number that a template computes. */
const MAX_BITS = 2 ** 16;

/** A value as a number; booleans are 0 and 1. Undefined if it is not a number. */
export function numberOf(value: Value | undefined): Numeric | undefined {
  if (isWhole(value) || value instanceof Float) return value;
  return typeof value === "boolean" ? Number(value) : undefined;
}

/** float(value) of a number. @throws TemplateFault for a whole number too large for a float */
export function toFloat(value: Numeric): number {
  if (value instanceof Float) return value.value;
  const float = Number(value);
  if (!Number.isFinite(float)) throw new TemplateFault("a whole number is too large for a float");
  return float;
}

export function compareNumbers(a: Numeric, b: Numeric): number {
  const [left, right] = [a instanceof Float ? a.value : a, b instanceof Float ? b.value : b];
  if (left < right) return -1;
  if (left > right) return 1;
  return Number.isNaN(left) || Number.isNaN(right) ? Number.NaN : 0;
}

export function arithmetic(run: Run, operator: string, a: Numeric, b: Numeric): Numeric {
  if (a instanceof Float || b instanceof Float) return floats(operator, toFloat(a), toFloat(b));
  if (operator === "/") {
    nonZero(b);
    return new Float(quotient(BigInt(a), BigInt(b)));
  }
  if (operator === "**" && b < 0) return floats(operator, toFloat(a), toFloat(b));
  if (typeof a === "number" && typeof b === "number") {
    const result = small(operator, a, b);
    if (Number.isSafeInteger(result)) return result + 0; // whole numbers have no -0
  }
  const [left, right] = [BigInt(a), BigInt(b)];
  const bits = (value: bigint): number => value.toString(16).length * 4;
  run.spend(bits(left) / 64 + bits(right) / 64);
  const size = operator === "**" ? bits(left) * Number(right) : bits(left) + bits(right);
  if (size > MAX_BITS && Math.abs(Number(left)) > 1) {
    throw new TemplateFault(`it computes a whole number of more than ${MAX_BITS} bits`);
  }
  switch (operator) {
    case "+":
      return whole(left + right);
    case "-":
      return whole(left - right);
    case "*":
      return whole(left * right);
    case "**":
      return whole(left ** right);
  }
  nonZero(b);
  const rest = left % right;
  const adjust = rest !== 0n && rest < 0n !== right < 0n;
  if (operator === "//") return whole(left / right - (adjust ? 1n : 0n));
  return whole(rest + (adjust ? right : 0n));
}

function small(operator: string, a: number, b: number): number {
  switch (operator) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return a * b;
    case "**":
      return a ** b;
  }
  nonZero(b);
  const rest = a % b;
  const adjust = rest !== 0 && rest < 0 !== b < 0;
  return operator === "//" ? (a - rest) / b - (adjust ? 1 : 0) : rest + (adjust ? b : 0);
}

/** The float nearest to a / b. */
function quotient(a: bigint, b: bigint): number {
  const exact = (value: bigint): boolean => Number.isSafeInteger(Number(value));
  if (exact(a) && exact(b)) return Number(a) / Number(b);
  const [over, under] = [a < 0n ? -a : a, b < 0n ? -b : b];
  const bits = (value: bigint): number => value.toString(2).length;
  const shift = BigInt(Math.max(0, 66 - bits(over) + bits(under)));
  // A sticky digit stands for the remainder, so that rounding stays correct.
  const digits = ((over << shift) / under) | ((over << shift) % under === 0n ? 0n : 1n);
  const size = Number(digits) / 2 ** Number(shift);
  if (!Number.isFinite(size)) throw new TemplateFault("the result is too large for a float");
  return a < 0n === b < 0n ? size : -size;
}

function nonZero(value: number | bigint): void {
  if (value === 0 || value === 0n) throw new TemplateFault("division by zero");
}

function floats(operator: string, a: number, b: number): Float {
  switch (operator) {
    case "+":
      return new Float(a + b);
    case "-":
      return new Float(a - b);
    case "*":
      return new Float(a * b);
    case "**":
      return new Float(power(a, b));
  }
  nonZero(b);
  if (operator === "/") return new Float(a / b);
  let rest = a % b;
  let quotient = (a - rest) / b;
  if (rest !== 0) {
    if (b < 0 !== rest < 0) {
      rest += b;
      quotient -= 1;
    }
  } else rest = b < 0 ? -0 : 0;
  if (operator === "%") return new Float(rest);
  if (quotient === 0) return new Float(a / b < 0 || Object.is(a / b, -0) ? -0 : 0);
  const floor = Math.floor(quotient);
  return new Float(quotient - floor > 0.5 ? floor + 1 : floor);
}

function power(a: number, b: number): number {
  if (a === 0 && b < 0) throw new TemplateFault("0 to a negative power");
  if (a < 0 && Number.isFinite(a) && Number.isFinite(b) && !Number.isInteger(b)) {
    throw new TemplateFault("a negative number to the power of a fraction is not real");
  }
  if (a === 1) return 1; // also for NaN and infinite exponents
  if (a === -1 && !Number.isFinite(b) && !Number.isNaN(b)) return 1;
  const result = a ** b;
  if (!Number.isFinite(result) && Number.isFinite(a) && Number.isFinite(b)) {
    throw new TemplateFault("the result is too large for a float");
  }
  return result;
}

/** A finite float as an exact fraction. */
function fraction(value: number): { readonly over: bigint; readonly under: bigint } {
  const bits = new DataView(new ArrayBuffer(8));
  bits.setFloat64(0, Math.abs(value));
  const raw = bits.getBigUint64(0);
  const exponent = Number(raw >> 52n);
  const mantissa = (raw & 0xfffffffffffffn) + (exponent === 0 ? 0n : 1n << 52n);
  const shift = Math.max(exponent, 1) - 1075;
  return shift >= 0 ? { over: mantissa << BigInt(shift), under: 1n } : { over: mantissa, under: 1n << BigInt(-shift) };
}

/** over / under rounded to the nearest whole number, ties to even. */
function nearest(over: bigint, under: bigint): bigint {
  const [floor, rest] = [over / under, (over % under) * 2n];
  return rest > under || (rest === under && floor % 2n === 1n) ? floor + 1n : floor;
}

const MAX_PLACES = 1000;

function checkPlaces(places: number): void {
  if (Math.abs(places) > MAX_PLACES) throw new TemplateFault(`expected at most ${MAX_PLACES} digits, found ${places}`);
}

/**
 * The digits of |value|, exactly rounded to `places` after the point, without a point or sign.
 * `places` may be negative.
 */
export function fixedDigits(value: number, places: number): string {
  checkPlaces(places);
  const { over, under } = fraction(value);
  if (places < 0) {
    const unit = 10n ** BigInt(-places);
    return `${nearest(over, under * unit) * unit}`;
  }
  const digits = `${nearest(over * 10n ** BigInt(places), under)}`.padStart(places + 1, "0");
  return places === 0 ? digits : `${digits.slice(0, -places)}.${digits.slice(-places)}`;
}

/** |value| exactly rounded to `count` digits, and the power of ten of the first digit. */
export function scientificDigits(value: number, count: number): { readonly digits: string; readonly exponent: number } {
  checkPlaces(count);
  if (value === 0) return { digits: "0".repeat(count), exponent: 0 };
  const { over, under } = fraction(value);
  let exponent = Math.floor(Math.log10(Math.abs(value)));
  for (let tries = 0; ; tries++) {
    const places = count - 1 - exponent;
    const digits = `${places >= 0 ? nearest(over * 10n ** BigInt(places), under) : nearest(over, under * 10n ** BigInt(-places))}`;
    // If there is one digit too many or too few, the logarithm was off or rounding carried.
    if (digits.length === count || tries > 3) return { digits, exponent };
    exponent += digits.length - count;
  }
}

/** Python's round(number, places). */
export function rounded(value: Numeric, places: number): Numeric {
  if (value instanceof Float) {
    if (!Number.isFinite(value.value) || places > 340) return value;
    if (places < -340) return new Float(0 * value.value);
    const size = Number(fixedDigits(value.value, places));
    return new Float(value.value < 0 || Object.is(value.value, -0) ? -size : size);
  }
  if (places >= 0) return value;
  checkPlaces(places);
  const [number, unit] = [BigInt(value), 10n ** BigInt(-places)];
  const size = nearest(number < 0n ? -number : number, unit) * unit;
  return whole(number < 0n ? -size : size);
}

/** Replaces the decimal digits of all scripts by ASCII digits. */
function asciiDigits(text: string): string {
  return text.replace(/(?![0-9])\p{Nd}/gu, (digit) => {
    const code = digit.codePointAt(0)!;
    if (code >= 0x1d7ce && code <= 0x1d7ff) return `${(code - 0x1d7ce) % 10}`;
    // The digits of a script begin at a code point ending in 0 or 6 (hexadecimal).
    return `${(code & 15) - (/\p{Nd}/u.test(String.fromCodePoint(code & ~15)) ? 0 : 6)}`;
  });
}

/** int(text, base), or undefined where Python raises. */
export function parseWhole(given: string, base: number): number | bigint | undefined {
  const text = asciiDigits(given);
  if (base !== 0 && (base < 2 || base > 36)) return undefined;
  const found = /^\s*([-+]?)(?:0([xXoObB])_?)?(\w+?)\s*$/.exec(text);
  if (found === null) return undefined;
  let [, sign, letter, digits] = found as unknown as [string, string, string | undefined, string];
  const prefixes: Readonly<Record<string, number>> = { x: 16, o: 8, b: 2 };
  let radix = base;
  if (letter !== undefined) {
    const prefixed = prefixes[letter.toLowerCase()]!;
    if (base === 0) radix = prefixed;
    else if (prefixed !== base) {
      digits = `0${letter}${digits}`;
      letter = undefined;
    }
  } else if (base === 0) {
    radix = 10;
    if (/^0\d*[1-9]/.test(digits)) return undefined;
  }
  if (/^_|__|_$/.test(digits)) return undefined;
  digits = digits.replaceAll("_", "");
  let value = 0n;
  if (digits.length > 4300) return undefined;
  for (const one of digits) {
    const digit = Number.parseInt(one, 36);
    if (!(digit < radix)) return undefined;
    value = value * BigInt(radix) + BigInt(digit);
  }
  return whole(sign === "-" ? -value : value);
}

/** float(text), or undefined where Python raises. */
export function parseFloatText(given: string): number | undefined {
  const text = asciiDigits(given);
  const found =
    /^\s*([-+]?)(inf(?:inity)?|nan|(?:\d+(?:_\d+)*(?:\.(?:\d+(?:_\d+)*)?)?|\.\d+(?:_\d+)*)(?:e[-+]?\d+(?:_\d+)*)?)\s*$/i.exec(
      text,
    );
  if (found === null) return undefined;
  const [, sign, body] = found as unknown as [string, string, string];
  const size = /^i/i.test(body) ? Infinity : /^n/i.test(body) ? Number.NaN : Number(body.replaceAll("_", ""));
  return sign === "-" ? -size : size;
}

/** int(float). @throws TemplateFault for infinities and NaN */
export function truncated(value: number): number | bigint {
  if (!Number.isFinite(value)) throw new TemplateFault("expected a finite number");
  return whole(BigInt(Math.trunc(value)));
}
