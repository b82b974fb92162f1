// The formats of weights: where each weight lies, what comes back, how far it may be off.

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { FORMATS, formatOf, PACKABLE, type PackableName } from "../../kernels/formats/index.ts";
import { RequestError } from "../../src/errors.ts";
import { type Format, ggmlTypes, panelLayout, rowPlanes, rowsOfPlanes, unpackRows } from "../../src/tensor/format.ts";
import { HALF_TO_FLOAT, toHalf } from "../../src/tensor/half.ts";
import { inShared, titled } from "../support/fixtures.ts";
import { held, packPlanes } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";
import { expectClose } from "../support/reference.ts";

describe("formatOf", () => {
  it("gives a format by the name it has", () => {
    for (const name of Object.keys(FORMATS)) expect(formatOf(name).name).toBe(name);
    for (const name of ["q5", "", "toString"]) expect(() => formatOf(name)).toThrow(RequestError);
  });
});

describe("panelLayout", () => {
  it.each([
    ["f32", 4, 64, { groups: 2, padded: 64, planes: [[0, 256]], bytes: 2048 }],
    ["f16", 3, 60, { groups: 2, padded: 64, planes: [[0, 128]], bytes: 1024 }],
    [
      "q8",
      9,
      33,
      {
        groups: 2,
        padded: 64,
        planes: [
          [0, 64],
          [1024, 4],
        ],
        bytes: 1088,
      },
    ],
    [
      "q4",
      3,
      33,
      {
        groups: 2,
        padded: 64,
        planes: [
          [0, 32],
          [256, 4],
        ],
        bytes: 288,
      },
    ],
    [
      "q4",
      4096,
      14336,
      {
        groups: 448,
        padded: 14336,
        planes: [
          [0, 7168],
          [29360128, 896],
        ],
        bytes: 33030144,
      },
    ],
    ["f32", 0, 64, { groups: 2, padded: 64, planes: [[0, 256]], bytes: 0 }],
  ] as const)("%s [%i, %i]", (name, rows, cols, { planes, ...want }) => {
    const format = FORMATS[name];
    const places = planes.map(([offset, rowBytes]) => ({ offset, rowBytes }));
    expect(panelLayout(format, rows, cols)).toEqual({
      format,
      rows: Math.ceil(rows / 8) * 8,
      cols,
      planes: places,
      ...want,
    });
  });

  it("costs 4.5 and 8.5 bits a weight", () => {
    const bits = (name: "q4" | "q8") => (panelLayout(FORMATS[name], 4096, 4096).bytes * 8) / 4096 ** 2;
    expect([bits("q4"), bits("q8")]).toEqual([4.5, 8.5]);
  });
});

/**
 * How far a weight may be off, as a share of the largest of its group: q8 rounds to half of 1 /
 * 127; searched scales clip a little, and integers for scales round these too.
 */
const FARTHEST: Readonly<Record<Exclude<PackableName, "f16">, number>> = {
  f32: 0,
  bf16: 1 / 256,
  q8: 1 / 250,
  q6_k: 1 / 20,
  q5_k: 1 / 12,
  q5_1: 1 / 12,
  q5_0: 1 / 8,
  q4: 1 / 5,
  q4_k: 1 / 5,
  q4_1: 1 / 5,
  iq4_nl: 1 / 5,
  iq4_xs: 1 / 5,
  mxfp4: 1 / 3,
  q3_k: 2 / 5,
  q2_k: 1 / 2,
};

