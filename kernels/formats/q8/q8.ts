// q8: levels u in 1..255 and an f16 scale s a group of 32: w = s (u - 128). 8.5 bits a weight.

import { type Format, GROUP } from "../../../src/tensor/format.ts";
import { HALF_TO_FLOAT, toFiniteHalf } from "../../../src/tensor/half.ts";

export const q8 = {
  name: "q8",
  group: GROUP,
  planes: [
    { name: "levels", bytes: 32, element: 4 },
    { name: "scales", bytes: 2, element: 2 },
  ],
  arithmetics: ["f32", "f16", "int8"],
  unpack([levels, scales], cols, into) {
    const halves = new Uint16Array(scales!.buffer, scales!.byteOffset, scales!.length / 2);
    for (let i = 0; i < cols; i++) into[i] = HALF_TO_FLOAT[halves[i >>> 5]!]! * (levels![i]! - 128);
  },
  pack(row, [levels, scales]) {
    const halves = new Uint16Array(scales!.buffer, scales!.byteOffset, scales!.length / 2);
    for (let g = 0; g < halves.length; g++) {
      const group = row.subarray(g * GROUP, (g + 1) * GROUP);
      const own = levels!.subarray(g * GROUP, (g + 1) * GROUP);
      own.fill(128, group.length);
      halves[g] = packGroup(group, own);
    }
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
