// Random 4-bit matrices and their weights, and quantized folders of one matrix, read in pieces.

import { expect } from "vitest";
import { type Format, rowPlanes, unpackRows } from "../../src/tensor/format.ts";
import { HALF_TO_FLOAT } from "../../src/tensor/half.ts";
import type { MatrixSource } from "../../src/tensor/types.ts";
import { openFolder } from "../../src/weights/folder.ts";
import { memoryFiles, type TensorSpec, tensorFile } from "../weights/memory_files.ts";
import type { Affine } from "./pack_words.ts";
import { generator } from "./random.ts";

export function affine(
  rows: number,
  cols: number,
  size: number,
  change: { anyOrder?: boolean; symmetric?: boolean } = {},
): Affine {
  const next = generator(rows * cols + size);
  const groups = Math.ceil(cols / size);
  const group = Int32Array.from({ length: cols }, (_, i) => Math.floor(i / size));
  if (change.anyOrder)
    for (let i = cols - 1; i > 0; i--) {
      const j = Math.floor(next() * (i + 1));
      [group[i], group[j]] = [group[j]!, group[i]!];
    }
  return {
    rows,
    cols,
    groups,
    q: Uint8Array.from({ length: rows * cols }, () => next() * 16),
    z: Uint8Array.from({ length: rows * groups }, () => (change.symmetric ? 8 : next() * 16)),
    s: Uint16Array.from({ length: rows * groups }, () => 0x1c00 + next() * 0x800),
    group,
  };
}

export function valuesOf({ rows, cols, groups, q, z, s, group }: Affine): Float32Array {
  return Float32Array.from({ length: rows * cols }, (_, i) => {
    const g = Math.floor(i / cols) * groups + group[i % cols]!;
    return HALF_TO_FLOAT[s[g]!]! * (q[i]! - z[g]!);
  });
}

/**
 * The matrix `x.weight` of a folder with these tensors of `x`. Reads of at least `slow` bytes take
 * longer than others.
 */
export async function matrixOf(
  tensors: Readonly<Record<string, TensorSpec>>,
  quantization_config: object,
  { slow = Number.POSITIVE_INFINITY } = {},
): Promise<MatrixSource> {
  const named = Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [`x.${name}`, tensor]));
  const files = memoryFiles({
    "config.json": JSON.stringify({ quantization_config }),
    "model.safetensors": tensorFile(named),
  });
  const { source } = await openFolder({
    ...files,
    async read(name, begin, into) {
      await files.read(name, begin, into);
      if (into.length >= slow) await new Promise((resolve) => setTimeout(resolve, 5));
    },
  });
  expect([...source.names()]).toEqual(["x.weight"]);
  expect(source.has("x.weight")).toBe(true);
  const matrix = source.matrix("x.weight");
  expect(source.shape("x.weight")).toEqual([matrix.rows, matrix.cols]);
  return matrix;
}

/** In pieces, the last row alone. */
export async function floatsOf(matrix: MatrixSource): Promise<Float32Array> {
  const { rows, cols } = matrix;
  const into = new Float32Array(rows * cols);
  for (let first = 0; first < rows; first += 5) {
    const count = Math.min(5, rows - first);
    await matrix.readRows(first, count, into.subarray(first * cols, (first + count) * cols));
  }
  return into;
}

export async function planesOf(matrix: MatrixSource, format: Format): Promise<Float32Array> {
  const { rows, cols } = matrix;
  const into = new Float32Array(rows * cols);
  for (let first = 0; first < rows; first += 8) {
    const count = Math.min(8, rows - first);
    const planes = rowPlanes(format, count, cols);
    for (const plane of planes) plane.fill(255); // what is not written would show
    expect(await matrix.readPlanes?.(format, first, count, planes)).toBe(true);
    // Padding is weights of zero.
    const padded = Math.ceil(cols / format.group) * format.group;
    const row = new Float32Array(count * padded);
    unpackRows(format, planes, count, padded, row);
    for (let r = 0; r < count; r++) {
      into.set(row.subarray(r * padded, r * padded + cols), (first + r) * cols);
      expect(row.subarray(r * padded + cols, (r + 1) * padded).every((value) => value === 0)).toBe(true);
    }
  }
  return into;
}
