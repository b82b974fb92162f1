// Reads a source's rows in bounded pieces, packs them on all threads and lays them out for the SIMD kernels; what is stored
// as they take it is read straight to its place.

import { MemoryError } from "../../errors.ts";
import { BLOCK_ROWS, blockLayout, type ExpertShape, recordLayout } from "../../tensor/blocks.ts";
import { flipOf } from "../../tensor/stored.ts";
import {
  type ExpertSource,
  type MatrixSource,
  PRECISIONS,
  type Precision,
  type StoredBlocks,
} from "../../tensor/types.ts";
import type { Heap } from "./heap.ts";
import { HEAP_BYTES } from "./heap.ts";
import type { SimdHeaps } from "./simd_heaps.ts";

/** A packed matrix in blocks of eight rows (kernels/interleave.ts). */
export interface SimdBlock {
  readonly heap: Heap;
  /** Index in PRECISIONS, as kernels take it. */
  readonly precision: number;
  readonly rows: number;
  readonly cols: number;
  /** Groups of 32 columns. */
  readonly groups: number;
  /** Addresses of the two planes. */
  readonly quants: number;
  readonly scales: number;
  /** Of both planes, rows of padding included. */
  readonly bytes: number;
}

/** An expert's two matrices, in one heap. */
export interface ExpertBlocks {
  readonly w13: SimdBlock; // [2F, D], rows of w1 and w3 in turn
  readonly w2: SimdBlock; // [D, F]
}

/** Of f32 rows that are held beside the weights while a matrix is read. */
const PIECE_BYTES = 4 * 2 ** 20;
/** Rows that are sooner packed than handed to another thread. */
const GRAIN_WEIGHTS = 16_384;

/** One source as a block, where there is room. @throws WeightsError, MemoryError */
export async function loadRows(heaps: SimdHeaps, source: MatrixSource, precision: Precision): Promise<SimdBlock> {
  const { rows, cols } = source;
  const { heap, at } = await allocate(heaps, source, precision, blockLayout(precision, rows, cols).bytes);
  const block = blockAt(heap, at, precision, rows, cols);
  if (source.blocks?.precision === precision) await copy(source.blocks, block);
  else await packRows(heaps, source, block);
  return block;
}

/** One expert as a record, where there is room. @throws WeightsError, MemoryError */
export async function loadExpert(heaps: SimdHeaps, source: ExpertSource, precision: Precision): Promise<ExpertBlocks> {
  const { rows: intermediate, cols: hidden } = source.w1;
  const shape: ExpertShape = { count: 1, hidden, intermediate, precision };
  const { heap, at } = await allocate(heaps, source.w1, precision, recordLayout(shape).bytes);
  const expert = expertAt(heap, at, shape);
  if (source.record?.precision === precision) await copy(source.record, { ...expert.w13, bytes: source.record.bytes });
  else await packRecord(heaps, source, shape, heap, at);
  return expert;
}

/** The matrices of the record that lies at an address. */
export function expertAt(heap: Heap, at: number, { hidden, intermediate, precision }: ExpertShape): ExpertBlocks {
  const { downOffset } = recordLayout({ hidden, intermediate, precision });
  return {
    w13: blockAt(heap, at, precision, 2 * intermediate, hidden),
    w2: blockAt(heap, at + downOffset, precision, hidden, intermediate),
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

async function packRows(heaps: SimdHeaps, source: MatrixSource, block: SimdBlock): Promise<void> {
  clearPadding(block);
  await fill(heaps, block, source, { rows: source.rows, first: 0, step: 1 });
}

/** Reads stored bytes to where a block lies, `bytes` of them. */
async function copy(stored: StoredBlocks, { heap, quants, bytes }: Pick<SimdBlock, "heap" | "quants" | "bytes">) {
  await stored.read(0, new Uint8Array(heap.bytes.buffer, quants, bytes));
}

async function allocate(heaps: SimdHeaps, { name, rows, cols }: MatrixSource, precision: Precision, bytes: number) {
  const what = `${name}: [${rows}, ${cols}] in ${precision}`;
  if (bytes > HEAP_BYTES)
    throw new MemoryError(
      `${what}: ${bytes} bytes do not fit in one WebAssembly memory (${HEAP_BYTES} bytes); choose a smaller precision`,
    );
  const heap = await heaps.forWeights(bytes);
  return { heap, at: heap.allocate(bytes, what) };
}

/** A matrix whose block lies at an address. */
function blockAt(heap: Heap, at: number, precision: Precision, rows: number, cols: number): SimdBlock {
  const { bytes, groups, scaleOffset } = blockLayout(precision, rows, cols);
  const scales = at + scaleOffset;
  return { heap, precision: PRECISIONS.indexOf(precision), rows, cols, groups, quants: at, scales, bytes };
}

/** The last block's rows of padding have no weights and no scale. Clears them before the rows are filled in. */
export function clearPadding({ heap, precision, rows, cols, quants, scales }: SimdBlock): void {
  if (rows % BLOCK_ROWS === 0) return;
  const one = blockLayout(PRECISIONS[precision]!, BLOCK_ROWS, cols);
  const whole = Math.floor(rows / BLOCK_ROWS);
  const scaleBytes = one.bytes - one.scaleOffset;
  heap.bytes.fill(0, quants + whole * one.scaleOffset, quants + (whole + 1) * one.scaleOffset);
  heap.bytes.fill(0, scales + whole * scaleBytes, scales + (whole + 1) * scaleBytes);
}

/** Rows of a source on their way into a block: source row `from + i` becomes row `first + step * i`, for `rows` of them. */
export interface RowRange {
  readonly from?: number;
  readonly rows: number;
  readonly first: number;
  readonly step: 1 | 2;
}

export async function fill(
  heaps: SimdHeaps,
  block: SimdBlock,
  source: MatrixSource,
  { from = 0, rows: total, first, step }: RowRange,
  signal?: AbortSignal,
): Promise<void> {
  const { heap, groups, cols } = block;
  const precision = PRECISIONS[block.precision]!;
  const slots = heaps.slots(heap);
  const piece = Math.max(8, Math.floor(PIECE_BYTES / (4 * cols) / 8) * 8);
  const { rowBytes } = blockLayout(precision, 1, cols);
  const scaled = precision === "q8" || precision === "q4";
  const grain = Math.max(8, Math.ceil(GRAIN_WEIGHTS / cols));
  const count = Math.min(piece, total);
  const rows = slots.at("rows to pack", 4 * count * cols);
  const quants = slots.at("packed rows", count * rowBytes);
  const scales = slots.at("packed scales", scaled ? 2 * count * groups : 0);
  for (let done = 0; done < total; done += count) {
    signal?.throwIfAborted();
    const n = Math.min(count, total - done);
    const { buffer } = heap.bytes;
    const packed = new Uint8Array(buffer, quants, n * rowBytes);
    const halves = new Uint16Array(buffer, scales, scaled ? n * groups : 0);
    if (!(await source.readPacked?.(precision, from + done, n, packed, halves))) {
      await source.readRows(from + done, n, new Float32Array(buffer, rows, n * cols));
      heaps.pool.run("pack", heap, n, grain, block.precision, rows, cols, quants, scales);
    }
    const to = first + step * done;
    // biome-ignore format: the kernel's arguments in order
    heaps.pool.run("interleave", heap, n, grain, quants, scales, rowBytes / 4, scaled ? groups : 0, to, step, block.quants, block.scales, flipOf(precision));
  }
}
