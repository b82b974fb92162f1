// Packing by SIMD kernels: bit for bit what packRows makes, and the panels element for element.

import { describe, expect, it } from "vitest";
import { AUTOMATIC, FORMATS, PACKABLE } from "../../kernels/formats/index.ts";
import { type Format, packRows, panelLayout, rowPlanes } from "../../src/tensor/format.ts";
import { HALF_TO_FLOAT } from "../../src/tensor/half.ts";
import { unweave, weave } from "../../src/tensor/panels.ts";
import { generator } from "../support/random.ts";
import { simdBenches } from "../support/simd.ts";
import { some } from "../support/some.ts";

/** Formats that SIMD kernels pack; the others are packed by their definition. */
const PACKED = PACKABLE.filter((name) => simdBenches()[0]?.of(FORMATS[name]).pack !== undefined);
const UNTOUCHED = 0xa5;
const isAutomatic = (name: string) => (AUTOMATIC as readonly string[]).includes(name);

/** Ranges that cover 0..n in pieces of awkward sizes. */
function ranges(n: number): [number, number][] {
  const cuts = [0, 1, 4, 6, 13, 20].filter((cut) => cut < n);
  return cuts.map((cut, i) => [cut, cuts[i + 1] ?? n]);
}

/** The nth f32 after x (before it, if negative), as bits go. */
function neighbour(x: number, n: number): number {
  const floats = Float32Array.of(x);
  const bits = new Int32Array(floats.buffer);
  bits[0] = Math.max(0, bits[0]! & 0x7fffffff) === 0 ? bits[0]! : bits[0]! + n;
  return floats[0]!;
}

type Next = () => number;
const normal = (next: Next) => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
const sign = (next: Next) => (next() < 0.5 ? -1 : 1);
const pick = <T>(next: Next, values: readonly T[]): T => values[Math.floor(next() * values.length)]!;
const LEVELS = [8, 7, 7.2, 7.4, 7.6, 7.8, 8.2, 8.4, 8.6, 8.8, 9];

/** Makes the weights of one group of 32, one after the other. */
const GROUPS: Record<string, (next: Next) => () => number> = {
  normal: (next) => () => 0.02 * normal(next),
  "heavy-tailed": (next) => () => (0.001 * normal(next)) / next() ** 2,
  uniform: (next) => () => 2 * next() - 1,
  // Few bits, as checkpoints in bf16 have them: multiples of a scale often lie exactly
  // between two integers.
  bfloat: (next) => () => {
    const bits = Uint32Array.of(0);
    new Float32Array(bits.buffer)[0] = 0.02 * normal(next);
    bits[0] = bits[0]! & 0xffff0000;
    return new Float32Array(bits.buffer)[0]!;
  },
  "multiples of 1/8": (next) => () => Math.round(16 * (2 * next() - 1)) / 8,
  // Where a level's integers change, and the floats next to that.
  boundaries: (next) => {
    const extreme = Math.fround(sign(next) * (0.5 + next()));
    const level = pick(next, LEVELS);
    return () => {
      if (next() < 0.1) return extreme;
      const boundary = (Math.floor(next() * 17) - 8 + 0.5) / (next() < 0.8 ? level : pick(next, LEVELS));
      return neighbour(extreme * Math.max(-1, Math.min(1, boundary)), Math.floor(next() * 5) - 2);
    };
  },
  // What a level is taken for where its integers are unsure must not outlive their
  // being found again.
  "normal with one boundary": (next) => {
    const extreme = Math.fround(sign(next) * (2.2 + next()));
    const boundary = extreme * ((Math.floor(next() * 7) + 0.5) / pick(next, [8, 9])) * sign(next);
    const special = [extreme, neighbour(boundary, pick(next, [0, 0, 1, -1]))];
    return () => special.pop() ?? Math.max(-2.2, Math.min(2.2, normal(next)));
  },
  "halves of an f16 scale": (next) => {
    const scale = HALF_TO_FLOAT[0x1000 + Math.floor(next() * 0x2000)]!;
    return () =>
      next() < 0.1 ? 127 * scale : neighbour(scale * (Math.floor(next() * 20) - 9.5), pick(next, [0, 0, 1, -1]));
  },
  "one-sided": (next) => () => next() + 0.3,
  "one far out": (next) => () => (next() < 0.03 ? 50 : 1) * normal(next),
  "opposite extremes": (next) => () => (next() < 0.2 ? sign(next) : next() - 0.5),
  "all magnitudes": (next) => () => sign(next) * 2 ** (next() * 60 - 40),
  "f16 subnormal scales": (next) => () => 4e-6 * normal(next),
  "scales about to vanish": (next) => () => 5e-7 * next() ** 2 * sign(next),
  denormals: (next) => () => 1e-40 * normal(next),
  zeros: (next) => () => (next() < 0.5 ? 0 : -0),
  "mostly zeros": (next) => () => (next() < 0.04 ? normal(next) : 0),
  huge: (next) => () => 1e38 * (2 * next() - 1),
  "about the largest f16": (next) => () => 65504 * (1 + 0.002 * normal(next)) * sign(next),
  "about the largest scale": (next) => () => 524_000 * (1 + 0.01 * normal(next)) * sign(next),
  infinities: (next) => () => (next() < 0.02 ? sign(next) / 0 : normal(next)),
  "not a number": (next) => () => (next() < 0.02 ? Number.NaN : next() < 0.02 ? sign(next) / 0 : normal(next)),
};

