// y[t] = table[tokens[t]]: rows of the embedding table.

import { type Packed, unpackRow } from "./packed.ts";

/** Rows [from, to) of y [T, D]; every token id is below the table's rows. */
export function embed(tokens: Uint32Array, table: Packed, y: Float32Array, from: number, to: number): void {
  const D = table.layout.cols;
  for (let t = from; t < to; t++) unpackRow(table, tokens[t]!, y.subarray(t * D, (t + 1) * D));
}
