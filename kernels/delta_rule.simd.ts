// The gated delta rule: S := exp(g) S;  S := S + k (beta (v - Sᵀ k))ᵀ;  o = Sᵀ q; delta_rule.ts has
// the terms.
//
// Columns of S do not meet, so a thread takes sixteen (or four, or one) of them through all rows of
// a step: their part of S stays in the first cache.

import { madd } from "./lib/simd/dot.simd";

/** Bytes of a run in the table: its first row, its rows, its state's address, whether it is new. */
// @ts-ignore: decorator
@inline const RUN: usize = 16;

/** Four values, or one in the first lane. */
// @ts-ignore: decorator
@inline function read(four: bool, p: usize): v128 {
  return four ? v128.load(p) : v128.load32_zero(p);
}

// @ts-ignore: decorator
@inline function write(four: bool, p: usize, v: v128): void {
  if (four) v128.store(p, v);
  else v128.store32_lane(p, v, 0);
}

/**
 * 4 `vectors` columns (1 unless `four`), all rows of a run: q, k, v, factors, out are addresses of
 * its first row; S of the columns.
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
    let at = S;
    for (let i: u32 = 0; i < dk; i++, at += stride) {
      const ki = v128.load32_splat(k + <usize>i * 4);
      const s = f32x4.mul(read(four, at), decay);
      write(four, at, s);
      a = madd(ki, s, a);
      if (vectors > 1) {
        const s1 = f32x4.mul(v128.load(at, 16), decay);
        const s2 = f32x4.mul(v128.load(at, 32), decay);
        const s3 = f32x4.mul(v128.load(at, 48), decay);
        v128.store(at, s1, 16);
        v128.store(at, s2, 32);
        v128.store(at, s3, 48);
        b = madd(ki, s1, b);
        c = madd(ki, s2, c);
        d = madd(ki, s3, d);
      }
    }
    // k is scaled here, twice: in k (v - Sᵀ k) both times.
    const twice = f32x4.mul(beta, kScale);
    a = f32x4.mul(twice, f32x4.sub(read(four, v), f32x4.mul(kScale, a)));
    let oa = f32x4.splat(0);
    let ob = oa;
    let oc = oa;
    let od = oa;
    if (vectors > 1) {
      b = f32x4.mul(twice, f32x4.sub(v128.load(v, 16), f32x4.mul(kScale, b)));
      c = f32x4.mul(twice, f32x4.sub(v128.load(v, 32), f32x4.mul(kScale, c)));
      d = f32x4.mul(twice, f32x4.sub(v128.load(v, 48), f32x4.mul(kScale, d)));
    }
    at = S;
    for (let i: u32 = 0; i < dk; i++, at += stride) {
      const ki = v128.load32_splat(k + <usize>i * 4);
      const qi = v128.load32_splat(q + <usize>i * 4);
      const s = madd(ki, a, read(four, at));
      write(four, at, s);
      oa = madd(qi, s, oa);
      if (vectors > 1) {
        const s1 = madd(ki, b, v128.load(at, 16));
        const s2 = madd(ki, c, v128.load(at, 32));
        const s3 = madd(ki, d, v128.load(at, 48));
        v128.store(at, s1, 16);
        v128.store(at, s2, 32);
        v128.store(at, s3, 48);
        ob = madd(qi, s1, ob);
        oc = madd(qi, s2, oc);
        od = madd(qi, s3, od);
      }
    }
    write(four, out, f32x4.mul(qScale, oa));
    if (vectors > 1) {
      v128.store(out, f32x4.mul(qScale, ob), 16);
      v128.store(out, f32x4.mul(qScale, oc), 32);
      v128.store(out, f32x4.mul(qScale, od), 48);
    }
    q += rowBytes;
    k += rowBytes;
    v += rowBytes;
    factors += factorBytes;
    out += outBytes;
  }
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
      columns(4, true, S + at, stride, dk, rows, q, q + keys, v + at, rowBytes, f, factorBytes, out + at, outBytes);
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
