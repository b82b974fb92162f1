// Matrices in blocks of eight rows, read back row by row.

import { describe, expect, it } from "vitest";
import { packedLayout, packRows, unpackRows } from "../../src/tensor/pack.ts";
import { storedExpert, storedMatrix } from "../../src/tensor/stored.ts";
import { type MatrixSource, PRECISIONS, type Precision, type StoredBlocks } from "../../src/tensor/types.ts";
import { uniform } from "../support/random.ts";
import { blocksOf, recordOf } from "../support/records.ts";

function stored(precision: Precision, bytes: Uint8Array): StoredBlocks {
  return {
    precision,
    bytes: bytes.length,
    read: async (offset, into) => {
      if (offset < 0 || offset + into.length > bytes.length)
        throw new Error(`read of ${offset} to ${into.length} more`);
      into.set(bytes.subarray(offset, offset + into.length));
    },
  };
}

/** Every range of rows, packed and as f32, is what packing the data gives. */
async function expectRows(source: MatrixSource, precision: Precision, data: Float32Array): Promise<void> {
  const { rows, cols } = source;
  for (const [first, count] of [
    [0, rows],
    [0, 1],
    [rows - 1, 1],
    [Math.floor(rows / 3), Math.ceil(rows / 2)],
  ] as const) {
    const layout = packedLayout(precision, count, cols);
    const want = new Uint8Array(layout.bytes);
    const scales = layout.bytes === layout.scaleOffset ? 0 : count * layout.groups;
    const planes = (block: Uint8Array) => ({
      quants: block.subarray(0, layout.scaleOffset),
      scales: new Uint16Array(block.buffer, layout.scaleOffset, scales),
    });
    packRows(precision, data.subarray(first * cols, (first + count) * cols), count, cols, planes(want));
    const got = new Uint8Array(layout.bytes);
    const own = planes(got);
    expect(await source.readPacked!(precision, first, count, own.quants, own.scales)).toBe(true);
    expect(Buffer.compare(got, want)).toBe(0);
    const floats = new Float32Array(count * cols);
    const unpacked = new Float32Array(count * cols);
    await source.readRows(first, count, floats);
    unpackRows(want, layout, 0, count, unpacked);
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

describe.each(PRECISIONS)("in %s", (precision) => {
  it.each(SIZES)("a matrix [%i, %i]", async (rows, cols) => {
    const data = uniform(rows * cols, rows);
    const source = storedMatrix("m", rows, cols, stored(precision, blocksOf(precision, data, rows, cols)));
    await expectRows(source, precision, data);
    expect(source.blocks?.precision).toBe(precision);
  });

  it.each(SIZES)("an expert of %i by %i", async (intermediate, hidden) => {
    const size = hidden * intermediate;
    const data = { w1: uniform(size, 1), w3: uniform(size, 2), w2: uniform(size, 3) };
    const shape = { count: 1, hidden, intermediate, precision };
    const expert = storedExpert("e", shape, stored(precision, recordOf(shape, data)));
    for (const w of ["w1", "w3", "w2"] as const) await expectRows(expert[w], precision, data[w]);
  });

  it("hands out no other precision", async () => {
    const source = storedMatrix("m", 8, 32, stored(precision, blocksOf(precision, uniform(256, 1), 8, 32)));
    for (const other of PRECISIONS.filter((p) => p !== precision))
      expect(await source.readPacked!(other, 0, 1, new Uint8Array(128), new Uint16Array(1))).toBe(false);
  });
});
