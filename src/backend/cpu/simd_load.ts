// Reads a source's rows in bounded pieces, packs them on all threads and lays them out for the SIMD kernels; what is stored
// as they take it is read straight to its place.

import { MemoryError, WeightsError } from "../../errors.ts";
import { type Format, GROUP, PANEL_ROWS, type PanelLayout, panelLayout } from "../../tensor/format.ts";
import { type ExpertShape, recordLayout } from "../../tensor/record.ts";
import type { ExpertSource, MatrixSource, StoredBytes } from "../../tensor/types.ts";
import type { Heap } from "./heap.ts";
import { HEAP_BYTES } from "./heap.ts";
import type { SimdHeaps } from "./simd_heaps.ts";

/** A packed matrix in a heap. */
export interface SimdMatrix {
  readonly heap: Heap;
  readonly format: Format;
  readonly rows: number;
  readonly cols: number;
  /** Groups of 32 columns. */
  readonly groups: number;
  /** Addresses of the planes. */
  readonly planes: readonly number[];
}

/** An expert's two matrices, in one heap. */
export interface ExpertMatrices {
  readonly w13: SimdMatrix; // [2F, D], rows of w1 and w3 in turn
  readonly w2: SimdMatrix; // [D, F]
}

/** Bytes of f32 rows that are held beside the weights while a matrix is read. */
const PIECE_BYTES = 4 * 2 ** 20;
/** Rows that are sooner packed than handed to another thread. */
const GRAIN_WEIGHTS = 16_384;
/** Formats by the numbers that kernels know them by. */
const NUMBERS = ["f32", "f16", "q8", "q4"];

/** The number that kernels know a format by. */
export function numberOf(format: Format): number {
  return NUMBERS.indexOf(format.name);
}

/** One source as a packed matrix, where there is room. @throws WeightsError, MemoryError */
export async function loadRows(heaps: SimdHeaps, source: MatrixSource, format: Format): Promise<SimdMatrix> {
  const { rows, cols } = source;
  const layout = panelLayout(format, rows, cols);
  const { heap, at } = await allocate(heaps, source, format.name, layout.bytes);
  const matrix = matrixAt(heap, at, layout, rows);
  if (source.panels?.format === format) await copy(source.panels, heap, at);
  else await packMatrix(heaps, source, matrix);
  return matrix;
}

/** One expert as a record, where there is room. @throws WeightsError, MemoryError */
export async function loadExpert(
  heaps: SimdHeaps,
  source: ExpertSource,
  up: Format,
  down: Format,
): Promise<ExpertMatrices> {
  const { rows: intermediate, cols: hidden } = source.w1;
  const shape: ExpertShape = { count: 1, hidden, intermediate, up, down };
  const names = up === down ? up.name : `${up.name} and ${down.name}`;
  const { heap, at } = await allocate(heaps, source.w1, names, recordLayout(shape).bytes);
  if (source.record?.up === up && source.record.down === down) await copy(source.record, heap, at);
  else await packRecord(heaps, source, shape, heap, at);
  return expertAt(heap, at, shape);
}

/** The matrices of the record that lies at an address. */
export function expertAt(heap: Heap, at: number, shape: ExpertShape): ExpertMatrices {
  const { up, down, downOffset } = recordLayout(shape);
  return {
    w13: matrixAt(heap, at, up, 2 * shape.intermediate),
    w2: matrixAt(heap, at + downOffset, down, shape.hidden),
  };
}

/**
 * Packs an expert as a record of recordLayout(shape).bytes at an address (a multiple of 64) of a heap, on all threads.
 * One at a time in a heap. @throws WeightsError, the signal's reason
 */
export async function packRecord(
  heaps: SimdHeaps,
  source: ExpertSource,
  shape: ExpertShape,
  heap: Heap,
  address: number,
  signal?: AbortSignal,
): Promise<void> {
  const { up, downOffset, down, bytes } = recordLayout(shape);
  const { w13, w2 } = expertAt(heap, address, shape);
  heap.bytes.fill(0, address + up.bytes, address + downOffset);
  heap.bytes.fill(0, address + downOffset + down.bytes, address + bytes);
  clearPadding(w13);
  clearPadding(w2);
  await fill(heaps, w13, source.w1, { rows: w13.rows / 2, first: 0, step: 2 }, signal);
  await fill(heaps, w13, source.w3, { rows: w13.rows / 2, first: 1, step: 2 }, signal);
  await fill(heaps, w2, source.w2, { rows: w2.rows, first: 0, step: 1 }, signal);
}

