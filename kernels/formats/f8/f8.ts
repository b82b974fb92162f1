// f8: E4M3 floats and an f32 scale for every 128 columns: w = s v. 8.25 bits a weight. Columns lie
// in order.
//
// E4M3 is a sign, four bits of exponent (bias 7) and three of fraction; it has no infinities, and
// 0x7f and 0xff are NaN.

import type { Format } from "../../../src/tensor/format.ts";

export const f8 = {
  name: "f8",
  group: 256,
  planes: [
    { name: "weights", bytes: 256, element: 4 },
    { name: "scales", bytes: 8, element: 4 },
  ],
  arithmetics: ["f32"],
  unpack([weights, scales], cols, into) {
    const factors = new Float32Array(scales!.buffer, scales!.byteOffset, scales!.length / 4);
    for (let i = 0; i < cols; i++) into[i] = E4M3[weights![i]!]! * factors[i >>> 7]!;
  },
} as const satisfies Format;

/** The number of each byte. */
export const E4M3: Float32Array = Float32Array.from({ length: 256 }, (_, byte) => {
  const [sign, exponent, fraction] = [byte & 128 ? -1 : 1, (byte >>> 3) & 15, byte & 7];
  if ((byte & 127) === 127) return Number.NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -9 : (1 + fraction / 8) * 2 ** (exponent - 7));
});
