// bf16: the upper halves of f32s; an element is two columns.

import type { Format } from "../../../src/tensor/format.ts";
import { bfloatToFloats, toFiniteBfloat } from "../../../src/tensor/half.ts";
import { words } from "../bits.ts";

export const bf16 = {
  name: "bf16",
  group: 32,
  planes: [{ name: "weights", bytes: 64, element: 4 }],
  arithmetics: ["f32"],
  unpack([weights], cols, into) {
    bfloatToFloats(words(weights!).subarray(0, cols), into);
  },
  pack(row, [weights]) {
    const out = words(weights!);
    for (let i = 0; i < row.length; i++) out[i] = toFiniteBfloat(row[i]!);
    out.fill(0, row.length);
  },
  ggml: {
    type: 30,
    bytes: 64,
    exponents: [[1, 0x7f]],
    split(blocks, [weights]) {
      weights!.set(blocks);
      weights!.fill(0, blocks.length);
    },
  },
} as const satisfies Format;
