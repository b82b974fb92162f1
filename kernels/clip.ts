// q, k and v within ±limit, between the norms of q and k and RoPE.

/** In place: no value of x beyond ±limit. Exact, and so the same on every path. */
export function clip(x: Float32Array, limit: number): void {
  for (let i = 0; i < x.length; i++) x[i] = Math.min(Math.max(x[i]!, -limit), limit);
}
