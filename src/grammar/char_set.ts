// Sets of Unicode code points as sorted ranges: the values of character classes.

/** Ranges lo, hi, lo, hi ...: ascending, inclusive, neither touching nor overlapping. */
export type CharSet = readonly number[];

export const LAST = 0x10ffff;
export const NONE: CharSet = [];
export const ANY: CharSet = [0, LAST];

export function charSet(...ranges: readonly (readonly [number, number])[]): CharSet {
  const sorted = [...ranges].sort((a, b) => a[0] - b[0]);
  const out: number[] = [];
  for (const [lo, hi] of sorted) {
    if (out.length > 0 && lo <= out[out.length - 1]! + 1) out[out.length - 1] = Math.max(out[out.length - 1]!, hi);
    else out.push(lo, hi);
  }
  return out;
}

export function pairs(set: CharSet): [number, number][] {
  const out: [number, number][] = [];
  for (let i = 0; i < set.length; i += 2) out.push([set[i]!, set[i + 1]!]);
  return out;
}

export function union(a: CharSet, b: CharSet): CharSet {
  return charSet(...pairs(a), ...pairs(b));
}

export function complement(set: CharSet): CharSet {
  const out: number[] = [];
  let next = 0;
  for (const [lo, hi] of pairs(set)) {
    if (lo > next) out.push(next, lo - 1);
    next = hi + 1;
  }
  if (next <= LAST) out.push(next, LAST);
  return out;
}

export function intersect(a: CharSet, b: CharSet): CharSet {
  return complement(union(complement(a), complement(b)));
}

const properties = new Map<string, CharSet>();

/**
 * The code points that a class escape of ECMAScript's u mode matches, such as "\\p{L}"; null if
 * there is no such escape.
 */
export function classEscape(spelled: string): CharSet | null {
  const known = properties.get(spelled);
  if (known !== undefined) return known;
  let test: RegExp;
  try {
    test = new RegExp(`^${spelled}$`, "u");
  } catch {
    return null;
  }
  const out: number[] = [];
  for (let point = 0; point <= LAST; point++) {
    if (!test.test(String.fromCodePoint(point))) continue;
    if (out.length > 0 && out[out.length - 1] === point - 1) out[out.length - 1] = point;
    else out.push(point, point);
  }
  if (properties.size < 64) properties.set(spelled, out);
  return out;
}

type Range = readonly [number, number];

/**
 * The UTF-8 of the characters of a set (surrogates have none) as sequences of byte ranges. Example:
 * U+0080..U+07FF is [[0xc2, 0xdf], [0x80, 0xbf]].
 */
export function utf8Sequences(set: CharSet): readonly (readonly Range[])[] {
  const lengths: readonly (readonly [number, number, number])[] = [
    [0, 0x7f, 1],
    [0x80, 0x7ff, 2],
    [0x800, 0xffff, 3],
    [0x10000, LAST, 4],
  ];
  const valid = intersect(set, [0, 0xd7ff, 0xe000, LAST]);
  return lengths.flatMap(([from, to, size]) =>
    pairs(intersect(valid, [from, to])).flatMap(([lo, hi]) => split(lo, hi, size)),
  );
}

/** Splits a range into ranges in which each byte varies independently of the others. */
function split(lo: number, hi: number, size: number): Range[][] {
  for (let i = 1; i < size; i++) {
    const low = (1 << (6 * i)) - 1; // bits of the last i bytes
    if ((lo & ~low) === (hi & ~low)) continue;
    if ((lo & low) !== 0) return [...split(lo, lo | low, size), ...split((lo | low) + 1, hi, size)];
    if ((hi & low) !== low) return [...split(lo, (hi & ~low) - 1, size), ...split(hi & ~low, hi, size)];
  }
  const first = [0, 0, 0xc0, 0xe0, 0xf0][size]!;
  return [
    Array.from({ length: size }, (_, i): Range => {
      const shift = 6 * (size - 1 - i);
      const byte = (point: number): number => (i === 0 ? first | (point >> shift) : 0x80 | ((point >> shift) & 0x3f));
      return [byte(lo), byte(hi)];
    }),
  ];
}
