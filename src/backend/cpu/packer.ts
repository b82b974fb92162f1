// Packs matrices and experts for a file: their panels and records in the order of their bytes, a few MiB at a time.

import { type Format, GROUP, PANEL_ROWS, type PanelLayout, panelLayout } from "../../tensor/format.ts";
import { type ExpertShape, recordLayout } from "../../tensor/record.ts";
import type { ExpertSource, MatrixSource } from "../../tensor/types.ts";
import type { Heap } from "./heap.ts";
import type { SimdHeaps } from "./simd_heaps.ts";
import { clearPadding, fill, type SimdMatrix } from "./simd_load.ts";

/** Takes the next bytes, which may be overwritten as soon as it has resolved. */
export type Sink = (bytes: Uint8Array) => Promise<void>;

/** Bytes of the first plane that are packed at once; another piece is on its way into the sink meanwhile. */
const BAND_BYTES = 8 * 2 ** 20;
/** Rows of a band: whole panels, also where two matrices alternate. */
const BAND_ROWS = 2 * PANEL_ROWS;

export class Packer {
  readonly #heaps: SimdHeaps;
  readonly #heap: Heap;

  constructor(heaps: SimdHeaps, heap: Heap) {
    this.#heaps = heaps;
    this.#heap = heap;
  }

  /**
   * Hands the bytes of panelLayout() to the sink, one piece after the other.
   * @throws WeightsError, the signal's reason, what the sink throws
   */
  async matrix(source: MatrixSource, format: Format, sink: Sink, signal?: AbortSignal): Promise<void> {
    await this.#stream([source], panelLayout(format, source.rows, source.cols), sink, signal);
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

  /** Matrices whose rows alternate, as one. The first plane is handed on band by band; the others are kept until then. */
  async #stream(
    alternate: readonly MatrixSource[],
    layout: PanelLayout,
    sink: Sink,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const heap = this.#heap;
    const { format, cols, padded } = layout;
    const [first, ...others] = layout.planes;
    const { rowBytes } = first!;
    const step = alternate.length === 2 ? 2 : 1;
    const rows = alternate[0]!.rows * step;
    const band = Math.max(BAND_ROWS, Math.floor(BAND_BYTES / (rowBytes * BAND_ROWS)) * BAND_ROWS);
    const most = Math.min(band, layout.rows);
    const slots = this.#heaps.slots(heap);
    const kept = others.map((plane, p) => {
      const bytes = layout.rows * plane.rowBytes;
      return { at: slots.at(`plane ${p + 1} of a matrix`, bytes), bytes, rowBytes: plane.rowBytes };
    });
    const places = [slots.at("a band", most * rowBytes), slots.at("another band", most * rowBytes)];
    let writing: Promise<void> = Promise.resolve();
    try {
      for (let row = 0, turn = 0; row < rows; row += band, turn ^= 1) {
        const count = Math.min(band, rows - row);
        const whole = Math.ceil(count / PANEL_ROWS) * PANEL_ROWS;
        const at = places[turn]!;
        const planes = [at, ...kept.map((plane) => plane.at + row * plane.rowBytes)];
        const matrix: SimdMatrix = { heap, format, rows: count, cols, groups: padded / GROUP, planes };
        clearPadding(matrix);
        for (const [side, source] of alternate.entries())
          await fill(this.#heaps, matrix, source, { from: row / step, rows: count / step, first: side, step }, signal);
        await writing;
        writing = sink(new Uint8Array(heap.bytes.buffer, at, whole * rowBytes));
        writing.catch(() => {}); // it is awaited below
      }
      await writing;
      for (const { at, bytes } of kept) await sink(new Uint8Array(heap.bytes.buffer, at, bytes));
    } finally {
      await writing.catch(() => {}); // nothing may be read any more of a place that is used again
    }
  }
}

async function zeros(count: number, sink: Sink): Promise<void> {
  if (count > 0) await sink(new Uint8Array(count));
}
