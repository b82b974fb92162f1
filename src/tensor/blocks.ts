// Weights as kernels take them: a packed matrix whose rows lie in blocks of eight (kernels/interleave.ts), and an expert as
// one record of two such matrices. The same bytes lie in files, in RAM and on a GPU: nothing is reshuffled on the way.

import { type PackedLayout, packedLayout } from "./pack.ts";
import type { Precision } from "./types.ts";

/** Rows that lie side by side. */
export const BLOCK_ROWS = 8;
/** Records start at multiples of a page, in files and in memory. */
export const RECORD_ALIGN = 4096;
/** The two matrices of a record start at multiples of this. */
const MATRIX_ALIGN = 64;

/** The layout of a matrix in blocks of eight rows: that of as many whole blocks as its rows need. */
export function blockLayout(precision: Precision, rows: number, cols: number): PackedLayout {
  return packedLayout(precision, Math.ceil(rows / BLOCK_ROWS) * BLOCK_ROWS, cols);
}

/** What all experts of a model have in common. */
export interface ExpertShape {
  readonly count: number; // E
  readonly hidden: number; // D
  readonly intermediate: number; // F
  readonly precision: Precision;
}

/** Where the parts of an expert's record lie, in bytes. */
export interface RecordLayout {
  /** [2F, D] at 0: rows w1_0, w3_0, w1_1, w3_1, ... */
  readonly up: PackedLayout;
  /** [D, F] at `downOffset`: w2. */
  readonly down: PackedLayout;
  readonly downOffset: number;
  /** Whole pages. */
  readonly bytes: number;
}

export function recordLayout({ hidden, intermediate, precision }: Omit<ExpertShape, "count">): RecordLayout {
  const up = blockLayout(precision, 2 * intermediate, hidden);
  const down = blockLayout(precision, hidden, intermediate);
  const downOffset = Math.ceil(up.bytes / MATRIX_ALIGN) * MATRIX_ALIGN;
  return { up, down, downOffset, bytes: Math.ceil((downOffset + down.bytes) / RECORD_ALIGN) * RECORD_ALIGN };
}
