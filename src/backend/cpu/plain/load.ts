// Reads sources in bounded pieces and packs them into one piece of memory a matrix.

import { type Packed, packedMatrix } from "../../../../kernels/packed.ts";
import { MemoryError, WeightsError } from "../../../errors.ts";
import { type Format, packRows, panelLayout, rowPlanes } from "../../../tensor/format.ts";
import { weave } from "../../../tensor/panels.ts";
import type { MatrixSource } from "../../../tensor/types.ts";

/** Bytes of f32 rows, the most that is held beside the packed matrix. */
const PIECE_BYTES = 16 * 2 ** 20;

/** Sources of the same shape as one packed matrix, whose rows alternate. @throws WeightsError, MemoryError */
export async function loadPacked(alternate: readonly MatrixSource[], format: Format): Promise<Packed> {
  const step = alternate.length;
  const { cols } = alternate[0]!;
  const rows = step * alternate[0]!.rows;
  const layout = panelLayout(format, rows, cols);
  const packed = packedMatrix(layout, rows, allocate(alternate.map(({ name }) => name).join(" and "), layout.bytes));
  for (const [first, source] of alternate.entries()) {
    const piece = Math.max(1, Math.min(source.rows, Math.floor(PIECE_BYTES / (4 * cols))));
    for (let from = 0; from < source.rows; from += piece) {
      const count = Math.min(piece, source.rows - from);
      weave(format, await readRows(source, format, from, count), count, first + step * from, step, packed.planes);
    }
  }
  return packed;
}

/** Rows of a source as planes, row-major. */
async function readRows(source: MatrixSource, format: Format, from: number, count: number): Promise<Uint8Array[]> {
  const planes = rowPlanes(format, count, source.cols);
  if (await source.readPlanes?.(format, from, count, planes)) return planes;
  if (!format.pack) throw new WeightsError(`${source.name}: is not stored in ${format.name}, and nothing packs to it`);
  const floats = new Float32Array(count * source.cols);
  await source.readRows(from, count, floats);
  packRows(format, floats, count, source.cols, planes);
  return planes;
}

function allocate(name: string, bytes: number): Uint8Array {
  try {
    return new Uint8Array(bytes);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new MemoryError(`${name}: ${bytes} bytes could not be allocated; free memory or choose a smaller precision`);
  }
}
