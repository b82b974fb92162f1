// Products of q8 rows with int8 activations: blocks of eight rows, whose words lie side by side so that a lane is a row.
//
// A q8 word is four columns as bytes w + 128 = 16 high + low: two sums of nibbles (or of even and odd columns), which
// totalBytes() joins. Per group of 32 columns: y += (weight scale * activation scale) * Σ w q in f32.

import { byteActivations, bytes, dot, madd, totalBytes, X_BYTES, X_GROUP } from "./dot.simd";
import { halves } from "./lanes.simd";

/** Bytes of a group of eight rows: quants and scales. */
const W_GROUP: usize = 256;
const S_GROUP: usize = 16;

/** A group of four rows, the first or the second four of a block, as f32. */
// @ts-ignore: decorator
@inline function group(w: usize, x: usize, first: v128): v128 {
  let low = i32x4.splat(0);
  let high = low;
  for (const end = x + X_GROUP; x < end; x += 2 * X_BYTES) {
    const w0 = v128.load(w);
    const w1 = v128.load(w, 32);
    low = dot(low, byteActivations(x, 0), bytes(w0, 0));
    high = dot(high, byteActivations(x, 1), bytes(w0, 1));
    low = dot(low, byteActivations(x + X_BYTES, 0), bytes(w1, 0));
    high = dot(high, byteActivations(x + X_BYTES, 1), bytes(w1, 1));
    w += 64;
  }
  return f32x4.convert_i32x4_s(totalBytes(low, high, first));
}

/** Eight rows by one token: 8 f32 at out. */
export function vecQ8(w: usize, s: usize, groups: usize, x: usize, out: usize): void {
  let scale = x + groups * X_GROUP;
  let y0 = f32x4.splat(0);
  let y1 = y0;
  for (const end = scale, starts = groups * 4; x < end; x += X_GROUP) {
    const first = v128.load32_splat(scale + starts);
    const step = v128.load32_splat(scale);
    y0 = madd(f32x4.mul(group(w, x, first), step), halves(s), y0);
    y1 = madd(f32x4.mul(group(w + 16, x, first), step), halves(s + 8), y1);
    w += W_GROUP;
    s += S_GROUP;
    scale += 4;
  }
  v128.store(out, y0);
  v128.store(out, y1, 16);
}

/** Four blocks by one token: 32 f32 at out; four streams, as in product_q4. */
export function vec4Q8(w: usize, s: usize, groups: usize, x: usize, out: usize): void {
  let scale = x + groups * X_GROUP;
  const wBlock = groups * W_GROUP;
  const sBlock = groups * S_GROUP;
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let b0 = a0;
  let b1 = a0;
  let c0 = a0;
  let c1 = a0;
  let d0 = a0;
  let d1 = a0;
  for (const end = scale, starts = groups * 4; x < end; x += X_GROUP) {
    const first = v128.load32_splat(scale + starts);
    const step = v128.load32_splat(scale);
    let wp = w;
    let sp = s;
    a0 = madd(f32x4.mul(group(wp, x, first), step), halves(sp), a0);
    a1 = madd(f32x4.mul(group(wp + 16, x, first), step), halves(sp + 8), a1);
    wp += wBlock;
    sp += sBlock;
    b0 = madd(f32x4.mul(group(wp, x, first), step), halves(sp), b0);
    b1 = madd(f32x4.mul(group(wp + 16, x, first), step), halves(sp + 8), b1);
    wp += wBlock;
    sp += sBlock;
    c0 = madd(f32x4.mul(group(wp, x, first), step), halves(sp), c0);
    c1 = madd(f32x4.mul(group(wp + 16, x, first), step), halves(sp + 8), c1);
    wp += wBlock;
    sp += sBlock;
    d0 = madd(f32x4.mul(group(wp, x, first), step), halves(sp), d0);
    d1 = madd(f32x4.mul(group(wp + 16, x, first), step), halves(sp + 8), d1);
    w += W_GROUP;
    s += S_GROUP;
    scale += 4;
  }
  v128.store(out, a0);
  v128.store(out, a1, 16);
  v128.store(out, b0, 32);
  v128.store(out, b1, 48);
  v128.store(out, c0, 64);
  v128.store(out, c1, 80);
  v128.store(out, d0, 96);
  v128.store(out, d1, 112);
}

/** Eight rows by four tokens, whose quantized rows lie `stride` bytes apart: [4, 8] f32 at out. */
export function tileQ8(w: usize, s: usize, groups: usize, x: usize, stride: usize, out: usize): void {
  // Four rows at a time: two sums for each of four tokens are what the registers hold.
  half(w, s, groups, x, stride, out);
  half(w + 16, s + 8, groups, x, stride, out + 16);
}

function half(w: usize, s: usize, groups: usize, x: usize, stride: usize, out: usize): void {
  let scale = x + groups * X_GROUP;
  let y0 = f32x4.splat(0);
  let y1 = y0;
  let y2 = y0;
  let y3 = y0;
  const stride2 = 2 * stride;
  const stride3 = 3 * stride;
  for (const end = scale, starts = groups * 4; x < end; ) {
    let a0 = i32x4.splat(0);
    let a1 = a0;
    let b0 = a0;
    let b1 = a0;
    let c0 = a0;
    let c1 = a0;
    let d0 = a0;
    let d1 = a0;
    for (const last = x + X_GROUP; x < last; x += X_BYTES) {
      const word = v128.load(w);
      w += 32;
      const n0 = bytes(word, 0);
      const n1 = bytes(word, 1);
      a0 = dot(a0, byteActivations(x, 0), n0);
      a1 = dot(a1, byteActivations(x, 1), n1);
      b0 = dot(b0, byteActivations(x + stride, 0), n0);
      b1 = dot(b1, byteActivations(x + stride, 1), n1);
      c0 = dot(c0, byteActivations(x + stride2, 0), n0);
      c1 = dot(c1, byteActivations(x + stride2, 1), n1);
      d0 = dot(d0, byteActivations(x + stride3, 0), n0);
      d1 = dot(d1, byteActivations(x + stride3, 1), n1);
    }
    const weight = halves(s);
    y0 = finish(a0, a1, scale, starts, weight, y0);
    y1 = finish(b0, b1, scale + stride, starts, weight, y1);
    y2 = finish(c0, c1, scale + stride2, starts, weight, y2);
    y3 = finish(d0, d1, scale + stride3, starts, weight, y3);
    s += S_GROUP;
    scale += 4;
  }
  v128.store(out, y0);
  v128.store(out, y1, 32);
  v128.store(out, y2, 64);
  v128.store(out, y3, 96);
}

/** y + a group's sums with both scales. */
// @ts-ignore: decorator
@inline function finish(low: v128, high: v128, scale: usize, starts: usize, weight: v128, y: v128): v128 {
  const sum = f32x4.convert_i32x4_s(totalBytes(low, high, v128.load32_splat(scale + starts)));
  return madd(f32x4.mul(sum, v128.load32_splat(scale)), weight, y);
}
