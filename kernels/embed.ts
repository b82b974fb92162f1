// y[t] = table[tokens[t]]: rows of the embedding table.

import { type Packed, unpackRow } from "./packed.ts";
import type { Scratch } from "./scratch.ts";

/** Rows [from, to) of y [T, D]; every token id is below the table's rows. */
export function embed(
  tokens: Uint32Array,
  table: Packed,
  y: Float32Array,
  from: number,
  to: number,
  scratch: Scratch,
): void {
  const D = table.layout.cols;
  const row = scratch.floats("row", table.stride);
  for (let t = from; t < to; t++) {
    unpackRow(table, tokens[t]!, row, 0);
    y.set(row.subarray(0, D), t * D);
  }
}
