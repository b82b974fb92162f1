import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { SafeTensor } from "safetensors";
import { describe, expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { WeightsError } from "../../src/errors.ts";
import { packRows, rowPlanes } from "../../src/tensor/format.ts";
import { nodeFiles } from "../../src/weights/node_files.ts";
import { readSafetensorsHeader } from "../../src/weights/safetensors.ts";
import { safetensorsSource } from "../../src/weights/source.ts";
import { f32, memoryFiles, type TensorSpec, tensorFile } from "./memory_files.ts";

async function sourceOf(tensors: Readonly<Record<string, TensorSpec>>, reads: [string, number, number][] = []) {
  const files = memoryFiles({ "x.safetensors": tensorFile(tensors) }, reads);
  return safetensorsSource(files, [await readSafetensorsHeader(files, "x.safetensors")]);
}

const half = (dtype: string, shape: number[], ...bits: number[]): TensorSpec => ({
  dtype,
  shape,
  data: Uint16Array.from(bits),
});

// From IEEE 754 (binary16) and the definition of bfloat16 as the upper half of binary32.
const known: readonly (readonly [string, number, number])[] = [
  ["F16", 0x0000, 0],
  ["F16", 0x8000, -0],
  ["F16", 0x3c00, 1],
  ["F16", 0xc000, -2],
  ["F16", 0x3555, 0.333251953125],
  ["F16", 0x7bff, 65504],
  ["F16", 0x0400, 2 ** -14],
  ["F16", 0x0001, 2 ** -24],
  ["F16", 0x83ff, -1023 * 2 ** -24],
  ["BF16", 0x0000, 0],
  ["BF16", 0x8000, -0],
  ["BF16", 0x3f80, 1],
  ["BF16", 0xc049, -3.140625],
  ["BF16", 0x7f7f, 255 * 2 ** 120],
  ["BF16", 0x0080, 2 ** -126],
  ["BF16", 0x0001, 2 ** -133],
];

describe("a tensor as a matrix", () => {
  it.each(known)("%s bits %i are %d", async (dtype, bits, value) => {
    const source = await sourceOf({ t: half(dtype, [1], bits) });
    const into = new Float32Array(1);
    await source.matrix("t").readRows(0, 1, into);
    expect(into[0]).toBe(value);
  });

  it.each([
    [[], 1, 1],
    [[6], 1, 6],
    [[2, 3], 2, 3],
    [[2, 3, 4], 6, 4],
    [[3, 0], 3, 0],
  ])("of shape %j is [%d, %d]", async (shape, rows, cols) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const source = await sourceOf({ t: { dtype: "F32", shape, data: new Float32Array(size) } });
    const matrix = source.matrix("t");
    expect([matrix.rows, matrix.cols]).toEqual([rows, cols]);
  });

  it.each(["F16", "BF16"] as const)(
    "gives planes of %s as the file has them, padded to whole groups",
    async (dtype) => {
      const format = FORMATS[dtype === "F16" ? "f16" : "bf16"];
      for (const cols of [64, 40]) {
        const bits = Array.from({ length: 5 * cols }, (_, i) => 0x3c00 + 7 * i);
        const source = (await sourceOf({ t: half(dtype, [5, cols], ...bits) })).matrix("t", 1, 4);
        expect(source.dtype).toBe(dtype);
        const planes = rowPlanes(format, 2, cols).map((plane) => plane.fill(0xa5));
        expect(await source.readPlanes!(format, 1, 2, planes)).toBe(true);
        const rows = new Float32Array(2 * cols);
        await source.readRows(1, 2, rows);
        const packed = rowPlanes(format, 2, cols);
        packRows(format, rows, 2, cols, packed);
        expect(planes).toEqual(packed);
        await expect(source.readPlanes!(format, 3, 2, planes)).rejects.toThrow("rows 3 to 5 of 4 of t");
        for (const other of [FORMATS.f32, FORMATS[dtype === "F16" ? "bf16" : "f16"], FORMATS.q8])
          expect(await source.readPlanes!(other, 0, 1, rowPlanes(other, 1, cols))).toBe(false);
      }
    },
  );

  it.each([
    ["F16", 0x7c00],
    ["BF16", 0xff80],
  ])("names the weight that is no number where planes of %s are read", async (dtype, bits) => {
    const source = (
      await sourceOf({ t: half(dtype, [2, 32], ...new Array(40).fill(0x3c00), bits, ...new Array(23).fill(0)) })
    ).matrix("t");
    const format = FORMATS[dtype === "F16" ? "f16" : "bf16"];
    await expect(source.readPlanes!(format, 1, 1, rowPlanes(format, 1, 32))).rejects.toThrow(
      /holds -?Infinity at \[1, 8\]/,
    );
  });

  it("cuts one expert out of a fused tensor", async () => {
    const data = Float32Array.from({ length: 24 }, (_, i) => i);
    const source = await sourceOf({ t: { dtype: "F32", shape: [2, 3, 4], data } });
    const expert = source.matrix("t", 3, 2); // rows 0 and 1 of the second [3, 4]
    const into = new Float32Array(4);
    await expert.readRows(1, 1, into);
    expect([...into]).toEqual([16, 17, 18, 19]);
    await expect(expert.readRows(1, 2, new Float32Array(8))).rejects.toThrow(RangeError);
    expect(() => source.matrix("t", 5, 2)).toThrow(RangeError);
  });

  it("reads any range of rows of any dtype into any place, and only there", async () => {
    const spec = fc.record({
      dtype: fc.constantFrom("F32", "F16", "BF16"),
      rows: fc.integer({ min: 1, max: 9 }),
      cols: fc.integer({ min: 1, max: 9 }),
      first: fc.nat(8),
      count: fc.nat(9),
      before: fc.nat(3),
    });
    await fc.assert(
      fc.asyncProperty(spec, async ({ dtype, rows, cols, first: f, count: c, before }) => {
        const first = f % rows;
        const count = Math.min(c, rows - first);
        // all different, all finite
        const bits = Array.from({ length: rows * cols }, (_, i) => 0x3c00 + i);
        const words = dtype === "F32" ? Uint32Array.from(bits, (b) => b << 16) : Uint16Array.from(bits);
        const source = await sourceOf({ pad: f32(9), t: { dtype, shape: [rows, cols], data: words } });
        const buffer = new Float32Array(before + count * cols + 2).fill(7);
        await source.matrix("t").readRows(first, count, buffer.subarray(before));
        const value = (i: number): number => {
          const view = new DataView(new ArrayBuffer(4));
          view.setUint32(0, bits[i]! << 16);
          return dtype === "F16" ? 1 + i / 1024 : view.getFloat32(0);
        };
        const want = Array.from({ length: count * cols }, (_, i) => value(first * cols + i));
        expect([...buffer]).toEqual([...Array(before).fill(7), ...want, 7, 7]);
      }),
      { numRuns: 300 },
    );
  });

  it("reads in pieces of at most 16 MiB", async () => {
    const reads: [string, number, number][] = [];
    const cols = 1000;
    const rows = 9000;
    const source = await sourceOf(
      { t: { dtype: "BF16", shape: [rows, cols], data: new Uint16Array(rows * cols).fill(0x3f80) } },
      reads,
    );
    reads.length = 0;
    const into = new Float32Array(rows * cols);
    await source.matrix("t").readRows(0, rows, into);
    expect(reads.map(([, , size]) => size)).toEqual([2 ** 24, 2 * rows * cols - 2 ** 24]);
    expect([into[0], into[2 ** 23 - 1], into[2 ** 23], into.at(-1)]).toEqual([1, 1, 1, 1]);
  });

  it.each([
    [
      "F32",
      { dtype: "F32", shape: [2, 2, 2], data: Uint32Array.of(0, 0, 0, 0, 0, 0x7fc00000, 0, 0) },
      "holds NaN at [1, 0, 1]",
    ],
    [
      "F32, a signalling one",
      { dtype: "F32", shape: [1, 2], data: Uint32Array.of(0x3f800000, 0xff800001) },
      "holds NaN at [0, 1]",
    ],
    ["F32, infinite", { dtype: "F32", shape: [3], data: Uint32Array.of(0, 0xff800000, 0) }, "holds -Infinity at [1]"],
    ["F16", half("F16", [2, 2], 0, 0, 0x7e00, 0), "holds NaN at [1, 0]"],
    ["F16, infinite", half("F16", [2, 2], 0x7c00, 0, 0, 0), "holds Infinity at [0, 0]"],
    ["BF16", half("BF16", [4], 0, 0, 0, 0xffc0), "holds NaN at [3]"],
    ["BF16, infinite", half("BF16", [4], 0x7f80, 0, 0, 0), "holds Infinity at [0]"],
  ])("names a weight that is no number: %s", async (_what, spec, text) => {
    const source = await sourceOf({ bad: spec });
    const matrix = source.matrix("bad");
    const reading = matrix.readRows(0, matrix.rows, new Float32Array(8));
    await expect(reading).rejects.toThrow(WeightsError);
    await expect(reading).rejects.toThrow(`x.safetensors: tensor bad ${text}`);
  });

  it("names it where only a later row is read", async () => {
    const source = await sourceOf({ bad: half("BF16", [3, 2], 0, 0, 0, 0, 0x7fc0, 0) });
    await source.matrix("bad").readRows(0, 2, new Float32Array(4));
    await expect(source.matrix("bad", 1).readRows(1, 1, new Float32Array(2))).rejects.toThrow("at [2, 0]");
  });

  it.each(["F64", "I8", "U8", "F8_E4M3", "BOOL"])("refuses dtype %s by name", async (dtype) => {
    const size = dtype === "F64" ? 8 : 1;
    const source = await sourceOf({ t: { dtype, shape: [1], data: new Uint8Array(size) } });
    expect(() => source.matrix("t")).toThrow(`tensor t is of dtype ${dtype}; F32, F16 and BF16 are read`);
  });

  it("says which tensor is missing", async () => {
    const source = await sourceOf({ t: f32(1) });
    expect(() => source.matrix("u")).toThrow("tensor u is missing");
    expect(() => source.shape("constructor")).toThrow("tensor constructor is missing");
  });
});

