// The numbers that GGUF files use for kinds of values and for types of tensors.

import { FORMATS } from "../../../kernels/formats/index.ts";
import { type GgmlType as BlockType, type Format, ggmlTypes } from "../../tensor/format.ts";

/** Kinds of metadata values, at their numbers. */
export const VALUE_KINDS = [
  "u8",
  "i8",
  "u16",
  "i16",
  "u32",
  "i32",
  "f32",
  "bool",
  "string",
  "array",
  "u64",
  "i64",
  "f64",
] as const;
export type ValueKind = (typeof VALUE_KINDS)[number];

/** Bytes of a value, or the least that one takes. */
export const VALUE_BYTES: Readonly<Record<ValueKind, number>> = {
  u8: 1,
  i8: 1,
  u16: 2,
  i16: 2,
  u32: 4,
  i32: 4,
  f32: 4,
  bool: 1,
  string: 8,
  array: 12,
  u64: 8,
  i64: 8,
  f64: 8,
};

/** A type of tensors: rows are blocks of `elements` weights in `bytes` bytes. */
export interface GgmlType {
  readonly id: number;
  /** As llama.cpp spells it, for example "Q4_K". */
  readonly name: string;
  readonly elements: number;
  readonly bytes: number;
  /** The format that computes with it; null if there is none. */
  readonly format: Format | null;
  /** What that says of the type's blocks. */
  readonly blocks: BlockType | null;
}

/** [id, name, elements, bytes] of every type that ggml gives a size. */
const SIZES: readonly (readonly [number, string, number, number])[] = [
  [0, "F32", 1, 4],
  [1, "F16", 1, 2],
  [2, "Q4_0", 32, 18],
  [3, "Q4_1", 32, 20],
  [6, "Q5_0", 32, 22],
  [7, "Q5_1", 32, 24],
  [8, "Q8_0", 32, 34],
  [9, "Q8_1", 32, 36],
  [10, "Q2_K", 256, 84],
  [11, "Q3_K", 256, 110],
  [12, "Q4_K", 256, 144],
  [13, "Q5_K", 256, 176],
  [14, "Q6_K", 256, 210],
  [15, "Q8_K", 256, 292],
  [16, "IQ2_XXS", 256, 66],
  [17, "IQ2_XS", 256, 74],
  [18, "IQ3_XXS", 256, 98],
  [19, "IQ1_S", 256, 50],
  [20, "IQ4_NL", 32, 18],
  [21, "IQ3_S", 256, 110],
  [22, "IQ2_S", 256, 82],
  [23, "IQ4_XS", 256, 136],
  [24, "I8", 1, 1],
  [25, "I16", 1, 2],
  [26, "I32", 1, 4],
  [27, "I64", 1, 8],
  [28, "F64", 1, 8],
  [29, "IQ1_M", 256, 56],
  [30, "BF16", 1, 2],
  [34, "TQ1_0", 256, 54],
  [35, "TQ2_0", 256, 66],
  [39, "MXFP4", 32, 17],
  [40, "NVFP4", 64, 36],
  [41, "Q1_0", 128, 18],
  [42, "Q2_0", 64, 18],
];

/** Types that ggml had once. Their files must be made again. */
export const RETIRED_TYPES: ReadonlyMap<number, string> = new Map([
  [4, "Q4_2"],
  [5, "Q4_3"],
  [31, "Q4_0_4_4"],
  [32, "Q4_0_4_8"],
  [33, "Q4_0_8_8"],
  [36, "IQ4_NL_4_4"],
  [37, "IQ4_NL_4_8"],
  [38, "IQ4_NL_8_8"],
]);

const COMPUTED = new Map(
  Object.values<Format>(FORMATS).flatMap((format) =>
    ggmlTypes(format).map((blocks) => [blocks.type, { format, blocks }] as const),
  ),
);

/** By id. */
export const GGML_TYPES: ReadonlyMap<number, GgmlType> = new Map(
  SIZES.map(([id, name, elements, bytes]) => [
    id,
    { id, name, elements, bytes, ...(COMPUTED.get(id) ?? { format: null, blocks: null }) },
  ]),
);

/** Whether blocks may hold a weight that is not finite. Never false if they do. */
export function mayOverflow({ bytes, blocks: type }: GgmlType, blocks: Uint8Array): boolean {
  const exponents = type?.exponents ?? [];
  // Only bits that are all set carry; branch-free, so it costs almost nothing.
  for (const [first, bits] of exponents) {
    const lowest = bits & -bits;
    let sums = 0;
    let from = first;
    if (bytes <= 4 && blocks.byteOffset % 4 === 0) {
      // Blocks of a number are looked at in words of one or two.
      const spread = bytes === 2 ? 0x01000100 : 0x01000000;
      const words = new Int32Array(blocks.buffer, blocks.byteOffset, blocks.length >> 2);
      const [mask, carry] = [bits * spread, lowest * spread];
      for (let i = 0; i < words.length; i++) sums |= (words[i]! & mask) + carry;
      sums = (sums >>> 8) | (sums >>> 24);
      from += 4 * words.length;
    }
    for (let at = from; at < blocks.length; at += bytes) sums |= (blocks[at]! & bits) + lowest;
    if ((sums & (bits + lowest)) !== 0) return true;
  }
  return false;
}
