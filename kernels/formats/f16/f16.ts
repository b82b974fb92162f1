// f16: weights rounded to the nearest finite f16; an element is two columns.

import type { Format } from "../../../src/tensor/format.ts";
import { HALF_TO_FLOAT, toFiniteHalf } from "../../../src/tensor/half.ts";
import { halvesAt, words } from "../bits.ts";

export const f16 = {
  name: "f16",
  group: 32,
  planes: [{ name: "weights", bytes: 64, element: 4 }],
  arithmetics: ["f32", "f16"],
  unpack([weights], cols, into) {
    const halves = words(weights!);
    for (let i = 0; i < cols; i++) into[i] = HALF_TO_FLOAT[halves[i]!]!;
  },
  pack(row, [weights]) {
    const out = words(weights!);
    for (let i = 0; i < row.length; i++) out[i] = toFiniteHalf(row[i]!);
    out.fill(0, row.length);
  },
  ggml: {
    type: 1,
    bytes: 64,
    exponents: halvesAt(0),
    split(blocks, [weights]) {
      weights!.set(blocks);
      weights!.fill(0, blocks.length);
    },
  },
} as const satisfies Format;
