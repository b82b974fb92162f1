// Reads a source's rows in bounded pieces, packs them on all threads and lays them out for the SIMD kernels.

import { MemoryError } from "../../errors.ts";
import { blockLayout, type ExpertShape, recordLayout } from "../../tensor/blocks.ts";
import { type PackedLayout, packedLayout } from "../../tensor/pack.ts";
import { type ExpertSource, type MatrixSource, PRECISIONS, type Precision } from "../../tensor/types.ts";
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

/** Of f32 rows that are held beside the weights while a matrix is read. */
const PIECE_BYTES = 4 * 2 ** 20;
/** Rows that are sooner packed than handed to another thread. */
const GRAIN_WEIGHTS = 16_384;

/** One source as a block, in `heap` or where there is room. @throws WeightsError, MemoryError */
export async function loadRows(
  heaps: SimdHeaps,
  source: MatrixSource,
  precision: Precision,
  heap?: Heap,
): Promise<SimdBlock> {
  const { name, rows, cols } = source;
  const block = await allocate(heaps, name, precision, rows, cols, 0, heap);
  await fill(heaps, block, source, precision, 0, 1);
  return block;
}

/**
 * Two sources of the same shape as one block: row 2i is row i of `even`, row 2i + 1 is row i of `odd`.
 * `beside`: a matrix that the heap must have room for too.
 */
export async function loadInterleaved(
  heaps: SimdHeaps,
  even: MatrixSource,
  odd: MatrixSource,
  precision: Precision,
  beside: MatrixSource,
): Promise<SimdBlock> {
  const more = blockLayout(precision, beside.rows, beside.cols).bytes;
  const block = await allocate(heaps, `${even.name} and ${odd.name}`, precision, 2 * even.rows, even.cols, more);
  await fill(heaps, block, even, precision, 0, 2);
  await fill(heaps, block, odd, precision, 1, 2);
  return block;
}

/** A matrix whose block lies at an address. */
export function blockAt(heap: Heap, at: number, precision: Precision, rows: number, cols: number): SimdBlock {
  const { bytes, groups, scaleOffset } = blockLayout(precision, rows, cols);
  const scales = at + scaleOffset;
  return { heap, precision: PRECISIONS.indexOf(precision), rows, cols, groups, quants: at, scales, bytes };
}

/** Packs an expert as a record (tensor/blocks.ts) at an address, padding included. @throws WeightsError, the signal's reason */
export async function packRecord(
  heaps: SimdHeaps,
  { w1, w2, w3 }: ExpertSource,
  shape: ExpertShape,
  heap: Heap,
  at: number,
  signal?: AbortSignal,
): Promise<void> {
  const { hidden, intermediate, precision } = shape;
  const { up, downOffset, down, bytes } = recordLayout(shape);
  const w13 = blockAt(heap, at, precision, 2 * intermediate, hidden);
  const below = blockAt(heap, at + downOffset, precision, hidden, intermediate);
  for (const block of [w13, below]) clearPadding(block, blockLayout(precision, block.rows, block.cols));
  heap.bytes.fill(0, at + up.bytes, at + downOffset);
  heap.bytes.fill(0, at + downOffset + down.bytes, at + bytes);
  await fill(heaps, w13, w1, precision, 0, 2, signal);
  await fill(heaps, w13, w3, precision, 1, 2, signal);
  await fill(heaps, below, w2, precision, 0, 1, signal);
}

/** The last block's rows of padding have no weights and no scale. */
function clearPadding({ heap, rows, quants, scales }: SimdBlock, layout: PackedLayout): void {
  if (rows % 8 === 0) return;
  const { rowBytes, groups, scaleOffset, bytes } = layout;
  const whole = Math.floor(rows / 8) * 8;
  heap.bytes.fill(0, quants + whole * rowBytes, scales);
  heap.bytes.fill(0, scales + Math.min(whole * groups * 2, bytes - scaleOffset), quants + bytes);
}

async function allocate(
  heaps: SimdHeaps,
  name: string,
  precision: Precision,
  rows: number,
  cols: number,
  more: number,
  heap?: Heap,
): Promise<SimdBlock> {
  const layout = blockLayout(precision, rows, cols);
  const { bytes } = layout;
  const what = `${name}: [${rows}, ${cols}] in ${precision}`;
  if (bytes + more > HEAP_BYTES)
    throw new MemoryError(
      `${what}: ${bytes} bytes do not fit in one WebAssembly memory (${HEAP_BYTES} bytes); choose a smaller precision`,
    );
  const own = heap ?? (await heaps.forWeights(bytes + more));
  const block = blockAt(own, own.allocate(bytes, what), precision, rows, cols);
  clearPadding(block, layout);
  return block;
}

/** Row i of the source becomes row first + step * i of the block. */
async function fill(
  heaps: SimdHeaps,
  block: SimdBlock,
  source: MatrixSource,
  precision: Precision,
  first: number,
  step: 1 | 2,
  signal?: AbortSignal,
): Promise<void> {
  const { heap, groups, cols } = block;
  const slots = heaps.slots(heap);
  const piece = Math.max(8, Math.floor(PIECE_BYTES / (4 * cols) / 8) * 8);
  const { rowBytes } = packedLayout(precision, 1, cols);
  const scaled = precision === "q8" || precision === "q4";
  const flip = precision === "q8" ? 0x80808080 : 0;
  const grain = Math.max(8, Math.ceil(GRAIN_WEIGHTS / cols));
  const count = Math.min(piece, source.rows);
  const rows = slots.at("rows to pack", 4 * count * cols);
  const quants = slots.at("packed rows", count * rowBytes);
  const scales = slots.at("packed scales", scaled ? 2 * count * groups : 0);
  for (let from = 0; from < source.rows; from += count) {
    signal?.throwIfAborted();
    const n = Math.min(count, source.rows - from);
    const { buffer } = heap.bytes;
    const packed = new Uint8Array(buffer, quants, n * rowBytes);
    const halves = new Uint16Array(buffer, scales, scaled ? n * groups : 0);
    if (!(await source.readPacked?.(precision, from, n, packed, halves))) {
      await source.readRows(from, n, new Float32Array(buffer, rows, n * cols));
      heaps.pool.run("pack", heap, n, grain, block.precision, rows, cols, quants, scales);
    }
    const to = first + step * from;
    // biome-ignore format: the kernel's arguments in order
    heaps.pool.run("interleave", heap, n, grain, quants, scales, rowBytes / 4, scaled ? groups : 0, to, step, block.quants, block.scales, flip);
  }
}
