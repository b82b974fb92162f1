// Products of heads, each of its own columns of the rows.

import { type HeadColumns, heads } from "../../../../kernels/heads.ts";
import type { Scratch } from "../../../../kernels/scratch.ts";
import type { Tensor } from "../../../tensor/types.ts";
import type { HeadMatrices } from "../../ops.ts";
import type { CpuTensor } from "./arena.ts";
import { type CpuHeads, floats, rowsOf } from "./values.ts";

type Columns = Omit<HeadColumns, "width">;

/** Each head's product, of columns of x's rows to columns of y's. */
export function headProducts(
  [x, own]: readonly [Tensor, Columns],
  w: HeadMatrices,
  [y, into]: readonly [CpuTensor & { data: Float32Array }, Columns],
  scratch: Scratch,
): void {
  const [from, to] = [x, y].map(({ shape }) => shape[1]!) as [number, number];
  const { packed } = w as CpuHeads;
  heads(floats(x), { ...own, width: from }, rowsOf(x), packed, y.data, { ...into, width: to }, 0, w.heads, scratch);
}
