// The random generator of sampling: xoshiro128** (Blackman and Vigna 2018), seeded by splitmix32;
// the same on all platforms.

/** Uniform numbers in [0, 1). */
export interface Random {
  (): number;
  /** The generator's four words of state: a copy of them continues the sequence. */
  readonly state: Uint32Array;
}

/**
 * A generator from a seed: an integer from 0 to 2^53 - 1. Same seed, same numbers
 * on every platform.
 */
export function randomFrom(seed: number): Random {
  let mix = (seed >>> 0) ^ Math.imul(Math.floor(seed / 2 ** 32), 0x9e3779b9);
  const splitmix = (): number => {
    mix = (mix + 0x9e3779b9) | 0;
    let z = Math.imul(mix ^ (mix >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return (z ^ (z >>> 16)) >>> 0;
  };
  const state = Uint32Array.of(splitmix(), splitmix(), splitmix(), splitmix());
  const next = (): number => {
    let [a, b, c, d] = [state[0]!, state[1]!, state[2]!, state[3]!];
    const x = Math.imul(b, 5);
    const result = Math.imul((x << 7) | (x >>> 25), 9) >>> 0;
    const t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = (d << 11) | (d >>> 21);
    state[0] = a;
    state[1] = b;
    state[2] = c;
    state[3] = d;
    return result;
  };
  // 53 bits: the upper 27 of one draw and the upper 26 of the next.
  return Object.assign(() => ((next() >>> 5) * 2 ** 26 + (next() >>> 6)) / 2 ** 53, { state });
}
