// f16: weights rounded to the nearest finite f16; an element is two columns.

import type { Format } from "../../../src/tensor/format.ts";
import { HALF_TO_FLOAT, toFiniteHalf } from "../../../src/tensor/half.ts";

export const f16 = {
  name: "f16",
  group: 32,
  planes: [{ name: "weights", bytes: 64, element: 4 }],
  arithmetics: ["f32", "f16"],
  unpack([weights], cols, into) {
    const halves = halvesOf(weights!);
    for (let i = 0; i < cols; i++) into[i] = HALF_TO_FLOAT[halves[i]!]!;
  },
  pack(row, [weights]) {
    const out = halvesOf(weights!);
    for (let i = 0; i < row.length; i++) out[i] = toFiniteHalf(row[i]!);
    out.fill(0, row.length);
  },
} as const satisfies Format;

function halvesOf({ buffer, byteOffset, length }: Uint8Array): Uint16Array {
  return new Uint16Array(buffer, byteOffset, length / 2);
}
