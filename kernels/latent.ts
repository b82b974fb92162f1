// The parts of queries and key of MLA that are copies: q'_h = q_h[dn ..] | ., key = c[kv ..] |
// c[.. kv].

/** Sizes of multi-head latent attention: H heads of dn + dr numbers, a latent of kv. */
export interface LatentSizes {
  readonly heads: number; // H
  readonly nope: number; // dn
  readonly rope: number; // dr
  readonly latent: number; // kv
}

/**
 * Rows [from, to): q [T, H (dn + dr)] and c [T, kv + dr] -> y [T, (H + 1) (dr + kv)], of which the
 * last kv numbers of the H queries stay. Nothing turns or is normed.
 */
export function latent(
  q: Float32Array,
  c: Float32Array,
  { heads: H, nope, rope, latent: kv }: LatentSizes,
  y: Float32Array,
  from: number,
  to: number,
): void {
  const size = rope + kv;
  for (let t = from; t < to; t++) {
    for (let h = 0; h < H; h++) {
      const end = (t * H + h + 1) * (nope + rope);
      y.set(q.subarray(end - rope, end), (t * (H + 1) + h) * size);
    }
    const own = c.subarray(t * size, (t + 1) * size);
    const key = (t * (H + 1) + H) * size;
    y.set(own.subarray(kv), key);
    y.set(own.subarray(0, kv), key + rope);
  }
}