describe("packRows", () => {
  it("lays q4 nibbles out as documented: byte 4j+b holds weight 8j+b low and 8j+4+b high", () => {
    // Multiples of one scale, so that quantizing is exact: weight i is u(i) - 8, with
    // both extremes present.
    const level = (i: number) => (i * 7 + 3) % 16;
    const x = Float32Array.from({ length: 32 }, (_, i) => level(i) - 8);
    const [levels, scales] = packPlanes(FORMATS.q4, x, 1, 32);
    expect(HALF_TO_FLOAT[new Uint16Array(scales!.buffer)[0]!]).toBe(1);
    for (let j = 0; j < 4; j++)
      for (let b = 0; b < 4; b++)
        expect(levels![4 * j + b], `byte ${4 * j + b}`).toBe(level(8 * j + b) | (level(8 * j + 4 + b) << 4));
  });

  it("lays q8 levels out in order, scaled by max / 127, 128 above", () => {
    const x = Float32Array.from({ length: 32 }, (_, i) => (i % 2 ? -1 : 1) * 4 * i);
    x[31] = -127;
    const [levels, scales] = packPlanes(FORMATS.q8, x, 1, 32);
    expect([...levels!]).toEqual([...x].map((value) => value + 128));
    expect(HALF_TO_FLOAT[new Uint16Array(scales!.buffer)[0]!]).toBe(1);
  });

  it.each(PACKABLE.flatMap((precision) => [1, 31, 32, 33, 60, 64, 97].map((cols) => ({ precision, cols }))))(
    "$precision gives back rows of $cols columns, each as it does alone",
    ({ precision, cols }) => {
      const rows = 5;
      const x = uniform(rows * cols, cols);
      const all = held(FORMATS[precision], x, rows, cols);
      for (let r = 0; r < rows; r++)
        for (let c = 0; c < cols; c++) {
          const size = FORMATS[precision].group;
          const first = c - (c % size);
          const group = x.subarray(r * cols + first, r * cols + Math.min(cols, first + size));
          const max = group.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
          const value = x[r * cols + c]!;
          const allowed = precision === "f16" ? Math.abs(value) / 2048 : max * FARTHEST[precision];
          expect(Math.abs(all[r * cols + c]! - value), `row ${r}, column ${c}`).toBeLessThanOrEqual(allowed);
        }
      expect(held(FORMATS[precision], x.subarray(2 * cols, 4 * cols), 2, cols)).toEqual(
        all.subarray(2 * cols, 4 * cols),
      );
    },
  );

  it.each(PACKABLE)("%s writes groups of padding as zero weights over what was there", (precision) => {
    const cols = 32;
    const format: Format = FORMATS[precision];
    const planes = packPlanes(format, uniform(format.group, 2), 1, format.group);
    format.pack!(uniform(cols, 1), planes);
    const row = new Float32Array(format.group);
    unpackRows(format, planes, 1, format.group, row);
    expect([...row.subarray(cols)].map(Math.abs)).toEqual(Array(format.group - cols).fill(0));
  });

  it.each(["q8", "q4"] as const)("%s keeps zeros, tiny and huge weights finite", (precision) => {
    const x = new Float32Array(96);
    x.fill(1e-30, 32, 64);
    x.fill(3e38, 64, 80);
    const back = held(FORMATS[precision], x, 1, 96);
    expect([...back.subarray(0, 64)].every((value) => Math.abs(value) === 0)).toBe(true);
    expect([...back.subarray(64)].every(Number.isFinite)).toBe(true);
    expect([...back.subarray(80)].map(Math.abs)).toEqual(Array(16).fill(0));
  });

  it("f16 keeps huge weights finite, as large as it can", () => {
    const back = held(FORMATS.f16, Float32Array.of(1e5, -3e38, 65519, 1), 1, 4);
    expect(back).toEqual(Float32Array.of(65504, -65504, 65504, 1));
  });

  it("f16 rounds to nearest even", () => {
    const x = uniform(64, 9);
    expect(held(FORMATS.f16, x, 1, 64)).toEqual(Float32Array.from(x, (value) => HALF_TO_FLOAT[toHalf(value)]!));
  });
});

describe("affine formats", () => {
  it.each([
    ["q4_g128", 128, 4.1875],
    ["q4_g64", 64, 4.375],
    ["q4_g32", 32, 4.75],
  ] as const)("%s: s (q - z) a group of %i columns, %f bits a weight", (name, size, bits) => {
    const format = FORMATS[name];
    expect((panelLayout(format, 64, 512).bytes * 8) / (64 * 512)).toBe(bits);
    const cols = 300; // within a group
    const [levels, scales, zeros] = rowPlanes(format, 1, cols) as [Uint8Array, Uint8Array, Uint8Array];
    const level = (i: number) => (i * 7 + (i >> 4)) % 16;
    // Weights in the order of packs: byte 4j + b holds weight 8j + b low and 8j + 4 + b high.
    for (let i = 0; i < cols; i++) levels[(i >> 3) * 4 + (i & 3)]! |= level(i) << (i & 4);
    const halves = new Uint16Array(scales.buffer);
    const scale = (g: number) => (g + 1) / 2048;
    for (let g = 0; g < Math.ceil(cols / size); g++) {
      halves[g] = toHalf(scale(g));
      zeros[g] = (g * 5 + 3) % 16;
    }
    const row = new Float32Array(cols);
    format.unpack([levels, scales, zeros], cols, row);
    const want = row.map((_, i) => {
      const g = Math.floor(i / size);
      return scale(g) * (level(i) - ((g * 5 + 3) % 16));
    });
    expect(row).toEqual(want);
  });
});

