// The check that weights are finite numbers.

import { WeightsError } from "../errors.ts";

/** Where elements lie, for the message. */
export interface Place {
  /** File and tensor. */
  readonly where: string;
  readonly shape: readonly number[];
  /** The byte of an element of the tensor. */
  byteOf(index: number): number;
}

/**
 * Checks elements `index ..` of a tensor.
 * @throws WeightsError naming the first NaN or infinity and its place
 */
export function checkFinite(x: Float32Array, index: number, { where, shape, byteOf }: Place): void {
  const bad = firstNonFinite(x);
  if (bad === -1) return;
  const at: number[] = [];
  let rest = index + bad;
  for (const size of shape.toReversed()) {
    at.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  throw new WeightsError(
    `${where} holds ${x[bad]} at [${at.join(", ")}] (byte ${byteOf(index + bad)}); every weight must be finite: the file is damaged or of a failed training`,
  );
}

/** Index of the first NaN or infinity, or -1. */
function firstNonFinite(x: Float32Array): number {
  // Only an exponent of all ones carries into the sign bit here; branch-free, so it
  // costs almost nothing.
  const bits = new Int32Array(x.buffer, x.byteOffset, x.length);
  let carry = 0;
  for (let i = 0; i < bits.length; i++) carry |= (bits[i]! & 0x7f800000) + 0x00800000;
  return carry >= 0 ? -1 : x.findIndex((value) => !Number.isFinite(value));
}
