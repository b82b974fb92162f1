// ggml's Q4_0 in the peers' files: its rounding, its order of nibbles, and our q4
// converted without loss.

import { describe, expect, it } from "vitest";
import { interleaveHead } from "../../bench/peers/decoder_gguf.ts";
import { Q4_0_BYTES, quantizeQ4_0, repackQ4_0 } from "../../bench/peers/q4_0.ts";
import { FORMATS } from "../../kernels/formats/index.ts";
import { randomFrom } from "../../src/engine/random.ts";
import { packRows, rowPlanes, unpackRows } from "../../src/tensor/format.ts";
import { HALF_TO_FLOAT } from "../../src/tensor/half.ts";

/** dequantize_row_q4_0 of ggml-quants.c, line by line. */
function dequantize(bytes: Uint8Array): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const y = new Float32Array((bytes.length / Q4_0_BYTES) * 32);
  for (let i = 0; i < bytes.length / Q4_0_BYTES; i++) {
    const d = HALF_TO_FLOAT[view.getUint16(i * Q4_0_BYTES, true)]!;
    for (let j = 0; j < 16; j++) {
      const quants = view.getUint8(i * Q4_0_BYTES + 2 + j);
      y[i * 32 + j] = ((quants & 0x0f) - 8) * d;
      y[i * 32 + j + 16] = ((quants >> 4) - 8) * d;
    }
  }
  return y;
}

const random = (size: number): Float32Array => {
  const next = randomFrom(7);
  return Float32Array.from({ length: size }, () => next() - 0.5);
};

describe("quantizeQ4_0", () => {
  it("keeps weights that the format can hold", () => {
    const x = Float32Array.from({ length: 64 }, (_, i) => ((i % 16) - 8) * (i < 32 ? 0.5 : -2));
    expect(dequantize(quantizeQ4_0(x))).toEqual(x);
  });

  it("scales by the weight of the largest magnitude, which becomes -8 whatever its sign", () => {
    const x = new Float32Array(32).fill(0.25);
    x[5] = 4;
    const bytes = quantizeQ4_0(x);
    expect(HALF_TO_FLOAT[new DataView(bytes.buffer).getUint16(0, true)]).toBe(-0.5);
    expect(bytes[2 + 5]! & 15).toBe(0);
    // Halfway between quants 7 and 8: 0.25 / -0.5 + 8.5 is cut off to 8, in the first half of the
    // group and the second.
    expect(bytes[2]).toBe(0x88);
  });

  it("clamps the largest weight of the other sign to 7 scales", () => {
    const x = new Float32Array(32);
    x[0] = -8;
    x[31] = 8;
    const y = dequantize(quantizeQ4_0(x));
    expect([y[0], y[31]]).toEqual([-8, 7]);
  });

  it("gives zeros for zeros", () => {
    // The scale is -0, as in ggml.
    const found = dequantize(quantizeQ4_0(new Float32Array(32)));
    expect(found.map(Math.abs)).toEqual(new Float32Array(32));
  });
});

describe("repackQ4_0", () => {
  it("has exactly the weights of our q4", () => {
    const [rows, cols] = [3, 96];
    const packed = rowPlanes(FORMATS.q4, rows, cols);
    packRows(FORMATS.q4, random(rows * cols), rows, cols, packed);
    const ours = new Float32Array(rows * cols);
    unpackRows(FORMATS.q4, packed, rows, cols, ours);
    expect(dequantize(repackQ4_0(packed))).toEqual(ours);
  });
});

describe("interleaveHead", () => {
  it("puts row i and row i + half beside each other", () => {
    const rows = Uint8Array.of(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    expect([...interleaveHead(rows, 8)]).toEqual([0, 0, 4, 4, 1, 1, 5, 5, 2, 2, 6, 6, 3, 3, 7, 7]);
  });
});
