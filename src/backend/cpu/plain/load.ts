// Packs sources into one piece of memory a matrix.

import { type Packed, packedMatrix } from "../../../../kernels/packed.ts";
import { MemoryError } from "../../../errors.ts";
import { loadPanels, type PanelSource, type PanelWork } from "../../../tensor/load.ts";
import { rowsOfPanels } from "../../../tensor/panels.ts";

/** @throws WeightsError from the source; MemoryError if the allocation fails */
export async function loadPacked(source: PanelSource, work: PanelWork): Promise<Packed> {
  const { layout, rows, alternate } = source;
  const packed = packedMatrix(layout, rows, allocate(alternate.map(({ name }) => name).join(" and "), layout.bytes));
  await loadPanels(source, work, { planes: (row, count) => rowsOfPanels(layout.planes, packed.planes, row, count) });
  return packed;
}

function allocate(name: string, bytes: number): Uint8Array {
  try {
    return new Uint8Array(bytes);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new MemoryError(`${name}: ${bytes} bytes could not be allocated; free memory or choose a smaller precision`);
  }
}