async function packMatrix(heaps: SimdHeaps, source: MatrixSource, matrix: SimdMatrix): Promise<void> {
  clearPadding(matrix);
  await fill(heaps, matrix, source, { rows: source.rows, first: 0, step: 1 });
}

/** Reads stored bytes to an address. */
async function copy(stored: StoredBytes, heap: Heap, at: number): Promise<void> {
  await stored.read(0, new Uint8Array(heap.bytes.buffer, at, stored.bytes));
}

async function allocate(heaps: SimdHeaps, { name, rows, cols }: MatrixSource, formats: string, bytes: number) {
  const what = `${name}: [${rows}, ${cols}] in ${formats}`;
  if (bytes > HEAP_BYTES)
    throw new MemoryError(
      `${what}: ${bytes} bytes do not fit in one WebAssembly memory (${HEAP_BYTES} bytes); choose a smaller precision`,
    );
  const heap = await heaps.forWeights(bytes);
  return { heap, at: heap.allocate(bytes, what) };
}

/** A matrix of `rows` rows that lies at an address. */
function matrixAt(heap: Heap, at: number, { format, cols, padded, planes }: PanelLayout, rows: number): SimdMatrix {
  return { heap, format, rows, cols, groups: padded / GROUP, planes: planes.map(({ offset }) => at + offset) };
}

/** The last panel's rows of padding are zeros: weights without a scale. Clears them before the rows are filled in. */
export function clearPadding({ heap, format, rows, cols, planes }: SimdMatrix): void {
  if (rows % PANEL_ROWS === 0) return;
  const whole = Math.floor(rows / PANEL_ROWS);
  for (const [p, { rowBytes }] of panelLayout(format, PANEL_ROWS, cols).planes.entries()) {
    const panel = PANEL_ROWS * rowBytes;
    heap.bytes.fill(0, planes[p]! + whole * panel, planes[p]! + (whole + 1) * panel);
  }
}

/** Rows of a source on their way into a matrix: source row `from + i` becomes row `first + step * i`, for `rows` of them. */
export interface RowRange {
  readonly from?: number;
  readonly rows: number;
  readonly first: number;
  readonly step: 1 | 2;
}

export async function fill(
  heaps: SimdHeaps,
  { heap, cols, format, planes }: SimdMatrix,
  source: MatrixSource,
  { from = 0, rows: total, first, step }: RowRange,
  signal?: AbortSignal,
): Promise<void> {
  const slots = heaps.slots(heap);
  const piece = Math.max(8, Math.floor(PIECE_BYTES / (4 * cols) / 8) * 8);
  const places = panelLayout(format, PANEL_ROWS, cols).planes;
  const grain = Math.max(8, Math.ceil(GRAIN_WEIGHTS / cols));
  const count = Math.min(piece, total);
  const rows = slots.at("rows to pack", 4 * count * cols);
  const packed = places.map(({ rowBytes }, p) => slots.at(`packed rows ${p}`, count * rowBytes));
  for (let done = 0; done < total; done += count) {
    signal?.throwIfAborted();
    const n = Math.min(count, total - done);
    const { buffer } = heap.bytes;
    const views = places.map(({ rowBytes }, p) => new Uint8Array(buffer, packed[p]!, n * rowBytes));
    if (!(await source.readPlanes?.(format, from + done, n, views))) {
      if (!format.pack)
        throw new WeightsError(`${source.name}: is not stored in ${format.name}, and nothing packs to it`);
      await source.readRows(from + done, n, new Float32Array(buffer, rows, n * cols));
      heaps.pool.run("pack", heap, n, grain, numberOf(format), rows, cols, packed[0]!, packed[1] ?? 0);
    }
    const to = first + step * done;
    for (const [p, { element }] of format.planes.entries())
      heaps.pool.run("weave", heap, n, grain, packed[p]!, places[p]!.rowBytes / element, element, to, step, planes[p]!);
  }
}
