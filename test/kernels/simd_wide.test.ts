// Products have loops for engines that compute 128 bits at a time and others for those that make
// 256 of them: both give the same bits, in every format.

import { describe, expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { type Format, panelLayout } from "../../src/tensor/format.ts";
import { generator } from "../support/random.ts";
import { type SimdBench, simdBenches } from "../support/simd.ts";

const [ROWS, COLS] = [40, 512];
/** One token, tiles of two, three and four, and enough for weights that are spread. */
const TOKENS = [1, 2, 7, 19];

/** Formats whose scales are integers, times a factor of 256 columns. */
const INTEGERS = /^(q[2-6]_k|iq[1-3].*|iq4_xs)$/;

/** Panels of random bytes. Halves of it stay finite. */
function panels(format: Format): Uint8Array {
  const next = generator(7);
  return Uint8Array.from({ length: panelLayout(format, ROWS, COLS).bytes }, () => Math.floor(next() * 256) & 0x3f);
}

function bits(bench: SimdBench, format: Format, int8: boolean, wide: 0 | 1): Uint32Array[] {
  const { kernels, put, room } = bench;
  bench.setWide(wide);
  const { matmul, quantize, quantizedBytes } = bench.of(format);
  const next = generator(1);
  const most = Math.max(...TOKENS);
  const groups = COLS / 32;
  const x = put(Float32Array.from({ length: most * COLS }, () => 2 * next() - 1));
  const rounded = int8 ? room(most * quantizedBytes!(groups)) : x;
  if (int8) quantize!(0, most, 0, x, COLS, groups, rounded);
  const w = put(panels(format));
  return TOKENS.map((tokens) => {
    const y = room(4 * tokens * ROWS);
    const thread = kernels.maxThreads!() - 1;
    matmul!(0, ROWS / 8, thread, Number(int8), w, groups, ROWS, rounded, tokens, y);
    return new Uint32Array(bench.bytes(y, 4 * tokens * ROWS).buffer);
  });
}

describe.each(simdBenches().map(({ name }) => name))("%s", (name) => {
  it.each(
    Object.values(FORMATS).flatMap((format) =>
      (["f32", "int8"] as const)
        .filter((arithmetic) => format.arithmetics.includes(arithmetic as never))
        .map((arithmetic) => [format.name, arithmetic, format] as const),
    ),
  )("%s in %s: loops of 128 bits give the bits of those of 256", (_, arithmetic, format) => {
    const made = ([0, 1] as const).map((wide) => {
      const bench = simdBenches().find((other) => other.name === name)!;
      return bits(bench, format, arithmetic === "int8", wide);
    });
    expect(made[0]!.some((y) => y.some((word) => word !== 0))).toBe(true);
    expect(made[0]).toEqual(made[1]);
    // Sums of integers: a token's bits do not depend on the tokens beside it.
    if (arithmetic !== "int8" || !INTEGERS.test(format.name)) return;
    for (const y of made[0]!) expect(y.subarray(0, ROWS)).toEqual(made[0]![0]);
  });
});
