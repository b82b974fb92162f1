// mxfp4, ggml's MXFP4: codes c of four bits, a sign and a magnitude of 0, 1, 2, 3, 4, 6, 8 or 12
// (e2m1, doubled), and an exponent e a group of 32: w = 2^(e - 128) value[c]. 4.25 bits a weight.
//
// The order of codes: ../bits.ts. Two groups' exponents are an element, so that a group of the
// format is 64 columns.

import type { Format } from "../../../src/tensor/format.ts";
import { nibble, packNibbles, splitNibbles } from "../bits.ts";
import { eachGroup, extremeOf, SMALLEST } from "../search/groups.ts";
import { codeOf, type Grid, squaredError, unevenGrid } from "../search/signed.ts";

const VALUES = Int8Array.of(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);

const GRID: Grid = unevenGrid(VALUES);
const found = new Uint8Array(32);

export const mxfp4 = {
  name: "mxfp4",
  group: 64,
  planes: [
    { name: "codes", bytes: 32, element: 4 },
    { name: "exponents", bytes: 2, element: 2 },
  ],
  arithmetics: ["f32", "f16", "int8"],
  unpack([codes, exponents], cols, into) {
    for (let i = 0; i < cols; i++) into[i] = 2 ** (exponents![i >>> 5]! - 128) * VALUES[nibble(codes!, i)]!;
  },
  pack(row, [codes, exponents], importance) {
    eachGroup(64, row, importance, (x, w, g) => {
      for (let half = 0; half < 2; half++) {
        const e = exponentOf(x, w, 32 * half);
        exponents![2 * g + half] = e;
        const inverse = e === 0 ? 0 : 2 ** (128 - e);
        for (let i = 0; i < 32; i++) found[i] = codeOf(GRID, Math.fround(x[32 * half + i]! * inverse));
        packNibbles(found, codes!, 32 * g + 16 * half);
      }
    });
  },
  ggml: {
    type: 39,
    bytes: 34,
    exponents: [[0, 0xfc]],
    // Two blocks, each an exponent, then 16 bytes of codes, the low nibbles first.
    split(blocks, [codes, exponents]) {
      const count = blocks.length / 17;
      for (let g = 0; g < count; g++) {
        exponents![g] = blocks[17 * g]!;
        splitNibbles(blocks, 17 * g + 1, 16, codes!, 16 * g, 16 * g + 8);
      }
      codes!.fill(0, 16 * count);
      exponents!.fill(0, count);
    },
  },
} as const satisfies Format;

/**
 * The exponent of least error of the 32 weights from x[at] on: of the least that clips none and
 * the three below it. 0 stands for zeros.
 */
function exponentOf(x: Float32Array, w: Float32Array, at: number): number {
  const extreme = Math.abs(extremeOf(x, at, 32));
  if (extreme < SMALLEST) return 0;
  let least = Number.POSITIVE_INFINITY;
  let best = 0;
  const top = topExponent(extreme);
  for (let e = top; e > top - 4; e--) {
    const error = squaredError(x, w, at, 32, GRID, 2 ** (e - 128));
    if (error < least) {
      least = error;
      best = e;
    }
  }
  return best;
}

/** The least exponent whose largest value is at least an f32. */
function topExponent(value: number): number {
  const bits = new Uint32Array(Float32Array.of(Math.fround(value / 12)).buffer)[0]!;
  return (bits >>> 23) + 1 + (bits & 0x7fffff ? 1 : 0);
}
