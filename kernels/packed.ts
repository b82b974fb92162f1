// A packed matrix (src/tensor/pack.ts) as the kernels see it: its planes as typed arrays, and rows unpacked to f32.

import { HALF_TO_FLOAT } from "../src/tensor/half.ts";
import { GROUP, type PackedLayout } from "../src/tensor/pack.ts";

/** Typed arrays over one block. Only those of the block's own precision are meant to be read. */
export interface Packed {
  readonly layout: PackedLayout;
  /** Weights a row with padding: 32 * groups. */
  readonly stride: number;
  readonly floats: Float32Array; // f32 [rows, stride]
  readonly halves: Uint16Array; // f16 [rows, stride]
  readonly bytes: Int8Array; // q8 [rows, stride]
  readonly words: Int32Array; // q4 [rows, stride / 8]
  readonly scales: Uint16Array; // q8, q4 [rows, groups]
}

/** Views of a block that holds a matrix of this layout. */
export function packedViews(block: ArrayBufferLike, layout: PackedLayout): Packed {
  const { scaleOffset, bytes, groups } = layout;
  return {
    layout,
    stride: groups * GROUP,
    floats: new Float32Array(block, 0, scaleOffset / 4),
    halves: new Uint16Array(block, 0, scaleOffset / 2),
    bytes: new Int8Array(block, 0, scaleOffset),
    words: new Int32Array(block, 0, scaleOffset / 4),
    scales: new Uint16Array(block, scaleOffset, (bytes - scaleOffset) / 2),
  };
}

/** Unpacks one row, padding included, to f32 [stride] at `at`. */
export function unpackRow(w: Packed, row: number, into: Float32Array, at: number): void {
  const { stride, layout } = w;
  const from = row * stride;
  switch (layout.precision) {
    case "f32":
      into.set(w.floats.subarray(from, from + stride), at);
      return;
    case "f16":
      for (let i = 0; i < stride; i++) into[at + i] = HALF_TO_FLOAT[w.halves[from + i]!]!;
      return;
    case "q8":
      for (let g = 0; g < layout.groups; g++) {
        const scale = HALF_TO_FLOAT[w.scales[row * layout.groups + g]!]!;
        for (let i = g * GROUP; i < (g + 1) * GROUP; i++) into[at + i] = scale * w.bytes[from + i]!;
      }
      return;
    case "q4":
      for (let g = 0, to = at, word = from / 8; g < layout.groups; g++) {
        const scale = HALF_TO_FLOAT[w.scales[row * layout.groups + g]!]!;
        for (let j = 0; j < 4; j++, to += 8) {
          const eight = w.words[word++]!;
          into[to] = scale * ((eight & 15) - 8);
          into[to + 1] = scale * (((eight >>> 8) & 15) - 8);
          into[to + 2] = scale * (((eight >>> 16) & 15) - 8);
          into[to + 3] = scale * (((eight >>> 24) & 15) - 8);
          into[to + 4] = scale * (((eight >>> 4) & 15) - 8);
          into[to + 5] = scale * (((eight >>> 12) & 15) - 8);
          into[to + 6] = scale * (((eight >>> 20) & 15) - 8);
          into[to + 7] = scale * ((eight >>> 28) - 8);
        }
      }
      return;
    default:
      layout.precision satisfies never;
  }
}
