// y = x wᵀ by panels of eight rows of w: the loops over panels and tokens, and where results go.

import { INT8, SUPER } from "./format.simd";
import { siluTimes } from "./lanes.simd";
import { vecNarrow } from "./narrow_int8.simd";
import { panelsOf, planeOf } from "./planes.simd";
import { tileFloat, tileFloatBy2, tileFloatBy3, tileNarrow, vecFloat } from "./product_float.simd";
import { tailBytes, xGroup } from "./product_int8.simd";
import { scratchOf } from "./scratch.simd";
import { vecSuper } from "./super_int8.simd";
import { MOST, panelInt8, SUMS } from "./tile_int8.simd";
import { panelSuper } from "./tile_super.simd";
import { isWide } from "./wide.simd";

/** Bytes of x that are kept in the second-level cache while panels of w pass by. */
const CACHED: usize = 512 << 10;

/** Bytes of a row of x: f32 padded to whole groups, or rounded to int8 (quantize.simd.ts). */
// @ts-ignore: decorator
@inline export function strideOf(int8: bool, groups: usize): usize {
  return groups * (INT8 && int8 ? xGroup() + tailBytes() : 128);
}

/**
 * Panels [from, to) of w [N, groups * 32] by T rows of x, which are rounded to int8 if `int8` (then
 * the format has INT8). `pairs` is constant: false writes y [T, N]; true takes rows 2f and 2f + 1
 * as gate and up and writes silu(gate) * up to y [T, N / 2].
 */
// @ts-ignore: decorator
@inline export function product(
  pairs: bool,
  from: u32,
  to: u32,
  thread: u32,
  int8: bool,
  w: usize,
  groups: usize,
  N: u32,
  x: usize,
  T: u32,
  y: usize,
): void {
  const out = scratchOf(thread);
  const panels = panelsOf(N);
  const stride = strideOf(int8, groups);
  let chunk: u32 = max(4, <u32>(CACHED / stride) & ~3);
  if (INT8 && int8) chunk = min(chunk, MOST);
  // Exact products of weights that are multiplied in int8 by default have no tile for two or three
  // tokens: those of one serve.
  const rests = !INT8 || int8;
  for (let first: u32 = 0; first < T; first += chunk) {
    const end = min(T, first + chunk);
    const tiled = first + ((end - first) & ~3);
    // Products of rounded tokens take one that is left over too.
    const least: u32 = INT8 && int8 && tiled > first ? 1 : 2;
    const rest = rests && end - tiled >= least ? end - tiled : 0;
    for (let panel = from; panel < to; panel++) {
      const p0 = planeOf(0, w, panels, panel, groups);
      const p1 = planeOf(1, w, panels, panel, groups);
      const p2 = planeOf(2, w, panels, panel, groups);
      const p3 = planeOf(3, w, panels, panel, groups);
      if (INT8 && int8) {
        const count = tiled + rest - first;
        if (count == 0) break;
        const xp = x + <usize>first * stride;
        const last = planeOf(0, w, panels, to, groups);
        if (SUPER) panelSuper(p0, p1, p2, p3, groups, xp, stride, count, out, last);
        else panelInt8(p0, p1, p2, p3, groups, xp, stride, count, out, last);
        for (let i: u32 = 0; i < count; i++) put(pairs, out + SUMS + 32 * i, panel, N, y, first + i);
        continue;
      }
      for (let t = first; t < tiled; t += 4) {
        if (isWide()) tileFloat(p0, p1, p2, p3, groups, x + <usize>t * stride, stride, out);
        else tileNarrow(p0, p1, p2, p3, groups, x + <usize>t * stride, stride, out);
        for (let i: u32 = 0; i < 4; i++) put(pairs, out + 32 * i, panel, N, y, t + i);
      }
      if (rest != 0) {
        tileRest(rest, p0, p1, p2, p3, groups, x + <usize>tiled * stride, stride, out);
        for (let i: u32 = 0; i < rest; i++) put(pairs, out + 32 * i, panel, N, y, tiled + i);
      }
    }
    // The tokens that fill no tile, and decoding: several panels at a time.
    for (let t = tiled + rest; t < end; t++) {
      const xp = x + <usize>t * stride;
      for (let panel = from; panel < to; ) {
        const count = vec(int8, to - panel, w, panels, panel, groups, xp, out);
        for (let i: u32 = 0; i < count; i++) put(pairs, out + 32 * i, panel + i, N, y, t);
        panel += count;
      }
    }
  }
}

/** Eight rows by two or three tokens. */
function tileRest(
  tokens: u32,
  p0: usize,
  p1: usize,
  p2: usize,
  p3: usize,
  groups: usize,
  x: usize,
  stride: usize,
  out: usize,
): void {
  if (INT8) return;
  if (tokens == 2) tileFloatBy2(p0, p1, p2, p3, groups, x, stride, out);
  else tileFloatBy3(p0, p1, p2, p3, groups, x, stride, out);
}

/** Up to `left` panels by one token. Returns how many: 1 or 2. */
function vec(int8: bool, left: u32, w: usize, panels: usize, panel: usize, groups: usize, x: usize, out: usize): u32 {
  const p0 = planeOf(0, w, panels, panel, groups);
  const p1 = planeOf(1, w, panels, panel, groups);
  const p2 = planeOf(2, w, panels, panel, groups);
  const p3 = planeOf(3, w, panels, panel, groups);
  if (INT8 && int8) {
    if (SUPER && isWide()) vecSuper(p0, p1, p2, p3, groups, x, out);
    else vecNarrow(p0, p1, p2, p3, groups, x, out, planeOf(0, w, panels, panel + left, groups));
    return 1;
  }
  // One panel is computed as two equal ones: it happens once in a range at most.
  const other = left >= 2 ? panel + 1 : panel;
  const q0 = planeOf(0, w, panels, other, groups);
  const q1 = planeOf(1, w, panels, other, groups);
  const q2 = planeOf(2, w, panels, other, groups);
  const q3 = planeOf(3, w, panels, other, groups);
  vecFloat(p0, p1, p2, p3, q0, q1, q2, q3, groups, x, out);
  return left >= 2 ? 2 : 1;
}

/**
 * The eight values at `from` of a panel and a token to their place in y; rows past N are padding.
 */
// @ts-ignore: decorator
@inline function put(pairs: bool, from: usize, panel: u32, N: u32, y: usize, t: u32): void {
  const low = v128.load(from);
  const high = v128.load(from, 16);
  const row = panel * 8;
  const width = pairs ? N / 2 : N;
  const column = pairs ? row / 2 : row;
  const to = y + (<usize>t * width + column) * 4;
  if (pairs) {
    const gate = v128.shuffle<i32>(low, high, 0, 2, 4, 6);
    const up = v128.shuffle<i32>(low, high, 1, 3, 5, 7);
    const h = siluTimes(gate, up);
    if (row + 8 <= N) v128.store(to, h);
    else {
      v128.store(from, h);
      memory.copy(to, from, (N - row) * 2);
    }
  } else if (row + 8 <= N) {
    v128.store(to, low);
    v128.store(to, high, 16);
  } else memory.copy(to, from, (N - row) * 4);
}
