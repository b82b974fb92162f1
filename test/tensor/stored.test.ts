// Matrices in panels of eight rows, read back row by row.

import { describe, expect, it } from "vitest";
import { AUTOMATIC, FORMATS } from "../../kernels/formats/index.ts";
import { type Format, rowPlanes } from "../../src/tensor/format.ts";
import { storedExpert, storedMatrix } from "../../src/tensor/stored.ts";
import type { MatrixSource, StoredBytes, StoredPanels } from "../../src/tensor/types.ts";
import { held, packPlanes } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";
import { panelsOf, recordOf } from "../support/records.ts";
import { some } from "../support/some.ts";

function stored(bytes: Uint8Array): StoredBytes {
  return {
    bytes: bytes.length,
    read: async (offset, into) => {
      if (offset < 0 || offset + into.length > bytes.length)
        throw new Error(`read of ${offset} to ${into.length} more`);
      into.set(bytes.subarray(offset, offset + into.length));
    },
  };
}

/** Every range of rows, packed and as f32, is what packing the data gives. */
async function expectRows(source: MatrixSource, format: Format, data: Float32Array): Promise<void> {
  const { rows, cols } = source;
  expect(source.format).toBe(format);
  for (const [first, count] of [
    [0, rows],
    [0, 1],
    [rows - 1, 1],
    [Math.floor(rows / 3), Math.ceil(rows / 2)],
  ] as const) {
    const part = data.subarray(first * cols, (first + count) * cols);
    const want = packPlanes(format, part, count, cols);
    const got = rowPlanes(format, count, cols);
    expect(await source.readPlanes!(format, first, count, got)).toBe(true);
    for (const [p, plane] of want.entries()) expect(Buffer.compare(got[p]!, plane)).toBe(0);
    const floats = new Float32Array(count * cols);
    await source.readRows(first, count, floats);
    const unpacked = held(format, part, count, cols);
    expect(Buffer.compare(new Uint8Array(floats.buffer), new Uint8Array(unpacked.buffer))).toBe(0);
  }
}

const SIZES = [
  [1, 1],
  [8, 32],
  [13, 70],
  [97, 60],
  [600, 2100], // f32: more than one piece
] as const;

describe.each(AUTOMATIC)("in %s", (name) => {
  const format = FORMATS[name];
  const panels = (data: Float32Array, rows: number, cols: number): StoredPanels => ({
    format,
    ...stored(panelsOf(format, data, rows, cols)),
  });

  it.each(SIZES)("a matrix [%i, %i]", async (rows, cols) => {
    const data = uniform(rows * cols, rows);
    const source = storedMatrix("m", rows, cols, panels(data, rows, cols));
    await expectRows(source, format, data);
    expect(source.panels?.format).toBe(format);
  });

  it.each(some(SIZES, 3))("an expert of %i by %i", async (intermediate, hidden) => {
    const size = hidden * intermediate;
    const data = { w1: uniform(size, 1), w3: uniform(size, 2), w2: uniform(size, 3) };
    for (const down of [format, FORMATS.f16]) {
      const shape = { count: 1, hidden, intermediate, up: format, down };
      const expert = storedExpert("e", shape, { up: format, down, ...stored(recordOf(shape, data)) });
      for (const w of ["w1", "w3", "w2"] as const) await expectRows(expert[w], w === "w2" ? down : format, data[w]);
    }
  });

  it("hands out no other format", async () => {
    const source = storedMatrix("m", 8, 32, panels(uniform(256, 1), 8, 32));
    for (const other of Object.values(FORMATS).filter((known) => known.name !== name))
      expect(await source.readPlanes!(other, 0, 1, rowPlanes(other, 1, 32))).toBe(false);
  });
});
