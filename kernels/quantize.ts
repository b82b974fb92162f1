// x = scale * q: activations as int8 for products with quantized weights. One scale a group of 32
// columns, or of 256 for formats whose scales are integers times an f32 of as many.

/**
 * Rows [from, to) of x [T, D] to quants [T, group G] and scales [T, G], G = ceil(D / group): scale
 * = max|x| / 127, q the integer nearest to x / scale (a tie goes to the even one), in -127..127.
 * Columns past D count as zeros.
 */
export function quantize(
  group: number,
  x: Float32Array,
  D: number,
  quants: Int8Array,
  scales: Float32Array,
  from: number,
  to: number,
): void {
  const groups = Math.ceil(D / group);
  for (let t = from; t < to; t++)
    for (let g = 0; g < groups; g++) {
      const values = x.subarray(t * D + g * group, t * D + Math.min(D, (g + 1) * group));
      const scale = Math.fround(values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127);
      const inverse = scale > 0 ? Math.fround(1 / scale) : 0;
      const at = (t * groups + g) * group;
      scales[t * groups + g] = scale;
      quants.fill(0, at, at + group);
      for (const [i, value] of values.entries()) quants[at + i] = nearestEven(Math.fround(value * inverse));
    }
}

function nearestEven(value: number): number {
  const low = Math.floor(value);
  const rest = value - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 !== 0) ? low + 1 : low;
}
