// Reads a source's rows in bounded pieces and packs them into one block of memory a matrix.

import { type Packed, packedViews } from "../../../../kernels/packed.ts";
import { MemoryError } from "../../../errors.ts";
import { packedLayout, packRows } from "../../../tensor/pack.ts";
import type { MatrixSource, Precision } from "../../../tensor/types.ts";

const PIECE_BYTES = 16 * 2 ** 20; // of f32 rows, the most that is held beside the packed block

/** One source as a packed matrix. */
export async function loadPacked(source: MatrixSource, precision: Precision): Promise<Packed> {
  const block = allocate(source.name, precision, source.rows, source.cols);
  await fill(block, source, 0, 1);
  return block;
}

/** Two sources of the same shape as one matrix: row 2i is row i of `even`, row 2i + 1 is row i of `odd`. */
export async function loadInterleaved(even: MatrixSource, odd: MatrixSource, precision: Precision): Promise<Packed> {
  const block = allocate(`${even.name} and ${odd.name}`, precision, 2 * even.rows, even.cols);
  await fill(block, even, 0, 2);
  await fill(block, odd, 1, 2);
  return block;
}

/** @throws MemoryError where the platform refuses the memory */
function allocate(name: string, precision: Precision, rows: number, cols: number): Packed {
  const layout = packedLayout(precision, rows, cols);
  try {
    return packedViews(new ArrayBuffer(layout.bytes), layout);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new MemoryError(
      `${name}: ${layout.bytes} bytes for [${rows}, ${cols}] in ${precision} could not be allocated; free memory or choose a smaller precision`,
    );
  }
}

/** Row i of the source becomes row first + step * i of the block. */
async function fill(block: Packed, source: MatrixSource, first: number, step: 1 | 2): Promise<void> {
  const { layout, scales } = block;
  const { precision, rowBytes, groups } = layout;
  const quants = new Uint8Array(block.bytes.buffer, 0, layout.scaleOffset);
  const scaleWidth = scales.length === 0 ? 0 : groups;
  const piece = Math.max(1, Math.min(source.rows, Math.floor(PIECE_BYTES / (4 * source.cols))));
  // Rows that lie apart are packed together here and then spread.
  const apart = step > 1;
  const staged = {
    quants: new Uint8Array(apart ? piece * rowBytes : 0),
    scales: new Uint16Array(apart ? piece * scaleWidth : 0),
  };
  let rows = new Float32Array(0);
  for (let from = 0; from < source.rows; from += piece) {
    const count = Math.min(piece, source.rows - from);
    const out = apart
      ? { quants: staged.quants.subarray(0, count * rowBytes), scales: staged.scales.subarray(0, count * scaleWidth) }
      : {
          quants: quants.subarray(from * rowBytes, (from + count) * rowBytes),
          scales: scales.subarray(from * scaleWidth, (from + count) * scaleWidth),
        };
    if (!(await source.readPacked?.(precision, from, count, out.quants, out.scales))) {
      if (rows.length === 0) rows = new Float32Array(piece * source.cols);
      const own = rows.subarray(0, count * source.cols);
      await source.readRows(from, count, own);
      packRows(precision, own, count, source.cols, out);
    }
    if (!apart) continue;
    for (let i = 0; i < count; i++) {
      const row = first + step * (from + i);
      quants.set(out.quants.subarray(i * rowBytes, (i + 1) * rowBytes), row * rowBytes);
      scales.set(out.scales.subarray(i * scaleWidth, (i + 1) * scaleWidth), row * scaleWidth);
    }
  }
}
