// Stored panels on their way to the device: bytes are read in pieces and written as they are, without packing.

import { PANEL_ROWS, type PanelLayout } from "../../../tensor/format.ts";
import type { StoredPanels } from "../../../tensor/types.ts";
import type { Buffer, Device } from "../device/device.ts";
import type { PartRange } from "./weights.ts";

const PIECE = 16 * 2 ** 20;

/** A matrix of several that a binding holds: its stored bytes, laid out as `whole`. */
export interface StoredMatrix {
  readonly panels: StoredPanels;
  readonly whole: PanelLayout;
}

/** A function that copies a range of rows, which starts with a whole panel, to a matrix of layout `part` at `base`. */
export function storedWriter(device: Device, written: (bytes: number) => Promise<void>) {
  let piece = new Uint8Array(0);

  async function copy(panels: StoredPanels, from: number, bytes: number, buffer: Buffer, to: number): Promise<void> {
    if (piece.length < Math.min(PIECE, bytes)) piece = new Uint8Array(Math.min(PIECE, bytes));
    for (let done = 0; done < bytes; done += piece.length) {
      const now = piece.subarray(0, Math.min(piece.length, bytes - done));
      await panels.read(from + done, now);
      device.check(); // it may have been closed while the file was read
      device.gpu.queue.writeBuffer(buffer.gpu, to + done, now);
      await written(now.length);
    }
  }

  return async (
    { panels, whole }: StoredMatrix,
    range: PartRange,
    part: PanelLayout,
    buffer: Buffer,
    base: number,
  ): Promise<void> => {
    const rows = Math.ceil(range.rows / PANEL_ROWS) * PANEL_ROWS;
    for (const [p, { offset, rowBytes }] of whole.planes.entries())
      await copy(panels, offset + range.row * rowBytes, rows * rowBytes, buffer, base + part.planes[p]!.offset);
  };
}
