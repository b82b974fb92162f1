// Matrices that are stored in blocks of eight rows (blocks.ts), as sources: the blocks themselves, and row by row for those
// who do not take them as they are.

import { BLOCK_ROWS, blockLayout, type ExpertShape, recordLayout } from "./blocks.ts";
import { type PackedLayout, packedLayout, unpackRows } from "./pack.ts";
import type { ExpertSource, MatrixSource, StoredBlocks } from "./types.ts";

/** Of quants read at once on the way to single rows. */
const PIECE_BYTES = 4 * 2 ** 20;

/** What the words of a plane of quants are stored xor: q8 lies as unsigned bytes plus 128, as the kernels have it. */
export function flipOf(precision: StoredBlocks["precision"]): number {
  return precision === "q8" ? 0x80808080 : 0;
}

/** Part of what is stored, from byte `offset` on. */
export function storedPart(stored: StoredBlocks, offset: number, bytes: number): StoredBlocks {
  return {
    precision: stored.precision,
    bytes,
    read: (at, into, signal, bypass) => stored.read(offset + at, into, signal, bypass),
  };
}

/** A matrix [rows, cols] whose bytes, blockLayout(), are `blocks`. */
export function storedMatrix(name: string, rows: number, cols: number, blocks: StoredBlocks): MatrixSource {
  return { ...rowsOf(name, rows, blocks, blockLayout(blocks.precision, rows, cols), 0, 1), blocks };
}

/** An expert whose bytes, recordLayout(), are `record`. */
export function storedExpert(name: string, shape: Omit<ExpertShape, "count">, record: StoredBlocks): ExpertSource {
  const { up, down, downOffset } = recordLayout(shape);
  const upper = storedPart(record, 0, up.bytes);
  return {
    w1: rowsOf(`${name} (w1)`, shape.intermediate, upper, up, 0, 2),
    w3: rowsOf(`${name} (w3)`, shape.intermediate, upper, up, 1, 2),
    w2: rowsOf(`${name} (w2)`, shape.hidden, storedPart(record, downOffset, down.bytes), down, 0, 1),
    record,
  };
}

/** Row i of the source is row `offset + step * i` of the blocks. */
function rowsOf(
  name: string,
  rows: number,
  stored: StoredBlocks,
  layout: PackedLayout,
  offset: number,
  step: number,
): MatrixSource {
  const { precision, cols, groups, rowBytes, scaleOffset, bytes } = layout;
  const W = rowBytes / 4;
  const scaled = bytes > scaleOffset ? groups : 0; // scales a row
  const flip = flipOf(precision);
  const most = Math.max(1, Math.floor(PIECE_BYTES / (BLOCK_ROWS * rowBytes)));

  async function readPacked(
    wanted: typeof precision,
    first: number,
    count: number,
    quants: Uint8Array,
    scales: Uint16Array,
  ): Promise<boolean> {
    if (wanted !== precision) return false;
    if (first < 0 || count < 0 || first + count > rows)
      throw new RangeError(`rows ${first} to ${first + count} of ${rows} of ${name}`);
    const out = new Uint32Array(quants.buffer, quants.byteOffset, count * W);
    const start = offset + step * first;
    const end = start + step * count;
    const last = Math.ceil(end / BLOCK_ROWS);
    for (let block = Math.floor(start / BLOCK_ROWS); block < last; block += most) {
      const blocks = Math.min(most, last - block, layout.rows / BLOCK_ROWS - block);
      const words = new Uint32Array(blocks * BLOCK_ROWS * W);
      const halves = new Uint16Array(blocks * BLOCK_ROWS * scaled);
      await stored.read(block * BLOCK_ROWS * rowBytes, new Uint8Array(words.buffer));
      if (scaled > 0) await stored.read(scaleOffset + 2 * block * BLOCK_ROWS * scaled, new Uint8Array(halves.buffer));
      for (let r = 0; r < blocks * BLOCK_ROWS; r++) {
        const row = block * BLOCK_ROWS + r;
        if (row < start || row >= end || (row - start) % step !== 0) continue;
        const i = (row - start) / step;
        const from = Math.floor(r / BLOCK_ROWS);
        const lane = r % BLOCK_ROWS;
        for (let j = 0; j < W; j++) out[i * W + j] = words[(from * W + j) * BLOCK_ROWS + lane]! ^ flip;
        for (let g = 0; g < scaled; g++) scales[i * scaled + g] = halves[(from * scaled + g) * BLOCK_ROWS + lane]!;
      }
    }
    return true;
  }

  return {
    name,
    rows,
    cols,
    readPacked,
    async readRows(first, count, into) {
      const packed = packedLayout(precision, count, cols);
      const block = new Uint8Array(packed.bytes);
      const scales = new Uint16Array(block.buffer, packed.scaleOffset, count * scaled);
      await readPacked(precision, first, count, block.subarray(0, packed.scaleOffset), scales);
      unpackRows(block, packed, 0, count, into);
    },
  };
}
