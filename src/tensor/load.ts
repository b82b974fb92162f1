// Loads a weights source into panels: reads rows in bounded pieces, packs and weaves them; stored
// panels are copied unchanged. Backends provide memory and arithmetic; this file knows no device
// and no thread.

import { WeightsError } from "../errors.ts";
import { type Format, PANEL_ROWS, type PanelLayout, packRows, panelLayout } from "./format.ts";
import { weave } from "./panels.ts";
import { recordLayout } from "./record.ts";
import { storedPart } from "./stored.ts";
import type { ExpertSource, MatrixSource, StoredPanels } from "./types.ts";

/** The most bytes of stored panels to read at once. */
const STORED_PIECE = 16 * 2 ** 20;

/** The sources of a packed matrix. */
export interface PanelSource {
  readonly layout: PanelLayout;
  /** Rows without padding. */
  readonly rows: number;
  /** Matrices of the same shape whose rows alternate: row i of n is row i / n of matrix i mod n. */
  readonly alternate: readonly MatrixSource[];
  /** The stored panels, if there are any. */
  readonly stored: StoredPanels | null;
}

/** A matrix in a format. */
export function matrixPanels(source: MatrixSource, format: Format): PanelSource {
  const { rows, cols, panels } = source;
  const stored = panels?.format === format ? panels : null;
  return { layout: panelLayout(format, rows, cols), rows, alternate: [source], stored };
}

/** The two matrices of an expert's record. */
export function expertPanels(
  source: ExpertSource,
  up: Format,
  down: Format,
): { readonly up: PanelSource; readonly down: PanelSource } {
  const { w1, w3, w2 } = source;
  const record = source.record?.up === up && source.record.down === down ? source.record : null;
  const layout = recordLayout({ hidden: w1.cols, intermediate: w1.rows, up, down });
  return {
    up: {
      layout: layout.up,
      rows: 2 * w1.rows,
      alternate: [w1, w3],
      stored: record && storedPart(record, layout.up, 0),
    },
    down: {
      layout: layout.down,
      rows: w2.rows,
      alternate: [w2],
      stored: record && storedPart(record, layout.down, layout.downOffset),
    },
  };
}

/** Memory and arithmetic to turn rows into panels. */
export interface PanelWork {
  /** The most bytes of f32 rows at once. */
  readonly pieceBytes: number;
  /** Memory aligned to 16 bytes; may be the same at every call with this name. */
  memory(name: string, bytes: number): Uint8Array;
  /** Like packRows() of format.ts. */
  pack(format: Format, x: Float32Array, count: number, cols: number, planes: readonly Uint8Array[]): void;
  /** Like weave() of panels.ts. */
  weave(
    format: Format,
    rows: readonly Uint8Array[],
    count: number,
    first: number,
    step: number,
    panels: readonly Uint8Array[],
  ): void;
}

/** PanelWork on plain arrays, which are reused. */
export function plainWork(pieceBytes = 16 * 2 ** 20): PanelWork {
  const kept = new Map<string, Uint8Array>();
  return {
    pieceBytes,
    memory(name, bytes) {
      const found = kept.get(name);
      if (found && found.length >= bytes) return found.subarray(0, bytes);
      const made = new Uint8Array(bytes);
      kept.set(name, made);
      return made;
    },
    pack: packRows,
    weave,
  };
}

/** The destination of panels. */
export interface PanelTarget {
  /** Memory for the panels of rows [row, row + count) with padding, one for each plane. */
  planes(row: number, count: number): readonly Uint8Array[];
  /** Called when the panels of these rows are complete. */
  done?(row: number, count: number, planes: readonly Uint8Array[]): Promise<void> | void;
}

/** Rows of a piece, whole panels of every matrix. */
export function pieceRows({ layout, alternate }: PanelSource, { pieceBytes }: PanelWork): number {
  return alternate.length * Math.max(1, Math.floor(pieceBytes / (4 * layout.cols * PANEL_ROWS))) * PANEL_ROWS;
}

/**
 * Makes the panels of rows [first, first + rows), where `first` is a multiple of 16, in pieces and
 * in order.
 * @throws WeightsError from the source, or if the rows cannot be packed to the format; the signal's
 * reason
 */
export async function loadPanels(
  source: PanelSource,
  work: PanelWork,
  target: PanelTarget,
  { first = 0, rows = source.rows - first, signal }: LoadRange = {},
): Promise<void> {
  const { layout, stored } = source;
  const largest = Math.max(...layout.planes.map(({ rowBytes }) => rowBytes));
  const piece = stored
    ? Math.max(1, Math.floor(STORED_PIECE / (largest * PANEL_ROWS))) * PANEL_ROWS
    : pieceRows(source, work);
  for (let row = first; row < first + rows; row += piece) {
    signal?.throwIfAborted();
    const count = Math.min(piece, first + rows - row);
    const planes = target.planes(row, count);
    if (stored)
      for (const [p, { offset, rowBytes }] of layout.planes.entries())
        await stored.read(offset + row * rowBytes, planes[p]!, signal);
    else await makePanels(source, work, row, count, planes);
    await target.done?.(row, count, planes);
  }
}

export interface LoadRange {
  readonly first?: number;
  readonly rows?: number;
  readonly signal?: AbortSignal | undefined;
}

async function makePanels(
  { layout, alternate }: PanelSource,
  work: PanelWork,
  row: number,
  count: number,
  panels: readonly Uint8Array[],
): Promise<void> {
  const { format, cols } = layout;
  const step = alternate.length;
  const n = count / step;
  // Rows of padding are zeros: weights without a scale.
  if (count % PANEL_ROWS !== 0)
    for (const [p, { rowBytes }] of layout.planes.entries())
      panels[p]!.fill(0, Math.floor(count / PANEL_ROWS) * PANEL_ROWS * rowBytes);
  for (const [side, source] of alternate.entries()) {
    const planes = layout.planes.map(({ rowBytes }, p) => work.memory(`packed rows ${p}`, n * rowBytes));
    if (!(await source.readPlanes?.(format, row / step, n, planes))) {
      if (!format.pack)
        throw new WeightsError(`${source.name} is not stored in ${format.name}, and nothing packs to it`);
      const { buffer, byteOffset } = work.memory("rows to pack", 4 * n * cols);
      const x = new Float32Array(buffer, byteOffset, n * cols);
      await source.readRows(row / step, n, x);
      work.pack(format, x, n, cols, planes);
    }
    work.weave(format, planes, n, side, step, panels);
  }
}
