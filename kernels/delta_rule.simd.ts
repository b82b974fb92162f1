// The gated delta rule: S := exp(g) S;  S := S + k (beta (v - Sᵀ k))ᵀ;  o = Sᵀ q; delta_rule.ts has
// the terms.
//
// Columns of S do not meet, so a thread takes sixteen (or four, or one) of them through all rows of
// a step: their part of S stays in the first cache.

import { madd } from "./lib/simd/dot.simd";
import { sumOf } from "./lib/simd/lanes.simd";
import { read, RUN, write } from "./lib/simd/runs.simd";
import { scratchOf } from "./lib/simd/scratch.simd";

/**
 * From so many rows on, sixteen columns of S are copied to the thread's scratch if they fit there.
 */
// @ts-ignore: decorator
@inline const LOCAL_ROWS: u32 = 4;
// @ts-ignore: decorator
@inline const LOCAL_DK: u32 = 160;

/** Σ a b over n values. */
// @ts-ignore: decorator
@inline function dot(a: usize, b: usize, n: u32): v128 {
  let sum = f32x4.splat(0);
  let i: u32 = 0;
  for (; i + 4 <= n; i += 4) sum = madd(v128.load(a + <usize>i * 4), v128.load(b + <usize>i * 4), sum);
  for (; i < n; i++) sum = madd(v128.load32_zero(a + <usize>i * 4), v128.load32_zero(b + <usize>i * 4), sum);
  return f32x4.splat(sumOf(sum));
}

/**
 * 4 `vectors` columns (1 unless `four`), all rows of a run: q, k, v, factors, out are addresses of
 * its first row; S of the columns. S is read once for Sᵀk and Sᵀq as it was, and once to change it:
 * o is exp(g) Sᵀq + (k q) delta.
 */
// @ts-ignore: decorator
@inline function columns(
  vectors: u32,
  four: bool,
  S: usize,
  stride: usize,
  dk: u32,
  rows: u32,
  q: usize,
  k: usize,
  v: usize,
  rowBytes: usize,
  factors: usize,
  factorBytes: usize,
  out: usize,
  outBytes: usize,
): void {
  for (let t: u32 = 0; t < rows; t++) {
    const qScale = v128.load32_splat(factors);
    const kScale = v128.load32_splat(factors, 4);
    const beta = v128.load32_splat(factors, 8);
    const decay = v128.load32_splat(factors, 12);
    let a = f32x4.splat(0);
    let b = a;
    let c = a;
    let d = a;
    let oa = a;
    let ob = a;
    let oc = a;
    let od = a;
    let at = S;
    for (let i: u32 = 0; i < dk; i++, at += stride) {
      const ki = v128.load32_splat(k + <usize>i * 4);
      const qi = v128.load32_splat(q + <usize>i * 4);
      const s = read(four, at);
      a = madd(ki, s, a);
      oa = madd(qi, s, oa);
      if (vectors > 1) {
        const s1 = v128.load(at, 16);
        const s2 = v128.load(at, 32);
        const s3 = v128.load(at, 48);
        b = madd(ki, s1, b);
        ob = madd(qi, s1, ob);
        c = madd(ki, s2, c);
        oc = madd(qi, s2, oc);
        d = madd(ki, s3, d);
        od = madd(qi, s3, od);
      }
    }
    // k is scaled here, twice: in k (v - Sᵀ k) both times.
    const twice = f32x4.mul(beta, kScale);
    const known = f32x4.mul(decay, kScale);
    const both = f32x4.mul(qScale, dot(k, q, dk));
    const kept = f32x4.mul(qScale, decay);
    a = f32x4.mul(twice, f32x4.sub(read(four, v), f32x4.mul(known, a)));
    write(four, out, madd(both, a, f32x4.mul(kept, oa)));
    if (vectors > 1) {
      b = f32x4.mul(twice, f32x4.sub(v128.load(v, 16), f32x4.mul(known, b)));
      c = f32x4.mul(twice, f32x4.sub(v128.load(v, 32), f32x4.mul(known, c)));
      d = f32x4.mul(twice, f32x4.sub(v128.load(v, 48), f32x4.mul(known, d)));
      v128.store(out, madd(both, b, f32x4.mul(kept, ob)), 16);
      v128.store(out, madd(both, c, f32x4.mul(kept, oc)), 32);
      v128.store(out, madd(both, d, f32x4.mul(kept, od)), 48);
    }
    at = S;
    for (let i: u32 = 0; i < dk; i++, at += stride) {
      const ki = v128.load32_splat(k + <usize>i * 4);
      write(four, at, madd(ki, a, f32x4.mul(decay, read(four, at))));
      if (vectors > 1) {
        v128.store(at, madd(ki, b, f32x4.mul(decay, v128.load(at, 16))), 16);
        v128.store(at, madd(ki, c, f32x4.mul(decay, v128.load(at, 32))), 32);
        v128.store(at, madd(ki, d, f32x4.mul(decay, v128.load(at, 48))), 48);
      }
    }
    q += rowBytes;
    k += rowBytes;
    v += rowBytes;
    factors += factorBytes;
    out += outBytes;
  }
}