function weights(kind: string, rows: number, cols: number, seed: number): Float32Array {
  const next = generator(seed);
  const x = new Float32Array(rows * cols);
  let value = GROUPS[kind]!(next);
  for (let i = 0; i < x.length; i++) {
    if ((i % cols) % 32 === 0) value = GROUPS[kind]!(next);
    x[i] = value();
  }
  return x;
}

function importances(cols: number, seed: number): Float32Array {
  const next = generator(1000 + seed);
  return Float32Array.from({ length: cols }, () => 2 ** (8 * next() - 4));
}

/**
 * Where two arrays first differ, -1 where nowhere: quicker than toEqual, with a message as short.
 */
function difference(a: Uint8Array, b: Uint8Array): number {
  expect(a.length).toBe(b.length);
  return Buffer.compare(a, b) === 0 ? -1 : a.findIndex((value, i) => value !== b[i]);
}

/**
 * f16 bits with one NaN for all: which of them an operation gives is up to the JavaScript engine.
 */
function oneNaN(bytes: Uint8Array): Uint8Array {
  const halves = new Uint16Array(bytes.slice().buffer);
  return bytesOf(halves.map((half) => ((half & 0x7fff) > 0x7c00 ? 0x7e00 : half)));
}

function bytesOf(data: Uint16Array | Uint32Array | Float32Array): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

describe("pack", () => {
  const shapes = [
    { rows: 24, cols: 2048, seeds: 8 },
    { rows: 9, cols: 97, seeds: 2 },
    { rows: 3, cols: 1, seeds: 2 },
    { rows: 7, cols: 31, seeds: 2 },
  ];
  /** For those whose definition tries sixteen scales a group, and more. */
  const searched = [
    { rows: 6, cols: 544, seeds: 2 },
    { rows: 2, cols: 97, seeds: 2 },
  ];
  it.each(
    some(
      Object.keys(GROUPS).flatMap((kind) => PACKED.map((name) => ({ kind, name }))),
      40,
    ),
  )("$kind, $name: the same bits as packRows", ({ kind, name }) => {
    const format = FORMATS[name];
    const benches = simdBenches();
    for (const { rows, cols, seeds } of isAutomatic(name) ? shapes : searched) {
      const places = panelLayout(format, rows, cols).planes;
      for (let seed = 1; seed <= seeds; seed++) {
        const x = weights(kind, rows, cols, seed);
        // Every other seed, columns differ in importance.
        const importance = seed % 2 === 0 ? importances(cols, seed) : undefined;
        const want = rowPlanes(format, rows, cols);
        packRows(format, x, rows, cols, want, importance);
        for (const bench of benches) {
          const at = bench.put(x);
          const weighed = importance ? bench.put(importance) : 0;
          const planes = want.map(({ length }) => bench.put(new Uint8Array(length + 16).fill(UNTOUCHED)));
          for (const [from, to] of ranges(rows)) {
            bench.of(format).pack!(from, to, 1, at, cols, format.group, weighed, ...planes);
            for (const [p, { rowBytes }] of places.entries())
              expect(bench.bytes(planes[p]! + to * rowBytes, 2)).toEqual(Uint8Array.of(UNTOUCHED, UNTOUCHED));
          }
          const label = `${bench.name}, [${rows}, ${cols}], seed ${seed}: first byte that differs`;
          for (const [p, plane] of want.entries()) {
            const got = bench.bytes(planes[p]!, plane.length);
            const same = p === 0 ? difference(got, plane) : difference(oneNaN(got), oneNaN(plane));
            expect(same, `${label}, ${format.planes[p]!.name}`).toBe(-1);
          }
        }
      }
    }
  });

  it("leaves rows outside the range alone", () => {
    const [rows, cols] = [6, 40];
    for (const name of PACKED) {
      const { planes } = panelLayout(FORMATS[name], rows, cols);
      for (const bench of simdBenches()) {
        const at = planes.map(({ rowBytes }) => bench.put(new Uint8Array(rows * rowBytes).fill(UNTOUCHED)));
        const x = bench.put(new Float32Array(rows * cols));
        bench.of(FORMATS[name]).pack!(2, 4, 0, x, cols, FORMATS[name].group, 0, ...at);
        for (const [p, { rowBytes }] of planes.entries()) {
          const outside = [...bench.bytes(at[p]!, 2 * rowBytes), ...bench.bytes(at[p]! + 4 * rowBytes, 2 * rowBytes)];
          expect(outside.every((byte) => byte === UNTOUCHED)).toBe(true);
        }
      }
    }
  });
});

