// Packs matrices and experts for a file: panels and records in byte order, a few MiB at a time.

import type { Format } from "../../tensor/format.ts";
import {
  expertPanels,
  loadPanels,
  matrixPanels,
  type PanelSource,
  type PanelWork,
  pieceRows,
} from "../../tensor/load.ts";
import { rowsOfPanels } from "../../tensor/panels.ts";
import { type ExpertShape, recordLayout } from "../../tensor/record.ts";
import type { ExpertSource, MatrixSource } from "../../tensor/types.ts";
import type { Heap } from "./heap.ts";
import type { SimdHeaps } from "./simd_heaps.ts";
import { heapWork } from "./simd_load.ts";

/** Takes the next bytes, which may be overwritten after the promise resolves. */
export type Sink = (bytes: Uint8Array) => Promise<void>;

/** Bytes of the first plane in a band; another band is written to the sink meanwhile. */
const BAND_BYTES = 8 * 2 ** 20;

export class Packer {
  readonly #heaps: SimdHeaps;
  readonly #heap: Heap;

  constructor(heaps: SimdHeaps, heap: Heap) {
    this.#heaps = heaps;
    this.#heap = heap;
  }

  /**
   * Writes the bytes of panelLayout() to the sink, piece by piece. @throws WeightsError, the
   * signal's reason, errors of the sink
   */
  async matrix(source: MatrixSource, format: Format, sink: Sink, signal?: AbortSignal): Promise<void> {
    await this.#stream(matrixPanels(source, format), sink, signal);
  }

  /** Writes the bytes of recordLayout() to the sink. @throws as matrix() */
  async expert(source: ExpertSource, shape: ExpertShape, sink: Sink, signal?: AbortSignal): Promise<void> {
    const { up, down, downOffset, bytes } = recordLayout(shape);
    const panels = expertPanels(source, shape.up, shape.down);
    await this.#stream(panels.up, sink, signal);
    await zeros(downOffset - up.bytes, sink);
    await this.#stream(panels.down, sink, signal);
    await zeros(bytes - downOffset - down.bytes, sink);
  }

  /** Work for panels of a format, on all threads; one load at a time. */
  async work(format: Format): Promise<PanelWork> {
    await this.#heaps.prepare(format, this.#heap);
    return heapWork(this.#heaps, this.#heap);
  }

  close(): void {
    this.#heaps.pool.close();
    this.#heaps.close();
  }

  /** Writes the first plane band by band; the others are kept until then. */
  async #stream(source: PanelSource, sink: Sink, signal: AbortSignal | undefined): Promise<void> {
    const { layout, rows } = source;
    const work = await this.work(layout.format);
    const [first, others] = [layout.planes.slice(0, 1), layout.planes.slice(1)];
    const { rowBytes } = first[0]!;
    const piece = pieceRows(source, work);
    const band = Math.max(1, Math.floor(BAND_BYTES / (rowBytes * piece))) * piece;
    const bandBytes = Math.min(band, layout.rows) * rowBytes;
    const kept = others.map((plane, p) => work.memory(`plane ${p + 1}`, layout.rows * plane.rowBytes));
    const bands = [work.memory("a band", bandBytes), work.memory("another band", bandBytes)] as const;
    let turn: 0 | 1 = 0;
    let writing: Promise<void> = Promise.resolve();
    try {
      const target = {
        planes(row: number, count: number): Uint8Array[] {
          const [own] = rowsOfPanels(first, [bands[turn]], row % band, count);
          return [own!, ...rowsOfPanels(others, kept, row, count)];
        },
        async done(row: number, count: number, [own]: readonly Uint8Array[]): Promise<void> {
          if ((row + count) % band !== 0 && row + count < rows) return;
          await writing;
          writing = sink(bands[turn].subarray(0, (row % band) * rowBytes + own!.length));
          writing.catch(() => {}); // awaited below
          turn = turn === 0 ? 1 : 0;
        },
      };
      await loadPanels(source, work, target, { signal });
      await writing;
      for (const plane of kept) await sink(plane);
    } finally {
      await writing.catch(() => {}); // reads must end before the memory is reused
    }
  }
}

async function zeros(count: number, sink: Sink): Promise<void> {
  if (count > 0) await sink(new Uint8Array(count));
}
