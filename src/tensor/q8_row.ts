// The size of a head's key or value as int8 (kernels/append_q8.ts).

/** Bytes of a row: whole groups of 32 levels, then a magnitude of two bytes each, in eights. */
export function q8RowBytes(headDim: number): number {
  const groups = Math.ceil(headDim / 32);
  return 32 * groups + 8 * Math.ceil(groups / 4);
}
