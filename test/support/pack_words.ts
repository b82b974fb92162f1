// Published layouts of 4-bit matrices, packed from levels by their definitions: one weight after
// the other, with nothing of the reader's.

import type { TensorSpec } from "../weights/memory_files.ts";

/** A matrix w[o, i] = s[o, g] (q[o, i] - z[o, g]), g = group[i]. */
export interface Affine {
  readonly rows: number;
  readonly cols: number;
  readonly groups: number;
  /** [rows, cols], 0..15 */
  readonly q: Uint8Array;
  /** [rows, groups], 0..15 */
  readonly z: Uint8Array;
  /** [rows, groups], f16 bits */
  readonly s: Uint16Array;
  /** [cols] */
  readonly group: Int32Array;
}

type Tensors = Record<string, TensorSpec>;

/** Words of eight nibbles: nibble `n(i)` of word `at(o, i)` is value(o, i). */
function words(
  size: number,
  rows: number,
  cols: number,
  place: (r: number, c: number) => [at: number, nibble: number, value: number],
) {
  const data = new Uint32Array(size);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < cols; c++) {
      const [at, nibble, value] = place(r, c);
      data[at]! |= (value & 15) << (4 * nibble);
    }
  return data;
}

/** [rows, groups] to [groups, rows]. */
function across(from: Uint16Array, rows: number, groups: number): Uint16Array {
  return Uint16Array.from(from, (_, i) => from[(i % rows) * groups + Math.floor(i / rows)]!);
}

export function packAwq({ rows, cols, groups, q, z, s }: Affine): Tensors {
  const order = [0, 4, 1, 5, 2, 6, 3, 7];
  const eighths = rows / 8;
  return {
    qweight: {
      dtype: "I32",
      shape: [cols, eighths],
      data: words(cols * eighths, rows, cols, (r, c) => [c * eighths + (r >> 3), order[r % 8]!, q[r * cols + c]!]),
    },
    qzeros: {
      dtype: "I32",
      shape: [groups, eighths],
      data: words(groups * eighths, rows, groups, (r, g) => [
        g * eighths + (r >> 3),
        order[r % 8]!,
        z[r * groups + g]!,
      ]),
    },
    scales: { dtype: "F16", shape: [groups, rows], data: across(s, rows, groups) },
  };
}

export function packGptq({ rows, cols, groups, q, z, s, group }: Affine, version: 1 | 2 = 1): Tensors {
  return {
    qweight: {
      dtype: "I32",
      shape: [cols / 8, rows],
      data: words((cols / 8) * rows, rows, cols, (r, c) => [(c >> 3) * rows + r, c % 8, q[r * cols + c]!]),
    },
    qzeros: {
      dtype: "I32",
      shape: [groups, rows / 8],
      data: words((groups * rows) / 8, rows, groups, (r, g) => [
        (g * rows + r) >> 3,
        r % 8,
        z[r * groups + g]! - (version === 1 ? 1 : 0),
      ]),
    },
    scales: { dtype: "F16", shape: [groups, rows], data: across(s, rows, groups) },
    g_idx: { dtype: "I32", shape: [cols], data: group },
  };
}

export function packCompressed(
  { rows, cols, groups, q, z, s, group }: Affine,
  has: { zeros?: boolean; index?: boolean },
): Tensors {
  return {
    weight_packed: {
      dtype: "I32",
      shape: [rows, cols / 8],
      data: words((cols / 8) * rows, rows, cols, (r, c) => [r * (cols / 8) + (c >> 3), c % 8, q[r * cols + c]!]),
    },
    weight_scale: { dtype: "F16", shape: [rows, groups], data: s },
    weight_shape: { dtype: "I64", shape: [2], data: BigInt64Array.of(BigInt(rows), BigInt(cols)) },
    ...(has.zeros && {
      weight_zero_point: {
        dtype: "I32",
        shape: [rows / 8, groups],
        data: words((rows / 8) * groups, rows, groups, (r, g) => [(r >> 3) * groups + g, r % 8, z[r * groups + g]!]),
      },
    }),
    ...(has.index && { weight_g_idx: { dtype: "I32", shape: [cols], data: group } }),
  };
}
