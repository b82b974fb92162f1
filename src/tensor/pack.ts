// Weights in memory: a matrix [rows, cols] as two planes, quants and then scales, in one block of bytes.
//
// Columns are padded with zeros to a multiple of 32 (one group), so that a row is a whole number of 16-byte loads:
//   f32  4 bytes a weight, no scales          f16  2 bytes a weight, no scales
//   q8   int8 quants q in -127..127 and an f16 scale s a group of 32: w = s q            (8.5 bits a weight)
//   q4   4-bit quants u in 0..15 and an f16 scale s a group of 32:    w = s (u - 8)      (4.5 bits a weight)
// Order of nibbles in a q4 group (16 bytes, four little-endian u32 words): word j holds weights 8j..8j+7; the low
// nibble of its byte b is weight 8j+b, the high nibble is weight 8j+4+b. So `word & 0x0f0f0f0f` is four consecutive
// weights as bytes and `(word >> 4) & 0x0f0f0f0f` is the next four, for float and for int8 arithmetic alike.

import { HALF_TO_FLOAT, toFiniteHalf } from "./half.ts";
import { quantizeQ4Group } from "./quantize_q4.ts";
import type { Precision } from "./types.ts";

/** Weights that share a scale; also the unit that columns are padded to. */
export const GROUP = 32;

/** Where the planes of one packed matrix lie. Row r: quants at r * rowBytes, scales at scaleOffset + 2 r groups. */
export interface PackedLayout {
  readonly precision: Precision;
  readonly rows: number;
  readonly cols: number;
  /** Groups of 32 a row: ceil(cols / 32). */
  readonly groups: number;
  /** Bytes of quants a row, a multiple of 16. */
  readonly rowBytes: number;
  /** Byte offset of the plane of scales (f16 [rows, groups]); equals `bytes` where there are none. Multiple of 16. */
  readonly scaleOffset: number;
  /** Bytes of the whole block, a multiple of 16. */
  readonly bytes: number;
}

const GROUP_BYTES = { f32: 128, f16: 64, q8: 32, q4: 16 } as const satisfies Record<Precision, number>;

/** The layout of a matrix [rows, cols] at a precision. */
export function packedLayout(precision: Precision, rows: number, cols: number): PackedLayout {
  const groups = Math.ceil(cols / GROUP);
  const rowBytes = groups * GROUP_BYTES[precision];
  const scaleOffset = rows * rowBytes;
  const scales = precision === "q8" || precision === "q4" ? Math.ceil((rows * groups * 2) / 16) * 16 : 0;
  return { precision, rows, cols, groups, rowBytes, scaleOffset, bytes: scaleOffset + scales };
}

/** Planes that rows are packed into: views of `count` rows, wherever the block lies. f32 and f16 leave scales empty. */
export interface PackedRows {
  readonly quants: Uint8Array; // [count * rowBytes], 4-byte aligned
  readonly scales: Uint16Array; // [count * groups]
}

/** Packs `count` rows x [count, cols] into planes that hold exactly those rows. Padding is written as zero weights. */
export function packRows(precision: Precision, x: Float32Array, count: number, cols: number, out: PackedRows): void {
  const groups = Math.ceil(cols / GROUP);
  const padded = groups * GROUP;
  switch (precision) {
    case "f32": {
      const y = new Float32Array(out.quants.buffer, out.quants.byteOffset, count * padded);
      if (padded === cols) y.set(x.subarray(0, count * cols));
      else
        for (let r = 0; r < count; r++)
          y.fill(0, r * padded, (r + 1) * padded).set(x.subarray(r * cols, (r + 1) * cols), r * padded);
      return;
    }
    case "f16": {
      const y = new Uint16Array(out.quants.buffer, out.quants.byteOffset, count * padded);
      for (let r = 0; r < count; r++)
        for (let c = 0; c < padded; c++) y[r * padded + c] = c < cols ? toFiniteHalf(x[r * cols + c]!) : 0;
      return;
    }
    case "q8":
    case "q4": {
      const tail = new Float32Array(GROUP); // a row's last group, where it is not whole
      const levels = new Uint8Array(GROUP);
      for (let r = 0; r < count; r++) {
        for (let g = 0; g < groups; g++) {
          let from = r * cols + g * GROUP;
          let values = x;
          if (cols - g * GROUP < GROUP) {
            tail.fill(0).set(x.subarray(from, (r + 1) * cols));
            values = tail;
            from = 0;
          }
          const at = r * groups + g;
          if (precision === "q8") out.scales[at] = quantizeQ8Group(values, from, out.quants, at * 32);
          else {
            out.scales[at] = quantizeQ4Group(values, from, levels);
            packNibbles(levels, out.quants, at * 16);
          }
        }
      }
      return;
    }
    default:
      precision satisfies never;
  }
}

/** Unpacks rows `first .. first + count - 1` of a block to f32 [count, cols]: the definition of what it holds. */
export function unpackRows(
  block: Uint8Array,
  layout: PackedLayout,
  first: number,
  count: number,
  into: Float32Array,
): void {
  const { precision, cols, groups, rowBytes, scaleOffset } = layout;
  const quants = block.subarray(first * rowBytes, (first + count) * rowBytes);
  const floats = new Float32Array(precision === "f32" ? quants.slice().buffer : new ArrayBuffer(0));
  const halves = new Uint16Array(precision === "f16" ? quants.slice().buffer : new ArrayBuffer(0));
  const scales = new Uint16Array(
    block.slice(scaleOffset + first * groups * 2, scaleOffset + (first + count) * groups * 2).buffer,
  );
  for (let r = 0; r < count; r++) {
    for (let c = 0; c < cols; c++) {
      const at = r * groups * GROUP + c;
      const scale = HALF_TO_FLOAT[scales[r * groups + (c >>> 5)] ?? 0]!;
      into[r * cols + c] =
        precision === "f32"
          ? floats[at]!
          : precision === "f16"
            ? HALF_TO_FLOAT[halves[at]!]!
            : precision === "q8"
              ? scale * ((quants[at]! << 24) >> 24)
              : scale * (nibble(quants, at) - 8);
    }
  }
}

/** Writes 32 levels 0..15 as one q4 group of 16 bytes at `at`. */
function packNibbles(levels: Uint8Array, out: Uint8Array, at: number): void {
  for (let j = 0; j < 4; j++)
    for (let b = 0; b < 4; b++) out[at + 4 * j + b] = levels[8 * j + b]! | (levels[8 * j + 4 + b]! << 4);
}

/** The 4-bit value (0..15) of weight `at` in a plane of q4 groups. */
function nibble(quants: Uint8Array, at: number): number {
  const i = at & 31;
  const byte = quants[(at >>> 5) * 16 + (i >>> 3) * 4 + (i & 3)]!;
  return i & 4 ? byte >>> 4 : byte & 15;
}

/** q8: the scale is max|x| / 127, quants round to nearest and are written at out[to]. Returns the scale's f16 bits. */
function quantizeQ8Group(x: Float32Array, at: number, out: Uint8Array, to: number): number {
  let max = 0;
  for (let i = 0; i < GROUP; i++) max = Math.max(max, Math.abs(x[at + i]!));
  const scale = toFiniteHalf(max / 127); // infinity would make NaN of zero weights
  const rounded = HALF_TO_FLOAT[scale]!;
  const inverse = rounded > 0 ? 1 / rounded : 0;
  for (let i = 0; i < GROUP; i++) out[to + i] = Math.max(-127, Math.min(127, Math.round(x[at + i]! * inverse)));
  return scale;
}
