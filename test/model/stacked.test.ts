// Experts of tensors in other layouts: which rows they are, and that a tensor is read once.

import { expect, it } from "vitest";
import { inTurn, Transposed } from "../../src/model/stacked.ts";
import type { MatrixSource } from "../../src/tensor/types.ts";
import { memorySource } from "../support/memory_source.ts";

const values = async (source: MatrixSource, first = 0, count = source.rows) => {
  const into = new Float32Array(count * source.cols);
  await source.readRows(first, count, into);
  return [...into];
};

it("matrices [cols, rows] are turned once for all their rows", async () => {
  const [rows, cols] = [4, 3];
  const data = Float32Array.from({ length: 2 * rows * cols }, (_, i) => i);
  let reads = 0;
  const transposed = new Transposed({
    rows(name, first, count) {
      const source = memorySource(name, data.subarray(first * rows, (first + count) * rows), count, rows);
      return {
        ...source,
        readRows: (...range) => {
          reads++;
          return source.readRows(...range);
        },
      };
    },
  });
  const whole = transposed.matrix("t", 1, [rows, cols]);
  const turned = [12, 16, 20, 13, 17, 21, 14, 18, 22, 15, 19, 23]; // column by column of the second
  expect([await values(whole, 0, 1), await values(whole, 1, 3)]).toEqual([turned.slice(0, 3), turned.slice(3)]);
  expect(reads).toBe(1);
  const [even, odd] = [0, 1].map((side) => transposed.matrix("t", 1, [rows, cols], [side, 2])) as [
    MatrixSource,
    MatrixSource,
  ];
  expect(await values(even, 0, 1)).toEqual([12, 16, 20]);
  expect(await values(odd, 0, 1)).toEqual([13, 17, 21]);
  expect(await values(even, 1, 1)).toEqual([14, 18, 22]);
  expect(reads).toBe(2);
  expect(await values(odd, 1, 1)).toEqual([15, 19, 23]);
  expect(await values(odd, 1, 1)).toEqual([15, 19, 23]); // let go after the last row: read again
  expect(reads).toBe(3);
  expect(await values(transposed.matrix("t", 0, [rows, cols]), 0, 2)).toEqual([0, 4, 8, 1, 5, 9]);
  await expect(values(odd, 1, 2)).rejects.toThrow("rows 1 to 3 of 2 of t 1");
});

it("vectors of two tensors become one, elements in turn", async () => {
  const [even, odd] = [
    [1, 2, 3, 4],
    [5, 6, 7, 8],
  ].map((all, i) => memorySource(`v${i}`, Float32Array.from(all), 2, 2));
  const both = inTurn(even!, odd!);
  expect([both.rows, both.cols]).toEqual([2, 4]);
  expect(await values(both)).toEqual([1, 5, 2, 6, 3, 7, 4, 8]);
  expect(await values(both, 1, 1)).toEqual([3, 7, 4, 8]);
});
