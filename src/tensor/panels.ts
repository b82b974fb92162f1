// Weaves rows into panels of eight and back: element j of row r of a plane is at [r /
// 8][j][r mod 8].
//
// A vector of four lanes then holds one element of each of four rows, so that a row's sum stays in
// its lane. This is the definition of the layout; kernels/weave.simd.ts does the same on threads.

import { type Format, PANEL_ROWS, type PanelLayout } from "./format.ts";

/** The planes of a packed matrix whose bytes are `bytes`. */
export function planesOf(layout: PanelLayout, bytes: Uint8Array): Uint8Array[] {
  return layout.planes.map(({ offset, rowBytes }) => bytes.subarray(offset, offset + layout.rows * rowBytes));
}

/** The panels of rows [row, row + count) of a matrix; `row` begins a panel. */
export function rowsOfPanels(
  planes: PanelLayout["planes"],
  panels: readonly Uint8Array[],
  row: number,
  count: number,
): Uint8Array[] {
  const whole = Math.ceil(count / PANEL_ROWS) * PANEL_ROWS;
  return planes.map(({ rowBytes }, p) => panels[p]!.subarray(row * rowBytes, (row + whole) * rowBytes));
}

/**
 * Row r of `count` row-major rows becomes row `first + step * r` of the panels: step 2 and
 * first 0 or 1 make alternate rows of two matrices. Other rows of the panels do not change;
 * zeros are zero weights.
 */
export function weave(
  { planes }: Format,
  rows: readonly Uint8Array[],
  count: number,
  first: number,
  step: number,
  panels: readonly Uint8Array[],
): void {
  for (const [p, { element }] of planes.entries()) {
    const from = elements(rows[p]!, element);
    const into = elements(panels[p]!, element);
    const W = from.length / count;
    for (let r = 0; r < count; r++) {
      const at = lane(first + step * r, W);
      for (let j = 0; j < W; j++) into[at + j * PANEL_ROWS] = from[r * W + j]!;
    }
  }
}

/** The way back: row `first + step * r` of the panels becomes row r of `count` row-major rows. */
export function unweave(
  { planes }: Format,
  panels: readonly Uint8Array[],
  first: number,
  step: number,
  count: number,
  rows: readonly Uint8Array[],
): void {
  for (const [p, { element }] of planes.entries()) {
    const from = elements(panels[p]!, element);
    const into = elements(rows[p]!, element);
    const W = into.length / count;
    for (let r = 0; r < count; r++) {
      const at = lane(first + step * r, W);
      for (let j = 0; j < W; j++) into[r * W + j] = from[at + j * PANEL_ROWS]!;
    }
  }
}

/** Where a row's first element is, W elements a row. */
function lane(row: number, W: number): number {
  return Math.floor(row / PANEL_ROWS) * W * PANEL_ROWS + (row % PANEL_ROWS);
}

function elements(bytes: Uint8Array, element: 2 | 4): Uint16Array | Uint32Array {
  const { buffer, byteOffset, length } = bytes;
  return element === 4
    ? new Uint32Array(buffer, byteOffset, length / 4)
    : new Uint16Array(buffer, byteOffset, length / 2);
}
