// Deterministic random numbers for tests: the same seed gives the same data on every machine.

/** mulberry32: a generator of uniform numbers in [0, 1). */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** n uniform floats in [-range, range]. */
export function uniform(n: number, seed: number, range = 1): Float32Array {
  const next = generator(seed);
  const x = new Float32Array(n);
  for (let i = 0; i < n; i++) x[i] = (2 * next() - 1) * range; // from() takes ten times as long
  return x;
}

/**
 * n integers in -range..range, as floats: sums of their products are exact in f32
 * whatever the order.
 */
export function integers(n: number, seed: number, range: number): Float32Array {
  const next = generator(seed);
  return Float32Array.from({ length: n }, () => Math.floor(next() * (2 * range + 1)) - range);
}
