// How much an invocation of the matrix-vector kernels has in hand at once
// (kernels/lib/matrix/matvec.wgsl).

import { type Format, PANEL_ROWS, panelLayout } from "../../../tensor/format.ts";

/** What follows from the kind of device. */
interface Registers {
  /** The adapter is computed on the CPU. */
  readonly software: boolean;
  /** An invocation has room for some 64 floats, and not for hundreds. */
  readonly fewRegisters?: boolean;
}

/**
 * Of how many places an invocation asks for columns: two on GPUs, but for formats of more than 16
 * bits, a unit of which takes half of its registers, and on GPUs of few: what they do not hold goes
 * to memory and back, and a GPU of 100 GB/s is busy with one unit an invocation.
 */
export function placesFor(format: Format, { software, fewRegisters = false }: Registers): 1 | 2 {
  const bits = panelLayout(format, PANEL_ROWS, 256).bytes / 256;
  return software || fewRegisters || bits > 16 ? 1 : 2;
}