describe("models/tales", () => {
  it("has the tensors and the bits that the npm package safetensors reads", async () => {
    const path = fileURLToPath(new URL("../../models/tales/", import.meta.url));
    const bytes = readFileSync(`${path}model.safetensors`);
    // That package throws on __metadata__ and looks from the start of the ArrayBuffer: blank the
    // one, copy for the other.
    const start = bytes.indexOf('"__metadata__":{');
    bytes.fill(" ", start, bytes.indexOf("},", start) + 2);
    const other = new SafeTensor(new Uint8Array(bytes));
    const files = await nodeFiles(path);
    const source = safetensorsSource(files, [await readSafetensorsHeader(files, "model.safetensors")]);
    expect([...source.names()].sort()).toEqual([...other.metadata.keys()].sort());
    for (const [name, { shape, dtype }] of other.metadata) {
      expect(dtype).toBe("BF16");
      expect(source.shape(name)).toEqual(shape);
      const matrix = source.matrix(name);
      const into = new Float32Array(matrix.rows * matrix.cols);
      await matrix.readRows(0, matrix.rows, into);
      const stored = other.getTensor(name).slice();
      // bfloat16 by its definition: the upper half of an f32
      const bits = new Uint32Array(into.length);
      new Uint16Array(stored.buffer).forEach((b, i) => {
        bits[i] = b << 16;
      });
      expect(Buffer.compare(new Uint8Array(into.buffer), new Uint8Array(bits.buffer))).toBe(0);
    }
    await files.close();
  });
});
