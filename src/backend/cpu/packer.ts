// Packs matrices and experts for a file: their blocks and records in the order of their bytes, a few MiB at a time.

import { BLOCK_ROWS, blockLayout, type ExpertShape, recordLayout } from "../../tensor/blocks.ts";
import type { PackedLayout } from "../../tensor/pack.ts";
import { type ExpertSource, type MatrixSource, PRECISIONS, type Precision } from "../../tensor/types.ts";
import type { Heap } from "./heap.ts";
import type { SimdHeaps } from "./simd_heaps.ts";
import { clearPadding, fill, type SimdBlock } from "./simd_load.ts";

/** Takes the next bytes, which may be overwritten as soon as it has resolved. */
export type Sink = (bytes: Uint8Array) => Promise<void>;

/** Of quants that are packed at once; another piece is on its way into the sink meanwhile. */
const BAND_BYTES = 8 * 2 ** 20;
/** Rows of a band: whole blocks, also where two matrices alternate. */
const BAND_ROWS = 2 * BLOCK_ROWS;

export class Packer {
  readonly #heaps: SimdHeaps;
  readonly #heap: Heap;

  constructor(heaps: SimdHeaps, heap: Heap) {
    this.#heaps = heaps;
    this.#heap = heap;
  }

  /** Hands the bytes of blockLayout() to the sink, one piece after the other. @throws WeightsError, the signal's reason, what the sink throws */
  async matrix(source: MatrixSource, precision: Precision, sink: Sink, signal?: AbortSignal): Promise<void> {
    await this.#stream([source], blockLayout(precision, source.rows, source.cols), sink, signal);
  }

  /** Hands the bytes of recordLayout() to the sink. @throws as matrix() does */
  async expert(source: ExpertSource, shape: ExpertShape, sink: Sink, signal?: AbortSignal): Promise<void> {
    const { up, down, downOffset, bytes } = recordLayout(shape);
    await this.#stream([source.w1, source.w3], up, sink, signal);
    await zeros(downOffset - up.bytes, sink);
    await this.#stream([source.w2], down, sink, signal);
    await zeros(bytes - downOffset - down.bytes, sink);
  }

  close(): void {
    this.#heaps.pool.close();
    this.#heaps.close();
  }

  /** Matrices whose rows alternate, as one. Quants are handed on band by band; scales, which follow them, are kept until then. */
  async #stream(
    alternate: readonly MatrixSource[],
    layout: PackedLayout,
    sink: Sink,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const heap = this.#heap;
    const { precision, cols, groups, rowBytes, scaleOffset } = layout;
    const step = alternate.length === 2 ? 2 : 1;
    const rows = alternate[0]!.rows * step;
    const band = Math.max(BAND_ROWS, Math.floor(BAND_BYTES / (rowBytes * BAND_ROWS)) * BAND_ROWS);
    const most = Math.min(band, layout.rows);
    const slots = this.#heaps.slots(heap);
    const scaleBytes = layout.bytes - scaleOffset;
    const scales = slots.at("scales of a matrix", scaleBytes);
    const places = [slots.at("a band of quants", most * rowBytes), slots.at("another band", most * rowBytes)];
    let writing: Promise<void> = Promise.resolve();
    try {
      for (let row = 0, turn = 0; row < rows; row += band, turn ^= 1) {
        const count = Math.min(band, rows - row);
        const whole = Math.ceil(count / BLOCK_ROWS) * BLOCK_ROWS;
        const block: SimdBlock = {
          heap,
          precision: PRECISIONS.indexOf(precision),
          rows: count,
          cols,
          groups,
          quants: places[turn]!,
          scales: scales + (scaleBytes === 0 ? 0 : 2 * row * groups),
          bytes: whole * rowBytes,
        };
        clearPadding(block);
        for (const [side, source] of alternate.entries())
          await fill(this.#heaps, block, source, { from: row / step, rows: count / step, first: side, step }, signal);
        await writing;
        writing = sink(new Uint8Array(heap.bytes.buffer, block.quants, block.bytes));
        writing.catch(() => {}); // it is awaited below
      }
      await writing;
      if (scaleBytes > 0) await sink(new Uint8Array(heap.bytes.buffer, scales, scaleBytes));
    } finally {
      await writing.catch(() => {}); // nothing may be read any more of a place that is used again
    }
  }
}

async function zeros(count: number, sink: Sink): Promise<void> {
  if (count > 0) await sink(new Uint8Array(count));
}