const OF_FILES = Object.values<Format>(FORMATS).flatMap((format) =>
  ggmlTypes(format).map((ggml) => ({ ...format, ggml })),
);

describe("what tests pack to", () => {
  it.each(Object.values<Format>(FORMATS).filter(({ ggml, pack }) => ggml && !pack))(
    "$name is near what was packed",
    (format) => {
      const x = uniform(3 * 320, 1);
      x.fill(0, 32, 64);
      const back = held(format, x, 3, 320);
      // A level is at most a third of what a group spans.
      const tolerance = { iq1: 0.2, iq2: 0.1, q2_k: 0.1, q3_k: 0.04, iq3_s: 0.02, iq3_xxs: 0.02 }[format.name];
      expectClose(back, x, x.length, tolerance ?? 0.015);
    },
  );
});

describe("GGUF files", () => {
  const { path, skip } = inShared("fixtures/gguf/block-vectors.json");
  interface Case {
    readonly type_id: number;
    readonly label: string;
    readonly raw: string;
    readonly f32: string;
  }

  // The fixtures have no F32.
  for (const format of OF_FILES.filter(({ ggml }) => ggml.type !== 0))
    it.skipIf(skip)(
      titled(`${format.name}: every bit of what ggml makes of blocks of type ${format.ggml.type}`, skip),
      () => {
        const { cases } = JSON.parse(readFileSync(path, "utf8")) as { readonly cases: readonly Case[] };
        const own = cases.filter(({ type_id }) => type_id === format.ggml.type);
        expect(own.length).toBeGreaterThan(0);
        for (const { label, raw, f32 } of own) {
          const want = f32.trim().split(/\s+/);
          const into = new Float32Array(want.length);
          const planes = rowPlanes(format, 1, want.length);
          format.ggml.split(Uint8Array.from(Buffer.from(raw, "hex")), planes);
          format.unpack(planes, want.length, into);
          const bits = new Uint32Array(into.buffer);
          const got = Array.from(into, (value, i) =>
            Number.isNaN(value) ? "nan" : bits[i]!.toString(16).padStart(8, "0"),
          );
          expect(got, label).toEqual(want);
        }
      },
    );

  // Codebooks are looked up while a file is read; what they say takes more bits.
  it.each(OF_FILES.filter(({ ggml }) => ggml.codebook === undefined))(
    "$name takes at most 3 % more memory than the file",
    (format) => {
      const [rows, cols] = [64, 4096];
      const file = (rows * cols * format.ggml.bytes) / format.group;
      const { bytes } = panelLayout(format, rows, cols);
      expect(bytes).toBeGreaterThanOrEqual(file);
      expect(bytes).toBeLessThanOrEqual(1.03 * file);
    },
  );

  it.each(OF_FILES)(
    "$name, type $ggml.type: a row is split at once as group by group, over what was there",
    (format) => {
      const { group, ggml } = format;
      const raw = Uint8Array.from({ length: 3 * ggml.bytes }, (_, i) => (i * 37 + (i >>> 3) * 11) & 255);
      const planes = rowPlanes(format, 3, group).map((plane) => plane.fill(255));
      ggml.split(raw, planes);
      const each = rowPlanes(format, 3, group);
      for (let g = 0; g < 3; g++)
        ggml.split(raw.subarray(g * ggml.bytes, (g + 1) * ggml.bytes), rowsOfPlanes(each, 3, g, 1));
      expect(planes).toEqual(each);
    },
  );

  it.each([
    ["f32", 40, 160],
    ["f16", 40, 80],
    ["bf16", 40, 80],
    ["mxfp4", 96, 51],
  ] as const)("%s: a row of %i columns ends within a group, with zeros behind it", (name, cols, bytes) => {
    const format: Format = FORMATS[name];
    const planes = rowPlanes(format, 1, cols).map((plane) => plane.fill(255));
    format.ggml!.split(new Uint8Array(bytes).fill(0x33), planes);
    const into = new Float32Array(Math.ceil(cols / format.group) * format.group);
    format.unpack(planes, into.length, into);
    const [own, behind] = [into.subarray(0, cols), into.subarray(cols)];
    expect(new Set(own).size).toBe(1);
    expect(own[0]).not.toBe(0);
    expect(new Set(behind)).toEqual(new Set([0]));
  });
});
