// Packs rows to formats that only files hold, near enough to test products with them.

import { packNibbles, packOneBit, packTwoBits } from "../../kernels/formats/bits.ts";
import { IQ3_S_VALUES } from "../../kernels/formats/iq3_s/iq3_s.ts";
import { IQ3_XXS_VALUES } from "../../kernels/formats/iq3_xxs/iq3_xxs.ts";
import { IQ4_VALUES } from "../../kernels/formats/iq4_nl/iq4_nl.ts";
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

/** w = (d s) u - dmin m with u to `most`, s and m to `steps`; the factors are written. */
function scalesAndMins(x: Float32Array, size: number, most: number, steps: number, factors: Uint8Array) {
  const groups = groupsOf(x, size);
  const mins = groups.map((group) => Math.max(0, -Math.min(...group)));
  const scales = groups.map((group, g) => (Math.max(...group) + mins[g]!) / most);
  const [d, dmin] = [half(Math.max(...scales) / steps), half(Math.max(...mins) / steps)];
  put(factors, 0, d);
  put(factors, 1, dmin);
  const pairs = groups.map(
    (_, g) => [level(scales[g]! / (d || 1), steps), level(mins[g]! / (dmin || 1), steps)] as const,
  );
  const levels = Uint8Array.from(x, (w, i) => {
    const [s, m] = pairs[Math.floor(i / size)]!;
    return level((w + dmin * m) / (d * s || 1), most);
  });
  return { pairs, levels };
}

/** w = (d s) (u - zero) with s of either sign and a magnitude to `steps`; d is written. */
function signedScales(x: Float32Array, zero: number, steps: number, factor: Uint8Array) {
  const groups = groupsOf(x, 16);
  const sizes = groups.map((group) => largest(group) / (zero - 1));
  const d = half(Math.max(...sizes) / steps);
  put(factor, 0, d);
  const scales = sizes.map((size, g) => (g % 3 === 1 ? -1 : 1) * Math.round(size / (d || 1)));
  const levels = Uint8Array.from(x, (w, i) => level(w / (d * scales[i >>> 4]! || 1) + zero, 2 * zero - 1));
  return { scales, levels };
}

/** w = d u + m. */
function scaleAndMin(x: Float32Array, most: number, factors: Uint8Array): Uint8Array {
  const m = half(Math.min(...x));
  const d = half((Math.max(...x) - m) / most);
  put(factors, 0, d);
  put(factors, 1, m);
  return Uint8Array.from(x, (w) => level((w - m) / (d || 1), most));
}

/** The code of the nearest value. */
function nearest(values: Int8Array, wanted: number): number {
  let best = 0;
  for (const [code, value] of values.entries())
    if (Math.abs(value - wanted) < Math.abs(values[best]! - wanted)) best = code;
  return best;
}

const E2M1 = Int8Array.of(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);

/** Packs one group of weights to its planes, by format. */
const PACKS: Readonly<Record<string, Pack>> = {
  bf16(x, [weights]) {
    const words = new Uint16Array(weights!.buffer, weights!.byteOffset, x.length);
    const bits = new Uint32Array(x.buffer, x.byteOffset, x.length);
    for (const [i, word] of bits.entries()) words[i] = word >>> 16;
  },
  q6_k(x, [low, high, scales, factor]) {
    const found = signedScales(x, 32, 127, factor!);
    scales!.set(found.scales);
    packTwoBits(lowBits(found.levels, low!), high!);
  },
  q5_k(x, [low, high, pairs, factors]) {
    const found = scalesAndMins(x, 32, 31, 63, factors!);
    pairs!.set(found.pairs.flat());
    packOneBit(lowBits(found.levels, low!), high!);
  },
  q4_k(x, [levels, pairs, factors]) {
    const found = scalesAndMins(x, 32, 15, 63, factors!);
    pairs!.set(found.pairs.flat());
    lowBits(found.levels, levels!);
  },
  q3_k(x, [low, high, scales, factor]) {
    const found = signedScales(x, 4, 31, factor!);
    const six = found.scales.map((s) => s + 32);
    const words = new Uint16Array(scales!.buffer, scales!.byteOffset, 6).fill(0);
    for (const [j, s] of six.entries()) {
      words[j >>> 2]! |= (s & 15) << (4 * (j & 3));
      words[4 + (j >>> 3)]! |= (s >>> 4) << (2 * (j & 7));
    }
    packTwoBits(
      found.levels.map((u) => u & 3),
      low!,
    );
    packOneBit(
      found.levels.map((u) => u >>> 2),
      high!,
    );
  },
  q2_k(x, [levels, pairs, factors]) {
    const found = scalesAndMins(x, 16, 3, 15, factors!);
    pairs!.set(found.pairs.map(([s, m]) => s | (m << 4)));
    packTwoBits(found.levels, levels!);
  },
  q5_1(x, [low, high, factors]) {
    packOneBit(lowBits(scaleAndMin(x, 31, factors!), low!), high!);
  },
  q5_0(x, [low, high, scale]) {
    const d = half(largest(x) / 15);
    put(scale!, 0, d);
    packOneBit(
      lowBits(
        Uint8Array.from(x, (w) => level(w / (d || 1) + 16, 31)),
        low!,
      ),
      high!,
    );
  },
  q4_1(x, [levels, factors]) {
    lowBits(scaleAndMin(x, 15, factors!), levels!);
  },
  iq4_nl(x, [codes, scale]) {
    const d = half(largest(x) / 127);
    put(scale!, 0, d);
    lowBits(
      Uint8Array.from(x, (w) => nearest(IQ4_VALUES, w / (d || 1))),
      codes!,
    );
  },
  iq4_xs(x, [codes, scales, factor]) {
    const groups = groupsOf(x, 32);
    const d = half(largest(x) / 127 / 31);
    put(factor!, 0, d);
    for (const [g, group] of groups.entries())
      scales![g] = (g % 3 === 1 ? -1 : 1) * Math.round(largest(group) / 127 / (d || 1));
    const scaleOf = (i: number) => d * ((scales![i >>> 5]! << 24) >> 24) || 1;
    lowBits(
      Uint8Array.from(x, (w, i) => nearest(IQ4_VALUES, w / scaleOf(i))),
      codes!,
    );
  },
  mxfp4(x, [codes, exponents]) {
    for (const [g, group] of groupsOf(x, 32).entries())
      exponents![g] = 128 + Math.ceil(Math.log2(largest(group) / 12 || 1e-20));
    lowBits(
      Uint8Array.from(x, (w, i) => nearest(E2M1, w / 2 ** (exponents![i >>> 5]! - 128))),
      codes!,
    );
  },
  iq3_s: codes(IQ3_S_VALUES, 15, 1),
  iq3_xxs: codes(IQ3_XXS_VALUES, 31, 0.5),
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

/** Levels, scales and zero points of groups of `size` columns. */
function affine(size: number): Pack {
  return (x, [levels, scales, zeros]) => {
    const all = Uint8Array.from(x, (_, i) => {
      const g = Math.floor(i / size);
      const group = x.subarray(g * size, (g + 1) * size);
      const [min, max] = [Math.min(...group), Math.max(...group)];
      const s = half((max - min) / 15);
      const zero = level(-min / (s || 1), 15);
      put(scales!, g, s);
      zeros![g] = zero;
      return level(x[i]! / (s || 1) + zero, 15);
    });
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
