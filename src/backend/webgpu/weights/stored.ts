// Stored blocks on their way to the device: bytes are read in pieces and written as they are, without packing.

import { BLOCK_ROWS } from "../../../tensor/blocks.ts";
import type { PackedLayout } from "../../../tensor/pack.ts";
import type { StoredBlocks } from "../../../tensor/types.ts";
import type { Buffer, Device } from "../device/device.ts";
import type { PartRange } from "./weights.ts";

const PIECE = 16 * 2 ** 20;

/** A matrix of several that a binding holds: its stored bytes, laid out as `whole`. */
export interface StoredMatrix {
  readonly blocks: StoredBlocks;
  readonly whole: PackedLayout;
}

/** A function that copies a range of rows, which starts with a whole block, to a block of layout `part` at `base`. */
export function storedWriter(device: Device, written: (bytes: number) => Promise<void>) {
  let piece = new Uint8Array(0);

  async function copy(blocks: StoredBlocks, from: number, bytes: number, buffer: Buffer, to: number): Promise<void> {
    if (piece.length < Math.min(PIECE, bytes)) piece = new Uint8Array(Math.min(PIECE, bytes));
    for (let done = 0; done < bytes; done += piece.length) {
      const now = piece.subarray(0, Math.min(piece.length, bytes - done));
      await blocks.read(from + done, now);
      device.check(); // it may have been closed while the file was read
      device.gpu.queue.writeBuffer(buffer.gpu, to + done, now);
      await written(now.length);
    }
  }

  return async (
    { blocks, whole }: StoredMatrix,
    range: PartRange,
    part: PackedLayout,
    buffer: Buffer,
    base: number,
  ): Promise<void> => {
    const rows = Math.ceil(range.rows / BLOCK_ROWS) * BLOCK_ROWS;
    await copy(blocks, range.row * whole.rowBytes, rows * whole.rowBytes, buffer, base);
    if (part.bytes === part.scaleOffset) return;
    const scales = 2 * whole.groups; // bytes a row
    await copy(blocks, whole.scaleOffset + range.row * scales, rows * scales, buffer, base + part.scaleOffset);
  };
}
