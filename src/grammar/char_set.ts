// Sets of Unicode code points as sorted ranges: what a character class of a pattern stands for.

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

/** The code points that a class escape of ECMAScript's u mode matches, "\\p{L}" for one; null if there is no such escape. */
export function classEscape(escape: string): CharSet | null {
  const known = properties.get(escape);
  if (known !== undefined) return known;
  let test: RegExp;
  try {
    test = new RegExp(`^${escape}$`, "u");
  } catch {
    return null;
  }
  const out: number[] = [];
  for (let point = 0; point <= LAST; point++) {
    if (!test.test(String.fromCodePoint(point))) continue;
    if (out.length > 0 && out[out.length - 1] === point - 1) out[out.length - 1] = point;
    else out.push(point, point);
  }
  if (properties.size < 64) properties.set(escape, out);
  return out;
}
