// y = x wᵀ by blocks of eight rows of w, for every precision: the loops over blocks and tokens, and where results go.

import { X_GROUP } from "./dot.simd";
import { siluTimes } from "./lanes.simd";
import { PAIRS_GROUP } from "./pairs.simd";
import { tileF16By2, tileF16By3, tileF32By2, tileF32By3, tileFloat, vecFloat } from "./product_float.simd";
import { tileQ4, tileQ4By2, tileQ4By3, tileQ8, tileQ8By2, tileQ8By3, vec4Q4, vec4Q8, vecQ4, vecQ8 } from "./product_int8.simd";
import { scratchOf } from "./scratch.simd";

// A form is the weights' precision (0 f32, 1 f16, 2 q8, 3 q4), plus 4 where x is quantized (quantize.simd.ts).
const INT8: u32 = 4;
const INT8_Q8: u32 = INT8 + 2;

/** Bytes of x that are kept in the second-level cache while blocks of w pass by. */
const PANEL: usize = 512 << 10;

/** Bytes of a row of x: f32 padded to whole groups, or quantized. */
// @ts-ignore: decorator
@inline export function strideOf(form: u32, groups: usize): usize {
  if (form < INT8) return groups * 128;
  return groups * (8 + (form == INT8_Q8 ? PAIRS_GROUP : X_GROUP));
}

/**
 * Blocks [from, to) of w [N, D], whose planes of quants and scales start at w and s, by T rows of x. `pairs` is constant:
 * false writes y [T, N]; true takes rows 2f and 2f + 1 as gate and up and writes silu(gate) * up to y [T, N / 2].
 */
// @ts-ignore: decorator
@inline export function product(
  pairs: bool,
  from: u32,
  to: u32,
  thread: u32,
  form: u32,
  w: usize,
  s: usize,
  groups: usize,
  N: u32,
  x: usize,
  T: u32,
  y: usize,
): void {
  const out = scratchOf(thread);
  const stride = strideOf(form, groups);
  const wBlock = (groups * 1024) >> <usize>(form & 3);
  const sBlock = groups * 16;
  const panel: u32 = max(4, <u32>(PANEL / stride) & ~3);
  for (let first: u32 = 0; first < T; first += panel) {
    const end = min(T, first + panel);
    const tiled = first + ((end - first) & ~3);
    const rest = tilesRest(form) && end - tiled > 1 ? end - tiled : 0;
    for (let block = from; block < to; block++) {
      const wp = w + <usize>block * wBlock;
      const sp = s + <usize>block * sBlock;
      for (let t = first; t < tiled; t += 4) {
        tile(form, wp, sp, groups, x + <usize>t * stride, stride, out);
        for (let i: u32 = 0; i < 4; i++) put(pairs, out + 32 * i, block, N, y, t + i);
      }
      if (rest != 0) {
        tileRest(form, rest, wp, sp, groups, x + <usize>tiled * stride, stride, out);
        for (let i: u32 = 0; i < rest; i++) put(pairs, out + 32 * i, block, N, y, tiled + i);
      }
    }
    // The tokens that fill no tile, and decoding: several blocks at a time.
    for (let t = tiled + rest; t < end; t++) {
      const xp = x + <usize>t * stride;
      for (let block = from; block < to; ) {
        const count = vec(form, to - block, w + <usize>block * wBlock, s + <usize>block * sBlock, groups, xp, out);
        for (let i: u32 = 0; i < count; i++) put(pairs, out + 32 * i, block + i, N, y, t);
        block += count;
      }
    }
  }
}

function tile(form: u32, w: usize, s: usize, groups: usize, x: usize, stride: usize, out: usize): void {
  if (form < INT8) tileFloat(form, w, s, groups, x, stride, out);
  else if (form == INT8_Q8) tileQ8(w, s, groups, x, stride, out);
  else tileQ4(w, s, groups, x, stride, out);
}

/** Whether two or three tokens have a tile of their own. Exact products of q8 and q4 have none: those of one token serve. */
// @ts-ignore: decorator
@inline function tilesRest(form: u32): bool {
  return form != 2 && form != 3;
}

/** Eight rows by two or three tokens. */
function tileRest(
  form: u32,
  tokens: u32,
  w: usize,
  s: usize,
  groups: usize,
  x: usize,
  stride: usize,
  out: usize,
): void {
  if (tokens == 2) {
    if (form == 0) tileF32By2(w, s, groups, x, stride, out);
    else if (form == 1) tileF16By2(w, s, groups, x, stride, out);
    else if (form == INT8_Q8) tileQ8By2(w, s, groups, x, stride, out);
    else tileQ4By2(w, s, groups, x, stride, out);
  } else if (form == 0) tileF32By3(w, s, groups, x, stride, out);
  else if (form == 1) tileF16By3(w, s, groups, x, stride, out);
  else if (form == INT8_Q8) tileQ8By3(w, s, groups, x, stride, out);
  else tileQ4By3(w, s, groups, x, stride, out);
}

/** Up to `left` blocks by one token. Returns how many: 1, 2 or 4. */
function vec(form: u32, left: u32, w: usize, s: usize, groups: usize, x: usize, out: usize): u32 {
  if (form < INT8) {
    const blocks: u32 = left >= 2 ? 2 : 1;
    vecFloat(form, w, s, groups, x, blocks, out);
    return blocks;
  }
  if (left >= 4) {
    if (form == INT8_Q8) vec4Q8(w, s, groups, x, out);
    else vec4Q4(w, s, groups, x, out);
    return 4;
  }
  if (form == INT8_Q8) vecQ8(w, s, groups, x, out);
  else vecQ4(w, s, groups, x, out);
  return 1;
}

/** The eight values at `from` of a block and a token to their place in y; rows past N are padding. */
// @ts-ignore: decorator
@inline function put(pairs: bool, from: usize, block: u32, N: u32, y: usize, t: u32): void {
  const low = v128.load(from);
  const high = v128.load(from, 16);
  const row = block * 8;
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
