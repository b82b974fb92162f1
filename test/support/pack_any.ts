// Packs rows to formats that only files hold, near enough to test products with them.

import { packNibbles } from "../../kernels/formats/bits.ts";
import type { Format } from "../../src/tensor/format.ts";
import { packRows } from "../../src/tensor/format.ts";
import { HALF_TO_FLOAT, toHalf } from "../../src/tensor/half.ts";

type Pack = (group: Float32Array, planes: readonly Uint8Array[]) => void;

const level = (value: number, most: number) => Math.max(0, Math.min(most, Math.round(value)));
const half = (value: number) => HALF_TO_FLOAT[toHalf(value)]!;
const put = (plane: Uint8Array, i: number, value: number) =>
  new DataView(plane.buffer, plane.byteOffset).setUint16(2 * i, toHalf(value), true);

/** Packs one group of weights to its planes, by format. */
const PACKS: Readonly<Record<string, Pack>> = {
  q4_k(x, [levels, pairs, factors]) {
    const groups = Array.from({ length: 8 }, (_, g) => x.subarray(32 * g, 32 * g + 32));
    const mins = groups.map((group) => Math.max(0, -Math.min(...group)));
    const scales = groups.map((group, g) => (Math.max(...group) + mins[g]!) / 15);
    const [d, dmin] = [half(Math.max(...scales) / 63), half(Math.max(...mins) / 63)];
    put(factors!, 0, d);
    put(factors!, 1, dmin);
    for (const [g, group] of groups.entries()) {
      const [s, m] = [level(scales[g]! / (d || 1), 63), level(mins[g]! / (dmin || 1), 63)];
      pairs!.set([s, m], 2 * g);
      const us = Uint8Array.from(group, (w) => level((w + dmin * m) / (d * s || 1), 15));
      packNibbles(us, levels!, 16 * g);
    }
  },
  q6_k(x, [low, high, scales, factor]) {
    const groups = Array.from({ length: 16 }, (_, g) => x.subarray(16 * g, 16 * g + 16));
    const steps = groups.map((group) => Math.max(...group.map(Math.abs)) / 31);
    const d = half(Math.max(...steps) / 127);
    put(factor!, 0, d);
    const levels = Uint8Array.from(x, (w, i) => {
      const g = i >>> 4;
      const s = (g % 3 === 1 ? -1 : 1) * Math.round(steps[g]! / (d || 1)); // scales have a sign
      scales![g] = s;
      return level(w / (d * s || 1) + 32, 63);
    });
    for (let j = 0; j < 8; j++)
      packNibbles(
        levels.subarray(32 * j, 32 * j + 32).map((u) => u & 15),
        low!,
        16 * j,
      );
    high!.fill(0);
    for (const [i, u] of levels.entries()) high![(i >>> 4) * 4 + (i & 3)]! |= (u >>> 4) << (((i >>> 2) & 3) * 2);
  },
  q4_g128: affine(128),
  q4_g64: affine(64),
  q4_g32: affine(32),
};

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