describe("weave", () => {
  const cases = [
    { rows: 21, W: 4, first: 0, step: 1 },
    { rows: 24, W: 16, first: 8, step: 1 },
    { rows: 19, W: 12, first: 4, step: 1 },
    { rows: 17, W: 5, first: 3, step: 1 },
    { rows: 13, W: 8, first: 0, step: 2 },
    { rows: 22, W: 4, first: 1, step: 2 },
    { rows: 9, W: 3, first: 17, step: 2 },
    { rows: 7, W: 7, first: 2, step: 5 },
    { rows: 1, W: 1, first: 7, step: 1 },
  ];
  it.each(cases.flatMap((shape) => ([4, 2] as const).map((element) => ({ ...shape, element }))))(
    "$rows rows of $W elements of $element bytes from row $first in steps of $step",
    ({ rows, W, first, step, element }) => {
      const next = generator(rows + W);
      const rowBytes = W * element;
      const padded = Math.ceil((first + step * rows) / 8) * 8;
      const format: Format = { ...FORMATS.f32, planes: [{ name: "plane", bytes: rowBytes, element }] };
      const source = Uint8Array.from({ length: rows * rowBytes }, () => next() * 256);
      for (const pieces of [ranges(rows), [[0, rows]], [[rows >> 1, rows]]] as [number, number][][]) {
        const empty = new Uint8Array(padded * rowBytes).fill(UNTOUCHED);
        const want = empty.slice();
        for (const [from, to] of pieces) {
          const own = source.slice(from * rowBytes, to * rowBytes);
          weave(format, [own], to - from, first + step * from, step, [want]);
        }
        for (const bench of simdBenches()) {
          const [plane, out] = [bench.put(source), bench.put(empty)];
          for (const [from, to] of pieces) bench.kernels.weave!(from, to, 0, plane, W, element, first, step, out);
          expect(difference(bench.bytes(out, want.length), want)).toBe(-1);
        }
      }
    },
  );

  it("puts element j of row r at [r / 8, j, r mod 8], and unweave() takes it back", () => {
    const rows = [
      new Uint8Array(Uint32Array.from({ length: 20 }, (_, i) => i).buffer),
      new Uint8Array(Uint16Array.of(50, 51, 52, 53, 54, 55, 56, 57, 58, 59).buffer),
    ];
    const planes = [
      { name: "words", bytes: 8, element: 4 },
      { name: "halves", bytes: 2, element: 2 },
    ] as const;
    const format: Format = { ...FORMATS.f32, planes };
    const [words, halves] = [new Uint32Array(32), new Uint16Array(16)];
    const out = [bytesOf(words), bytesOf(halves)];
    weave(format, rows, 10, 0, 1, out);
    expect([...words.subarray(0, 18)]).toEqual([0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15, 16, 18]);
    expect([...words.subarray(24, 27)]).toEqual([17, 19, 0]);
    expect([...halves]).toEqual([50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 0, 0, 0, 0, 0, 0]);
    const back = rows.map(({ length }) => new Uint8Array(length));
    unweave(format, out, 0, 1, 10, back);
    expect(back).toEqual(rows);
  });
});
