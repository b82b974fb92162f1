// The angles of RoPE of a step.

import { ropeTable } from "../../../kernels/rope.ts";
import type { Batch } from "../ops.ts";
import { frequenciesOf, type Rope } from "../rope.ts";

/** ropeTable() of the batch's tokens: [T, 2, rd/2]. */
export function angleTable(rope: Rope, batch: Batch, into: Float32Array): void {
  const { positions } = batch;
  const row = 2 * rope.inverse.length;
  if (!rope.lengths) ropeTable(positions, rope, into);
  else
    for (let t = 0; t < positions.length; t++)
      ropeTable(positions.subarray(t, t + 1), frequenciesOf(rope, batch, t), into.subarray(t * row, (t + 1) * row));
}
