// ggml's Q4_0: groups of 32 weights in 18 bytes, an f16 scale d and then 16 bytes of two quants q
// in 0..15; w = d (q - 8).
//
// Byte i holds weight i in its low and weight 16 + i in its high nibble. Our q4
// (kernels/formats/q4) has the same scale and the same quants in another order, so that it becomes
// Q4_0 without a rounding: 4.5 bits a weight on both sides.

import { GROUP } from "../../src/tensor/format.ts";
import { toHalf } from "../../src/tensor/half.ts";

/** Bytes of a group. */
export const Q4_0_BYTES = 18;

/**
 * Weights [n], n a multiple of 32, to Q4_0 with the rounding of ggml's own quantize_row_q4_0_ref,
 * in f32 as there.
 */
export function quantizeQ4_0(x: Float32Array): Uint8Array {
  const out = new Uint8Array((x.length / GROUP) * Q4_0_BYTES);
  const view = new DataView(out.buffer);
  for (let group = 0, at = 0; group < x.length; group += GROUP, at += Q4_0_BYTES) {
    // the weight of the largest magnitude, with its sign: it becomes quant 0, that is -8
    let largest = 0;
    for (let i = 0; i < GROUP; i++) if (Math.abs(x[group + i]!) > Math.abs(largest)) largest = x[group + i]!;
    const d = Math.fround(largest / -8);
    const inverse = d === 0 ? 0 : Math.fround(1 / d);
    const quant = (i: number): number =>
      Math.min(15, Math.trunc(Math.fround(Math.fround(x[group + i]! * inverse) + 8.5)));
    view.setUint16(at, toHalf(d), true);
    for (let i = 0; i < 16; i++) out[at + 2 + i] = quant(i) | (quant(16 + i) << 4);
  }
  return out;
}

/**
 * Rows packed as our q4 to Q4_0: the same weights. Four bytes at a time, for 26 GB of them are
 * written before llama.cpp is measured: the low nibbles of our word j are weights 8j..8j+3, its
 * high ones 8j+4..8j+7, so words j and j + 2 make bytes 8j..8j+7 of Q4_0. A group has 18 bytes:
 * they are stored as halves of words.
 */
export function repackQ4_0([levels, halves]: readonly Uint8Array[]): Uint8Array {
  const LOW = 0x0f0f0f0f;
  const scales = new Uint16Array(halves!.buffer, halves!.byteOffset, halves!.length / 2);
  const words = new Uint32Array(levels!.buffer, levels!.byteOffset, scales.length * 4);
  const out = new Uint16Array(scales.length * (Q4_0_BYTES / 2));
  for (let g = 0, to = 0; g < scales.length; g++) {
    out[to++] = scales[g]!;
    for (let j = 0; j < 2; j++) {
      const first = words[4 * g + j]!;
      const second = words[4 * g + j + 2]!;
      const even = (first & LOW) | ((second & LOW) << 4);
      const odd = ((first >>> 4) & LOW) | (second & ~LOW);
      out[to++] = even; // an array of halves keeps the low one
      out[to++] = even >>> 16;
      out[to++] = odd;
      out[to++] = odd >>> 16;
    }
  }
  return new Uint8Array(out.buffer);
}
