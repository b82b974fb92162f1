// Packs rows to formats that only files hold, near enough to test products with them.

import { packNibbles, packOneBit, packTwoBits } from "../../kernels/formats/bits.ts";
import { E4M3 } from "../../kernels/formats/f8/f8.ts";
import { IQ1_VALUES } from "../../kernels/formats/iq1/iq1.ts";
import { IQ2_VALUES } from "../../kernels/formats/iq2/iq2.ts";
import { IQ3_S_VALUES } from "../../kernels/formats/iq3_s/iq3_s.ts";
import { IQ3_XXS_VALUES } from "../../kernels/formats/iq3_xxs/iq3_xxs.ts";
import type { Format } from "../../src/tensor/format.ts";
import { packRows } from "../../src/tensor/format.ts";
import { HALF_TO_FLOAT, toHalf } from "../../src/tensor/half.ts";

type Pack = (group: Float32Array, planes: readonly Uint8Array[]) => void;

const level = (value: number, most: number) => Math.max(0, Math.min(most, Math.round(value)));
const half = (value: number) => HALF_TO_FLOAT[toHalf(value)]!;
const put = (plane: Uint8Array, i: number, value: number) =>
  new DataView(plane.buffer, plane.byteOffset).setUint16(2 * i, toHalf(value), true);
const groupsOf = (x: Float32Array, size: number) =>
  Array.from({ length: x.length / size }, (_, g) => x.subarray(size * g, size * g + size));
const largest = (x: Float32Array) => x.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/** Low four bits of levels to a plane, and what is above them to another. */
function lowBits(levels: Uint8Array, low: Uint8Array): Uint8Array {
  for (let at = 0; at < levels.length; at += 32)
    packNibbles(
      levels.subarray(at, at + 32).map((u) => u & 15),
      low,
      at / 2,
    );
  return levels.map((u) => u >>> 4);
}

/** The code of the nearest value. */
function nearest(values: Int8Array, wanted: number): number {
  let best = 0;
  for (const [code, value] of values.entries())
    if (Math.abs(value - wanted) < Math.abs(values[best]! - wanted)) best = code;
  return best;
}

/** Packs one group of weights to its planes, by format. */
const PACKS: Readonly<Record<string, Pack>> = {
  bf16(x, [weights]) {
    const words = new Uint16Array(weights!.buffer, weights!.byteOffset, x.length);
    const bits = new Uint32Array(x.buffer, x.byteOffset, x.length);
    for (const [i, word] of bits.entries()) words[i] = word >>> 16;
  },
  iq3_s: codes(IQ3_S_VALUES, 15, 1),
  iq3_xxs: codes(IQ3_XXS_VALUES, 31, 0.5),
  iq2: oddCodes(IQ2_VALUES, 43),
  iq1: oddCodes(IQ1_VALUES, 9),
  f8(x, [weights, scales]) {
    const factors = new Float32Array(scales!.buffer, scales!.byteOffset, 2);
    for (let g = 0; g < 2; g++) {
      const half = x.subarray(128 * g, 128 * g + 128);
      factors[g] = Math.max(...half.map(Math.abs)) / 300;
      for (const [i, w] of half.entries()) {
        const wanted = w / (factors[g]! || 1);
        let [best, least] = [0, Number.POSITIVE_INFINITY];
        for (let byte = 0; byte < 256; byte++) {
          const off = Math.abs(E4M3[byte]! - wanted);
          if (off < least) [best, least] = [byte, off];
        }
        weights![128 * g + i] = best;
      }
    }
  },
  q4_g128: affine(128),
  q4_g64: affine(64),
  q4_g32: affine(32),
};

/** Codes of signed magnitudes to `most`, odd scales of groups of 32 and their factor. */
function codes(values: Int8Array, most: number, unit: number): Pack {
  return (x, [codes, scales, factor]) => {
    const d = half(largest(x) / most / 31 / unit);
    put(factor!, 0, d);
    for (const [g, group] of groupsOf(x, 32).entries())
      scales![g] = 2 * level((largest(group) / most / unit / (d || 1) - 1) / 2, 15) + 1;
    lowBits(
      Uint8Array.from(x, (w, i) => nearest(values, w / (d * scales![i >>> 5]! * unit || 1))),
      codes!,
    );
  };
}

/** Codes of two bits and one, odd scales of groups of 16 and their factor. */
function oddCodes(values: Int8Array, most: number): Pack {
  const own = values.map((value) => (Math.abs(value) > most ? 127 : value)); // in no codebook
  return (x, [two, one, scales, factor]) => {
    const d = half((8 * largest(x)) / most / 31);
    put(factor!, 0, d);
    const odd = groupsOf(x, 16).map((group) => level(((8 * largest(group)) / most / (d || 1) - 1) / 2, 15));
    for (let j = 0; j < 8; j++) scales![j] = odd[2 * j]! | (odd[2 * j + 1]! << 4);
    const codes = Uint8Array.from(x, (w, i) => nearest(own, (8 * w) / (d * (2 * odd[i >>> 4]! + 1) || 1)));
    packTwoBits(
      codes.map((code) => code & 3),
      two!,
    );
    packOneBit(
      codes.map((code) => code >>> 2),
      one!,
    );
  };
}

/** Levels, scales and zero points of groups of `size` columns. */
function affine(size: number): Pack {
  return (x, [levels, scales, zeros]) => {
    const all = new Uint8Array(x.length);
    for (const [g, group] of groupsOf(x, size).entries()) {
      const [min, max] = [Math.min(...group), Math.max(...group)];
      const s = half((max - min) / 15);
      const zero = level(-min / (s || 1), 15);
      put(scales!, g, s);
      zeros![g] = zero;
      for (const [i, w] of group.entries()) all[g * size + i] = level(w / (s || 1) + zero, 15);
    }
    for (let j = 0; j < 8; j++) packNibbles(all.subarray(32 * j, 32 * j + 32), levels!, 16 * j);
  };
}

/** As packRows(), in any format. */
export function packAny(
  format: Format,
  data: Float32Array,
  count: number,
  cols: number,
  planes: readonly Uint8Array[],
): void {
  if (format.pack) {
    packRows(format, data, count, cols, planes);
    return;
  }
  const pack = PACKS[format.name];
  if (!pack) throw new Error(`${format.name}: no test packs to it`);
  const { group: size } = format;
  const groups = Math.ceil(cols / size);
  for (let r = 0; r < count; r++)
    for (let g = 0; g < groups; g++) {
      const x = new Float32Array(size);
      x.set(data.subarray(r * cols + size * g, r * cols + Math.min(size * g + size, cols)));
      const at = r * groups + g;
      pack(
        x,
        format.planes.map(({ bytes }, p) => planes[p]!.subarray(at * bytes, (at + 1) * bytes)),
      );
    }
}
