// Rows of interleaved RoPE in the order of half-split RoPE.

import { describe, expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { halfSplitRows } from "../../src/model/row_order.ts";
import { packRows, rowPlanes, rowsOfPlanes } from "../../src/tensor/format.ts";
import type { MatrixSource } from "../../src/tensor/types.ts";

const [HEADS, HEAD_DIM, COLS] = [3, 8, 64];
const ROWS = HEADS * HEAD_DIM;
const weight = (row: number, col: number) => row + col / 256;

/** Row r holds r + column / 256; also as q8, and counting what is read. */
function counted() {
  const reads: [first: number, count: number][] = [];
  const x = Float32Array.from({ length: ROWS * COLS }, (_, i) => weight(Math.floor(i / COLS), i % COLS));
  const packed = rowPlanes(FORMATS.q8, ROWS, COLS);
  packRows(FORMATS.q8, x, ROWS, COLS, packed);
  const source: MatrixSource = {
    name: "q",
    rows: ROWS,
    cols: COLS,
    format: FORMATS.q8,
    async readRows(first, count, into) {
      reads.push([first, count]);
      into.set(x.subarray(first * COLS, (first + count) * COLS));
    },
    async readPlanes(format, first, count, planes) {
      if (format !== FORMATS.q8) return false;
      for (const [i, own] of rowsOfPlanes(packed, ROWS, first, count).entries()) planes[i]!.set(own);
      return true;
    },
  };
  return { source, reads, packed };
}

/** transformers' permutation, view(heads, pairs, 2).transpose(1, 2), of the rows that rotate. */
function expectedRow(row: number, start: number, n: number): number {
  const [head, at] = [Math.floor(row / HEAD_DIM), (row % HEAD_DIM) - start];
  if (at < 0 || at >= n) return row;
  return head * HEAD_DIM + start + (at % (n / 2)) * 2 + Math.floor(at / (n / 2));
}

describe("halfSplitRows()", () => {
  it.each([
    [0, 8],
    [4, 4],
    [0, 4],
  ])("moves the rows of each head from %i on, %i of them", async (start, n) => {
    const { source, reads } = counted();
    const moved = halfSplitRows(source, HEAD_DIM, start, n);
    const into = new Float32Array(13 * COLS);
    await moved.readRows(6, 13, into);
    const rows = Array.from({ length: 13 }, (_, i) => into[i * COLS]);
    expect(rows).toEqual(rows.map((_, i) => expectedRow(6 + i, start, n)));
    expect(into[5 * COLS + 7]).toBe(weight(expectedRow(11, start, n), 7));
    // Whole heads at a time.
    expect(reads).toEqual([
      [0, 8],
      [8, 8],
      [16, 8],
    ]);
  });

  it("moves the elements of a bias alike", async () => {
    const { source } = counted();
    const bias = {
      name: "bias",
      rows: 1,
      cols: ROWS,
      readRows: async (_f: number, _c: number, into: Float32Array) => into.set(into.map((_, i) => i)),
    };
    const into = new Float32Array(ROWS);
    await halfSplitRows({ ...source, bias }, HEAD_DIM, 2, 4).bias!.readRows(0, 1, into);
    expect([...into]).toEqual(Array.from(into, (_, i) => expectedRow(i, 2, 4)));
  });

  it("moves planes alike, and says no to formats that the source does not have", async () => {
    const { source, packed } = counted();
    const moved = halfSplitRows(source, HEAD_DIM);
    const planes = rowPlanes(FORMATS.q8, 10, COLS);
    expect(await moved.readPlanes!(FORMATS.q8, 7, 10, planes)).toBe(true);
    for (let i = 0; i < 10; i++)
      expect(rowsOfPlanes(planes, 10, i, 1)).toEqual(rowsOfPlanes(packed, ROWS, expectedRow(7 + i, 0, 8), 1));
    expect(await moved.readPlanes!(FORMATS.q4, 0, 8, rowPlanes(FORMATS.q4, 8, COLS))).toBe(false);
  });
});
