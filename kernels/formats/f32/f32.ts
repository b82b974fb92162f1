// f32: weights as they are.

import type { Format } from "../../../src/tensor/format.ts";

export const f32 = {
  name: "f32",
  group: 32,
  planes: [{ name: "weights", bytes: 128, element: 4 }],
  arithmetics: ["f32"],
  unpack([weights], cols, into) {
    into.set(floats(weights!).subarray(0, cols));
  },
  pack(row, [weights]) {
    const out = floats(weights!);
    out.set(row);
    out.fill(0, row.length);
  },
  ggml: {
    type: 0,
    bytes: 128,
    exponents: [[3, 0x7f]],
    split(blocks, [weights]) {
      weights!.set(blocks);
      weights!.fill(0, blocks.length);
    },
  },
} as const satisfies Format;

function floats({ buffer, byteOffset, length }: Uint8Array): Float32Array {
  return new Float32Array(buffer, byteOffset, length / 4);
}
