// Products with int8 activations have loops for engines that compute 128 bits at a time and others
// for those that make 256 of them: both give the same bits, in every format that has them.

import { describe, expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { type Format, panelLayout } from "../../src/tensor/format.ts";
import { generator } from "../support/random.ts";
import { type SimdBench, simdBenches } from "../support/simd.ts";

const [ROWS, COLS] = [40, 512];
/** One token, tiles of two, three and four, and enough for weights that are spread. */
const TOKENS = [1, 2, 7, 19];

/** Panels of random bytes. Halves of it stay finite. */
function panels(format: Format): Uint8Array {
  const next = generator(7);
  return Uint8Array.from({ length: panelLayout(format, ROWS, COLS).bytes }, () => Math.floor(next() * 256) & 0x3f);
}

function bits(bench: SimdBench, format: Format, wide: 0 | 1): Uint32Array[] {
  const { kernels, put, room } = bench;
  bench.setWide(wide);
  const { matmul, quantize, quantizedBytes } = bench.of(format);
  const next = generator(1);
  const most = Math.max(...TOKENS);
  const groups = COLS / 32;
  const x = put(Float32Array.from({ length: most * COLS }, () => 2 * next() - 1));
  const rounded = room(most * quantizedBytes!(groups));
  quantize!(0, most, 0, x, COLS, groups, rounded);
  const w = put(panels(format));
  return TOKENS.map((tokens) => {
    const y = room(4 * tokens * ROWS);
    matmul!(0, ROWS / 8, kernels.maxThreads!() - 1, 1, w, groups, ROWS, rounded, tokens, y);
    return new Uint32Array(bench.bytes(y, 4 * tokens * ROWS).buffer);
  });
}

describe.each(simdBenches().map(({ name }) => name))("%s", (name) => {
  it.each(
    Object.values(FORMATS)
      .filter(({ arithmetics }) => (arithmetics as readonly string[]).includes("int8"))
      .map((format) => [format.name, format] as const),
  )("%s: loops of 128 bits give the bits of those of 256", (_, format) => {
    const made = ([0, 1] as const).map((wide) => {
      const bench = simdBenches().find((other) => other.name === name)!;
      return bits(bench, format, wide);
    });
    expect(made[0]!.some((y) => y.some((word) => word !== 0))).toBe(true);
    expect(made[0]).toEqual(made[1]);
  });
});
