// A packed matrix as the plain kernels see it, and its rows unpacked to f32.

import { type PanelLayout, rowPlanes } from "../src/tensor/format.ts";
import { planesOf, unweave } from "../src/tensor/panels.ts";

export interface Packed {
  readonly layout: PanelLayout;
  /** Rows without padding. */
  readonly rows: number;
  /** In panels: see src/tensor/panels.ts. */
  readonly planes: readonly Uint8Array[];
  /** Scratch for one row's planes. */
  readonly row: readonly Uint8Array[];
}

/** A matrix [rows, layout.cols] whose bytes are `bytes`. */
export function packedMatrix(layout: PanelLayout, rows: number, bytes: Uint8Array): Packed {
  return { layout, rows, planes: planesOf(layout, bytes), row: rowPlanes(layout.format, 1, layout.cols) };
}

/** Unpacks one row to `into` [cols]. */
export function unpackRow({ layout, planes, row }: Packed, index: number, into: Float32Array): void {
  unweave(layout.format, planes, index, 1, 1, row);
  layout.format.unpack(row, layout.cols, into);
}
