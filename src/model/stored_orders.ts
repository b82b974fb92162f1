// Orders of inputs in packed folders: tensors of u32, read when the first of a tensor is asked for.

import type { MatrixSource } from "../tensor/types.ts";
import type { CheckedTake } from "./checked_take.ts";
import { inReadOrder, readOrders } from "./input_order.ts";

/** Reads one of a tensor's orders; null: there are none. */
export type Orders = ((i: number) => Promise<Uint32Array>) | null;

/** Reads `count` orders of `cols` inputs, once; null: they come as they are. */
export function storedOrders(take: CheckedTake, name: string, count: number, cols: number): Orders {
  if (!take.has(name)) return null;
  const stored = take.bytes(name, 4 * count * cols);
  let lists: Promise<Uint32Array> | null = null;
  return async (i) => {
    lists ??= readOrders(name, stored, cols);
    return (await lists).subarray(i * cols, (i + 1) * cols);
  };
}

/** The matrix, whose inputs come in the ith of these orders. */
export function inOrder(matrix: MatrixSource, orders: Orders, i = 0): MatrixSource {
  return orders ? inReadOrder(matrix, () => orders(i)) : matrix;
}
