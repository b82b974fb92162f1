// Packs sources into one piece of memory a matrix.

import { type Packed, packedMatrix } from "../../../../kernels/packed.ts";
import { MemoryError } from "../../../errors.ts";
import type { Format } from "../../../tensor/format.ts";
import { expertPanels, loadPanels, type PanelSource, type PanelWork } from "../../../tensor/load.ts";
import { rowsOfPanels } from "../../../tensor/panels.ts";
import type { ExpertSource } from "../../../tensor/types.ts";

/** @throws WeightsError from the source; MemoryError if the allocation fails */
export async function loadPacked(source: PanelSource, work: PanelWork): Promise<Packed> {
  const { layout, rows, alternate } = source;
  const packed = packedMatrix(layout, rows, allocate(alternate.map(({ name }) => name).join(" and "), layout.bytes));
  await loadPanels(source, work, { planes: (row, count) => rowsOfPanels(layout.planes, packed.planes, row, count) });
  return packed;
}

/**
 * The matrices of an expert: w13 [2F, D], rows of w1 and w3 in turn; w2 [D, F]. @throws as above
 */
export async function loadExpert(source: ExpertSource, up: Format, down: Format, work: PanelWork) {
  const panels = expertPanels(source, up, down);
  const [w13, w2] = [await loadPacked(panels.up, work), await loadPacked(panels.down, work)];
  return { w13, w2, bytes: w13.layout.bytes + w2.layout.bytes };
}

function allocate(name: string, bytes: number): Uint8Array {
  try {
    return new Uint8Array(bytes);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new MemoryError(`${name}: ${bytes} bytes could not be allocated; free memory or choose a smaller precision`);
  }
}
