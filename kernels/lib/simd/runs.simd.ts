// What kernels that go through a sequence's rows in order share: where a run is in their table, and
// four values or one.

/** Bytes of a run in the table: its first row, its rows, its state's address, whether it is new. */
// @ts-ignore: decorator
@inline export const RUN: usize = 16;

/** Four values, or one in the first lane. */
// @ts-ignore: decorator
@inline export function read(four: bool, p: usize): v128 {
  return four ? v128.load(p) : v128.load32_zero(p);
}

/** All four, or the first lane. */
// @ts-ignore: decorator
@inline export function write(four: bool, p: usize, v: v128): void {
  if (four) v128.store(p, v);
  else v128.store32_lane(p, v, 0);
}
