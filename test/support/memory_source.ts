// Weights sources held in memory, and what a backend must hold after it packed them.

import { type Format, packRows, rowPlanes, unpackRows } from "../../src/tensor/format.ts";
import type { ExpertSource, MatrixSource } from "../../src/tensor/types.ts";

/** `data` [rows, cols] as a source of rows. */
export function memorySource(name: string, data: Float32Array, rows: number, cols: number): MatrixSource {
  if (data.length !== rows * cols) throw new Error(`${name}: ${data.length} values for [${rows}, ${cols}]`);
  return {
    name,
    rows,
    cols,
    readRows: async (first, count, into) => {
      checkRange(name, rows, first, count);
      into.set(data.subarray(first * cols, (first + count) * cols));
    },
  };
}

/**
 * The same, but returns rows already packed in `format`, and false for another format.
 */
export function packedSource(
  name: string,
  data: Float32Array,
  rows: number,
  cols: number,
  format: Format,
): MatrixSource {
  return {
    ...memorySource(name, data, rows, cols),
    readPlanes: async (wanted, first, count, planes) => {
      checkRange(name, rows, first, count);
      if (wanted !== format) return false;
      packRows(format, data.subarray(first * cols, (first + count) * cols), count, cols, planes);
      return true;
    },
  };
}

function checkRange(name: string, rows: number, first: number, count: number): void {
  if (first < 0 || count < 1 || first + count > rows)
    throw new Error(`${name}: read of rows ${first}..${first + count - 1} of ${rows}`);
}

/** `data` [rows, cols] as row-major planes. */
export function packPlanes(format: Format, data: Float32Array, rows: number, cols: number): Uint8Array[] {
  const planes = rowPlanes(format, rows, cols);
  packRows(format, data, rows, cols, planes);
  return planes;
}

/** `data` [rows, cols] after packing and unpacking: the weights that a backend computes with. */
export function held(format: Format, data: Float32Array, rows: number, cols: number): Float32Array {
  const back = new Float32Array(rows * cols);
  unpackRows(format, packPlanes(format, data, rows, cols), rows, cols, back);
  return back;
}

/** The weights of one expert: w1 and w3 [F, D], w2 [D, F]. */
export interface ExpertData {
  readonly w1: Float32Array;
  readonly w3: Float32Array;
  readonly w2: Float32Array;
}

export function expertSource(name: string, e: ExpertData, D: number, F: number): ExpertSource {
  return {
    w1: memorySource(`${name}.w1`, e.w1, F, D),
    w3: memorySource(`${name}.w3`, e.w3, F, D),
    w2: memorySource(`${name}.w2`, e.w2, D, F),
  };
}
