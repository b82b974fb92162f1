// Weights sources held in memory, and what a backend must hold after it packed them.

import { type PackedRows, packedLayout, packRows, unpackRows } from "../../src/tensor/pack.ts";
import type { ExpertSource, MatrixSource, Precision } from "../../src/tensor/types.ts";

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

/** The same, but handing out rows already packed at `precision`; asked for another, it answers false. */
export function packedSource(
  name: string,
  data: Float32Array,
  rows: number,
  cols: number,
  precision: Precision,
): MatrixSource {
  return {
    ...memorySource(name, data, rows, cols),
    readPacked: async (wanted, first, count, quants, scales) => {
      checkRange(name, rows, first, count);
      if (wanted !== precision) return false;
      packRows(precision, data.subarray(first * cols, (first + count) * cols), count, cols, { quants, scales });
      return true;
    },
  };
}

function checkRange(name: string, rows: number, first: number, count: number): void {
  if (first < 0 || count < 1 || first + count > rows)
    throw new Error(`${name}: read of rows ${first}..${first + count - 1} of ${rows}`);
}

/** Packs `data` [rows, cols] as one block. */
export function packMatrix(precision: Precision, data: Float32Array, rows: number, cols: number): Uint8Array {
  const layout = packedLayout(precision, rows, cols);
  const block = new Uint8Array(layout.bytes);
  const planes: PackedRows = {
    quants: block.subarray(0, layout.scaleOffset),
    scales: new Uint16Array(block.buffer, layout.scaleOffset, (layout.bytes - layout.scaleOffset) / 2),
  };
  packRows(precision, data, rows, cols, planes);
  return block;
}

/** `data` [rows, cols] after packing and unpacking: the weights that a backend computes with. */
export function held(precision: Precision, data: Float32Array, rows: number, cols: number): Float32Array {
  const back = new Float32Array(rows * cols);
  unpackRows(packMatrix(precision, data, rows, cols), packedLayout(precision, rows, cols), 0, rows, back);
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
