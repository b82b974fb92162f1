// Weights sources held in memory, and what a backend must hold after it packed them.

import { FORMATS } from "../../kernels/formats/index.ts";
import { type Format, rowBlocks, rowPlanes, rowsOfPlanes, splitRows, unpackRows } from "../../src/tensor/format.ts";
import type { ExpertSource, MatrixSource } from "../../src/tensor/types.ts";
import { packAny } from "./pack_any.ts";
import { uniform } from "./random.ts";

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

/** The same matrix with a bias [rows]. */
export function withBias(source: MatrixSource, bias: Float32Array): MatrixSource {
  return { ...source, bias: memorySource(`bias of ${source.name}`, bias, 1, source.rows) };
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
  let packed: readonly Uint8Array[] | null = null;
  return {
    ...memorySource(name, data, rows, cols),
    readPlanes: async (wanted, first, count, planes) => {
      checkRange(name, rows, first, count);
      if (wanted !== format) return false;
      packed ??= packPlanes(format, data, rows, cols);
      for (const [p, from] of rowsOfPlanes(packed, rows, first, count).entries()) planes[p]!.set(from);
      return true;
    },
  };
}

/** `data` as a source for a matrix in `format`: in planes of it, where only files hold that. */
export function sourceFor(format: Format, name: string, data: Float32Array, rows: number, cols: number): MatrixSource {
  if (format.pack) return memorySource(name, data, rows, cols);
  return { ...packedSource(name, data, rows, cols, format), format };
}

/** Rows of random blocks of `format.ggml`, as a GGUF file has them. */
export interface BlocksSource extends MatrixSource {
  readonly blocks: Uint8Array;
  /** The same rows in planes. */
  readonly planes: readonly Uint8Array[];
  /** Reads that have not ended, and the most there were. */
  readonly reads: { open: number; most: number };
}

/** A source that has blocks of a file's type. Their scales are finite and small. */
export function blocksSource(name: string, format: Format, rows: number, cols: number, seed: number): BlocksSource {
  const data = uniform(rows * cols, seed);
  const ggml = format.ggml!;
  const rowBytes = rowBlocks(format, ggml, cols);
  const blocks = new Uint8Array(rows * rowBytes);
  for (let i = 0; i < blocks.length; i++) blocks[i] = Math.floor((data[(i * 7) % data.length]! + 1) * 127.5);
  const planes = rowPlanes(format, rows, cols);
  splitRows(format, ggml, blocks, rows, cols, planes);
  const reads = { open: 0, most: 0 };
  return {
    name,
    rows,
    cols,
    format,
    ggml,
    blocks,
    planes,
    reads,
    readRows: () => Promise.reject(new Error(`${name}: rows of blocks were read as f32`)),
    async readBlocks(first, count, into) {
      checkRange(name, rows, first, count);
      reads.most = Math.max(reads.most, ++reads.open);
      await new Promise((resolve) => setTimeout(resolve, first % 3));
      into.set(blocks.subarray(first * rowBytes, (first + count) * rowBytes));
      reads.open--;
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
  packAny(format, data, rows, cols, planes);
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

/** @param up of w1 and w3, and `down` of w2: formats that the expert is to be loaded in */
export function expertSource(
  name: string,
  e: ExpertData,
  D: number,
  F: number,
  up: Format = FORMATS.f32,
  down = up,
): ExpertSource {
  return {
    w1: sourceFor(up, `${name}.w1`, e.w1, F, D),
    w3: sourceFor(up, `${name}.w3`, e.w3, F, D),
    w2: sourceFor(down, `${name}.w2`, e.w2, D, F),
  };
}
