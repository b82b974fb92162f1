// q8, ggml's Q8_0: levels u in 0..255 and an f16 scale s a group of 32: w = s (u - 128). 8.5 bits a
// weight. What is packed here has no level 0.

import { type Format, GROUP } from "../../../src/tensor/format.ts";
import { HALF_TO_FLOAT, toFiniteHalf } from "../../../src/tensor/half.ts";
import { halvesAt, splitBytes, words } from "../bits.ts";

export const q8 = {
  name: "q8",
  group: GROUP,
  planes: [
    { name: "levels", bytes: 32, element: 4 },
    { name: "scales", bytes: 2, element: 2 },
  ],
  arithmetics: ["f32", "f16", "int8"],
  unpack([levels, scales], cols, into) {
    const halves = words(scales!);
    for (let i = 0; i < cols; i++) into[i] = HALF_TO_FLOAT[halves[i >>> 5]!]! * (levels![i]! - 128);
  },
  pack(row, [levels, scales]) {
    const halves = words(scales!);
    for (let g = 0; g < halves.length; g++) {
      const group = row.subarray(g * GROUP, (g + 1) * GROUP);
      const own = levels!.subarray(g * GROUP, (g + 1) * GROUP);
      own.fill(128, group.length);
      halves[g] = packGroup(group, own);
    }
  },
  ggml: {
    type: 8,
    bytes: 34,
    exponents: halvesAt(0),
    // d: f16; 32 int8.
    split(blocks, [levels, scales]) {
      for (let g = 0, at = 0; at < blocks.length; g++, at += 34) {
        splitBytes(blocks, at, 2, scales!, 2 * g);
        for (let i = 0; i < GROUP; i++) levels![GROUP * g + i] = blocks[at + 2 + i]! ^ 128;
      }
    },
  },
} as const satisfies Format;

/** The scale is max|x| / 127, levels round to the nearest. Returns the scale's f16 bits. */
function packGroup(x: Float32Array, levels: Uint8Array): number {
  let max = 0;
  for (let i = 0; i < x.length; i++) max = Math.max(max, Math.abs(x[i]!));
  const scale = toFiniteHalf(max / 127); // infinity would make NaN of zero weights
  const rounded = HALF_TO_FLOAT[scale]!;
  const inverse = rounded > 0 ? 1 / rounded : 0;
  // NaN becomes 0
  for (let i = 0; i < x.length; i++) levels[i] = (Math.max(-127, Math.min(127, Math.round(x[i]! * inverse))) | 0) + 128;
  return scale;
}
