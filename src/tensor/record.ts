// An expert's record: two packed matrices in one piece. Files, RAM and a GPU hold the same bytes,
// so a record is only copied.

import { type Format, type PanelLayout, panelLayout } from "./format.ts";

/** Records start at multiples of a page, in files and in memory. */
export const RECORD_ALIGN = 4096;
/** The two matrices of a record start at multiples of this. */
const MATRIX_ALIGN = 64;

/** The shape of all experts of a layer. */
export interface ExpertShape {
  readonly count: number; // E
  readonly hidden: number; // D
  readonly intermediate: number; // F
  /** Format of w1 and w3, and of w2. */
  readonly up: Format;
  readonly down: Format;
}

/** The layout of an expert's record, in bytes. */
export interface RecordLayout {
  /** [2F, D] at 0: rows w1_0, w3_0, w1_1, w3_1, ... */
  readonly up: PanelLayout;
  /** [D, F] at `downOffset`: w2. */
  readonly down: PanelLayout;
  readonly downOffset: number;
  /** Whole pages. */
  readonly bytes: number;
}

export function recordLayout({ hidden, intermediate, ...formats }: Omit<ExpertShape, "count">): RecordLayout {
  const up = panelLayout(formats.up, 2 * intermediate, hidden);
  const down = panelLayout(formats.down, hidden, intermediate);
  const downOffset = Math.ceil(up.bytes / MATRIX_ALIGN) * MATRIX_ALIGN;
  return { up, down, downOffset, bytes: Math.ceil((downOffset + down.bytes) / RECORD_ALIGN) * RECORD_ALIGN };
}
