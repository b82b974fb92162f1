// q4: levels u in 0..15 and an f16 scale s a group of 32: w = s (u - 8). 4.5 bits a weight.
//
// Order of levels in a group (16 bytes, four little-endian u32 elements): element j holds weights
// 8j..8j+7; the low nibble of its byte b is weight 8j+b, the high nibble is weight 8j+4+b. So
// `element & 0x0f0f0f0f` is four consecutive levels as bytes and `(element >> 4) & 0x0f0f0f0f` the
// next four, for float and for int8 arithmetic alike.

import { type Format, GROUP } from "../../../src/tensor/format.ts";
import { HALF_TO_FLOAT } from "../../../src/tensor/half.ts";
import { quantizeQ4Group } from "./quantize.ts";

export const q4 = {
  name: "q4",
  group: GROUP,
  planes: [
    { name: "levels", bytes: 16, element: 4 },
    { name: "scales", bytes: 2, element: 2 },
  ],
  arithmetics: ["f32", "f16", "int8"],
  unpack([levels, scales], cols, into) {
    const halves = new Uint16Array(scales!.buffer, scales!.byteOffset, scales!.length / 2);
    for (let i = 0; i < cols; i++) into[i] = HALF_TO_FLOAT[halves[i >>> 5]!]! * (nibble(levels!, i) - 8);
  },
  pack(row, [levels, scales]) {
    const halves = new Uint16Array(scales!.buffer, scales!.byteOffset, scales!.length / 2);
    for (let g = 0; g < halves.length; g++) {
      let [x, at] = [row, g * GROUP];
      if (row.length < at + GROUP) {
        x = new Float32Array(GROUP);
        x.set(row.subarray(at));
        at = 0;
      }
      halves[g] = quantizeQ4Group(x, at, found);
      packNibbles(found, levels!, g * 16);
    }
  },
} as const satisfies Format;

const found = new Uint8Array(GROUP);

/** The level of weight i in a row of nibbles in the order above. */
export function nibble(levels: Uint8Array, i: number): number {
  const byte = levels[(i >>> 3) * 4 + (i & 3)]!;
  return i & 4 ? byte >>> 4 : byte & 15;
}

/** Writes 32 levels 0..15 as 16 bytes at `at`. */
export function packNibbles(from: Uint8Array, levels: Uint8Array, at: number): void {
  for (let j = 0; j < 4; j++)
    for (let b = 0; b < 4; b++) levels[at + 4 * j + b] = from[8 * j + b]! | (from[8 * j + 4 + b]! << 4);
}
