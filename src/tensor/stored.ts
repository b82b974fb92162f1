// Sources of matrices that are stored in panels: the panels themselves, or single rows
// for other callers.

import {
  type Format,
  PANEL_ROWS,
  type PanelLayout,
  panelLayout,
  rowPlanes,
  rowsOfPlanes,
  unpackRows,
} from "./format.ts";
import { unweave } from "./panels.ts";
import { type ExpertShape, recordLayout } from "./record.ts";
import type { ExpertSource, MatrixSource, StoredBytes, StoredPanels, StoredRecord } from "./types.ts";

/** The most bytes of panels to read at once for single rows. */
const PIECE_BYTES = 4 * 2 ** 20;

/** A stored matrix, from byte `offset` on. */
export function storedPart(stored: StoredBytes, { format, bytes }: PanelLayout, offset: number): StoredPanels {
  return {
    format,
    bytes,
    read: (at, into, signal, bypass) => stored.read(offset + at, into, signal, bypass),
  };
}

/** A matrix [rows, cols] whose bytes, panelLayout(), are `panels`. */
export function storedMatrix(name: string, rows: number, cols: number, panels: StoredPanels): MatrixSource {
  return { ...rowsOf(name, rows, panels, panelLayout(panels.format, rows, cols), 0, 1), panels };
}

/** An expert whose bytes, recordLayout(), are `record`. */
export function storedExpert(
  name: string,
  { hidden, intermediate }: Pick<ExpertShape, "hidden" | "intermediate">,
  record: StoredRecord,
): ExpertSource {
  const { up, down, downOffset } = recordLayout({ hidden, intermediate, up: record.up, down: record.down });
  const upper = storedPart(record, up, 0);
  return {
    w1: rowsOf(`${name} (w1)`, intermediate, upper, up, 0, 2),
    w3: rowsOf(`${name} (w3)`, intermediate, upper, up, 1, 2),
    w2: rowsOf(`${name} (w2)`, hidden, storedPart(record, down, downOffset), down, 0, 1),
    record,
  };
}

/** Row i of the source is row `offset + step * i` of the panels. */
function rowsOf(
  name: string,
  rows: number,
  stored: StoredPanels,
  layout: PanelLayout,
  offset: number,
  step: number,
): MatrixSource {
  const { format, cols, planes } = layout;
  const largest = Math.max(...planes.map(({ rowBytes }) => rowBytes));
  const most = Math.max(1, Math.floor(PIECE_BYTES / (PANEL_ROWS * largest)));

  async function readPlanes(wanted: Format, first: number, count: number, out: readonly Uint8Array[]) {
    if (wanted !== format) return false;
    if (first < 0 || count < 0 || first + count > rows)
      throw new RangeError(`rows ${first} to ${first + count} of ${rows} of ${name}`);
    const start = offset + step * first;
    const end = start + step * count;
    const last = Math.ceil(end / PANEL_ROWS);
    for (let panel = Math.floor(start / PANEL_ROWS); panel < last; panel += most) {
      const base = panel * PANEL_ROWS;
      const held = Math.min(most, last - panel, layout.rows / PANEL_ROWS - panel) * PANEL_ROWS;
      const read = planes.map(({ rowBytes }) => new Uint8Array(held * rowBytes));
      for (const [p, { offset, rowBytes }] of planes.entries()) await stored.read(offset + base * rowBytes, read[p]!);
      // The first and the last row of the source in these panels.
      const from = Math.max(0, Math.ceil((base - start) / step));
      const to = Math.min(count, Math.ceil((base + held - start) / step));
      if (from < to)
        unweave(format, read, start + step * from - base, step, to - from, rowsOfPlanes(out, count, from, to - from));
    }
    return true;
  }

  return {
    name,
    rows,
    cols,
    format,
    readPlanes,
    async readRows(first, count, into) {
      const out = rowPlanes(format, count, cols);
      await readPlanes(format, first, count, out);
      unpackRows(format, out, count, cols, into);
    },
  };
}
