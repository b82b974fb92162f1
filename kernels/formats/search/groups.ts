// What all searches for scales share: a row's groups as f32 with importances beside them, and
// rounding. Everything is f32 arithmetic, each operation rounded once and sums in order, so that
// SIMD, which takes four candidates at a time, finds the same bits (lib/simd/search.simd.ts).

/** Weights of larger magnitude count as this, NaN as minus this: squares of sums stay finite. */
const LARGEST = 2 ** 32;
/** Groups whose largest magnitude is less become zeros: no f16 scale is that small. */
export const SMALLEST: number = 2 ** -32;

const values = new Float32Array(256);
const importances = new Float32Array(256);

/**
 * Calls `pack` with every group of a row, padded with zeros, and its importances, which are 1
 * where none are given and 0 in the padding.
 */
export function eachGroup(
  group: number,
  row: Float32Array,
  importance: Float32Array | undefined,
  pack: (x: Float32Array, w: Float32Array, g: number) => void,
): void {
  for (let g = 0, at = 0; at < row.length; g++, at += group) {
    const count = Math.min(group, row.length - at);
    for (let i = 0; i < count; i++) {
      const value = row[at + i]!;
      values[i] = value > -LARGEST ? (value < LARGEST ? value : LARGEST) : -LARGEST;
      importances[i] = importance === undefined ? 1 : importance[at + i]!;
    }
    values.fill(0, count);
    importances.fill(0, count);
    pack(values, importances, g);
  }
}

/** The first of the n values from x[at] on that are farthest from zero. */
export function extremeOf(x: Float32Array, at: number, n: number): number {
  let extreme = 0;
  for (let i = at; i < at + n; i++) if (Math.abs(x[i]!) > Math.abs(extreme)) extreme = x[i]!;
  return extreme;
}

/** The integer nearest to an f32 within low..high, ties to even; NaN stays. */
export function roundWithin(value: number, low: number, high: number): number {
  const within = value < low ? low : high < value ? high : value;
  return Math.fround(Math.fround(within + 12582912) - 12582912); // 1.5 * 2^23
}

/** 1 / scale, or 0 for a scale of zero. */
export function inverseOf(scale: number): number {
  return scale === 0 ? 0 : Math.fround(1 / scale);
}