/** Copies dk rows of sixteen values. */
// @ts-ignore: decorator
@inline function move(from: usize, fromStride: usize, to: usize, toStride: usize, dk: u32): void {
  for (let i: u32 = 0; i < dk; i++) memory.copy(to + <usize>i * toStride, from + <usize>i * fromStride, 64);
}

/**
 * Units [from, to): unit u is value head u mod Hv of run u div Hv. qkv [T, 2 Hk dk + Hv dv],
 * factors [T, Hv, 4] as deltaFactors() has them; `runs` [n, 4] u32; a state [Hv, dk, dv] is
 * updated; y [T, Hv dv].
 */
export function deltaRule(
  from: u32,
  to: u32,
  thread: u32,
  qkv: usize,
  factors: usize,
  Hk: u32,
  Hv: u32,
  dk: u32,
  dv: u32,
  tiled: u32,
  runs: usize,
  y: usize,
): void {
  const keys = <usize>Hk * dk * 4;
  const outBytes = <usize>Hv * dv * 4;
  const rowBytes = 2 * keys + outBytes;
  const factorBytes = <usize>Hv * 16;
  const stride = <usize>dv * 4;
  for (let u = from; u < to; u++) {
    const head = u % Hv;
    const run = runs + <usize>(u / Hv) * RUN;
    const first = <usize>load<u32>(run);
    const rows = load<u32>(run, 4);
    const S = <usize>load<u32>(run, 8) + <usize>head * dk * stride;
    if (load<u32>(run, 12)) memory.fill(S, 0, <usize>dk * stride);
    const keyHead = tiled ? head % Hk : head / (Hv / Hk);
    const q = qkv + first * rowBytes + <usize>keyHead * dk * 4;
    const v = qkv + first * rowBytes + 2 * keys + <usize>head * stride;
    const f = factors + first * factorBytes + <usize>head * 16;
    const out = y + first * outBytes + <usize>head * stride;
    let j: u32 = 0;
    for (; j + 16 <= dv; j += 16) {
      const at = <usize>j * 4;
      // Of several rows in a place of their own: rows of S are far apart, and few sets of a cache
      // have them all.
      const own = rows >= LOCAL_ROWS && dk <= LOCAL_DK;
      const tile = own ? scratchOf(thread) : S + at;
      const tileStride = own ? 64 : stride;
      if (own) move(S + at, stride, tile, 64, dk);
      columns(4, true, tile, tileStride, dk, rows, q, q + keys, v + at, rowBytes, f, factorBytes, out + at, outBytes);
      if (own) move(tile, 64, S + at, stride, dk);
    }
    for (; j + 4 <= dv; j += 4) {
      const at = <usize>j * 4;
      columns(1, true, S + at, stride, dk, rows, q, q + keys, v + at, rowBytes, f, factorBytes, out + at, outBytes);
    }
    for (; j < dv; j++) {
      const at = <usize>j * 4;
      columns(1, false, S + at, stride, dk, rows, q, q + keys, v + at, rowBytes, f, factorBytes, out + at, outBytes);
    }
  }
}
