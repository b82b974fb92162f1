// Matrices of quantized checkpoints as published: every weight bit for bit, in planes and as f32.

import { describe, expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { type Format, panelLayout, rowPlanes } from "../../src/tensor/format.ts";
import { openFolder } from "../../src/weights/folder.ts";
import { type Affine, packAwq, packCompressed, packGptq } from "../support/pack_words.ts";
import { affine, floatsOf, matrixOf, planesOf, valuesOf } from "../support/quantized_matrix.ts";
import { memoryFiles, type TensorSpec, tensorFile } from "./memory_files.ts";

const AWQ = { quant_method: "awq", bits: 4, version: "gemm", zero_point: true };
const GPTQ = { quant_method: "gptq", bits: 4, desc_act: false, sym: false };
const ROUND = { quant_method: "auto-round", bits: 4, data_type: "int", packing_format: "auto_round:auto_gptq" };
const packed = (weights: object) => ({
  quant_method: "compressed-tensors",
  format: "pack-quantized",
  config_groups: {
    group_0: { targets: ["Linear"], weights: { num_bits: 4, type: "int", strategy: "group", ...weights } },
  },
});

/** rows, cols, columns of a group, the format that holds it. */
const SHAPES = [
  [16, 256, 128, FORMATS.q4_g128],
  [24, 640, 64, FORMATS.q4_g64],
  [40, 96, 32, FORMATS.q4_g32],
  [16, 384, 192, FORMATS.q4_g64],
  [16, 512, 256, FORMATS.q4_g128],
] as const;

describe("4-bit matrices", () => {
  describe.each(SHAPES)("[%i, %i] in groups of %i", (rows, cols, size, format) => {
    const any = affine(rows, cols, size);
    const cases: [string, Record<string, TensorSpec>, object, Affine, Format?][] = [
      ["AWQ", packAwq(any), { ...AWQ, group_size: size }, any],
      ["GPTQ", packGptq(any), { ...GPTQ, group_size: size }, any],
      ["AutoRound", packGptq(any), { ...ROUND, group_size: size }, any],
      ["AutoRound as AWQ", packAwq(any), { ...ROUND, group_size: size, packing_format: "auto_round:auto_awq" }, any],
      ["GPTQ, version 2", packGptq(any, 2), { ...GPTQ, group_size: size, checkpoint_format: "gptq_v2" }, any],
      ["compressed-tensors", packCompressed(any, { zeros: true }), packed({ group_size: size, symmetric: false }), any],
    ];
    const symmetric = affine(rows, cols, size, { symmetric: true });
    cases.push([
      "compressed-tensors, symmetric",
      packCompressed(symmetric, {}),
      packed({ group_size: size, symmetric: true }),
      symmetric,
      format === FORMATS.q4_g32 ? FORMATS.q4 : format, // the same without zero points
    ]);
    it.each(cases)("%s", async (_, tensors, config, want, held = format) => {
      const matrix = await matrixOf(tensors, config);
      expect(matrix).toMatchObject({ rows, cols, format: held });
      expect(await floatsOf(matrix)).toEqual(valuesOf(want));
      expect(await planesOf(matrix, held)).toEqual(valuesOf(want));
      expect(await matrix.readPlanes?.(FORMATS.q8, 0, 8, rowPlanes(FORMATS.q8, 8, cols))).toBe(false);
    });
  });

  it("one group a row", async () => {
    const all = affine(16, 288, 288);
    for (const [tensors, config] of [
      [packGptq(all), { ...GPTQ, group_size: -1 }],
      [packGptq(all), { ...GPTQ, group_size: -1, desc_act: true }], // an order of columns, no groups
      [packAwq(all), { ...AWQ, group_size: -1 }],
      [packCompressed(all, { zeros: true }), packed({ strategy: "channel", symmetric: false })],
    ] as const) {
      const matrix = await matrixOf(tensors, config);
      expect(await floatsOf(matrix)).toEqual(valuesOf(all));
      expect(await planesOf(matrix, FORMATS.q4_g128)).toEqual(valuesOf(all));
    }
  });

  /** The two methods with groups in any order. */
  const anyOrder = (any: Affine, size: number) =>
    [
      [packGptq(any), { ...GPTQ, group_size: size, desc_act: true }],
      [
        packCompressed(any, { zeros: true, index: true }),
        packed({ group_size: size, symmetric: false, actorder: "group" }),
      ],
    ] as const;

  it.each([
    [16, 256, 128, FORMATS.q4_g128],
    [24, 640, 64, FORMATS.q4_g64],
    [16, 104, 32, FORMATS.q4_g32],
  ])("[%i, %i]: groups of %i in any order are sorted", async (rows, cols, size, format) => {
    const any = affine(rows, cols, size, { anyOrder: true });
    const values = valuesOf(any);
    for (const [tensors, config] of anyOrder(any, size)) {
      const matrix = await matrixOf(tensors, config);
      expect(matrix.format).toBe(FORMATS.f32); // until its order is known
      const settled = await matrix.settle!();
      expect(settled.format).toBe(format);
      const order = [...settled.order!];
      expect([...order].sort((a, b) => a - b)).toEqual(Array.from(order.keys()));
      expect(order.map((column) => any.group[column])).toEqual([...any.group].sort((a, b) => a - b));
      const want = values.map((_, i) => values[Math.floor(i / cols) * cols + order[i % cols]!]!);
      expect(await planesOf(settled, format)).toEqual(want);
      expect(await floatsOf(settled)).toEqual(values);
      expect(await floatsOf(matrix)).toEqual(values);
    }
  });

  it.each([
    [32, FORMATS.q4_g32],
    [64, FORMATS.q4_g64],
    [128, FORMATS.q4_g128],
  ])("groups of %i in any order take at most 3 % more than in the file", (size, format) => {
    const file = Object.values(packGptq(affine(64, 512, size, { anyOrder: true })));
    const bytes = file.reduce((sum, { data }) => sum + data.byteLength, 0);
    expect(panelLayout(format, 64, 512).bytes + 4 * 512).toBeLessThan(1.03 * bytes);
    // Without zero points in the file, too.
    const symmetric = Object.values(packCompressed(affine(64, 512, size, { symmetric: true }), { index: true }));
    const fewer = symmetric.reduce((sum, { data }) => sum + data.byteLength, 0);
    const held = size === 32 ? FORMATS.q4 : format;
    expect(panelLayout(held, 64, 512).bytes + 4 * 512).toBeLessThan(1.03 * fewer);
  });

  it("groups in their order need no other (static groups)", async () => {
    const any = affine(16, 256, 128);
    for (const [tensors, config] of anyOrder(any, 128)) {
      const settled = await (await matrixOf(tensors, config)).settle!();
      expect(settled.order).toBeUndefined();
      expect(await planesOf(settled, FORMATS.q4_g128)).toEqual(valuesOf(any));
    }
  });

  it("groups of other sizes than config.json says are read exactly as f32", async () => {
    const any = affine(16, 256, 64, { anyOrder: true });
    any.group[any.group.indexOf(1)] = 2;
    for (const [tensors, config] of anyOrder(any, 64)) {
      const settled = await (await matrixOf(tensors, config)).settle!();
      expect(settled).toMatchObject({ format: FORMATS.f32 });
      expect(settled.readPlanes).toBeUndefined();
      expect(await floatsOf(settled)).toEqual(valuesOf(any));
    }
  });

  it("compressed-tensors: groups of a matrix that no calibration reached follow each other", async () => {
    const any = affine(16, 256, 64);
    const index = Int32Array.from(any.group).fill(-1);
    const read = async (data: Int32Array) => {
      const tensors = packCompressed({ ...any, group: data }, { zeros: true, index: true });
      return (await matrixOf(tensors, packed({ group_size: 64, symmetric: false, actorder: "group" }))).settle!();
    };
    const settled = await read(index);
    expect(settled).toMatchObject({ format: FORMATS.q4_g64 });
    expect(settled.order).toBeUndefined();
    expect(await floatsOf(settled)).toEqual(valuesOf(any));
    await expect(read(Int32Array.from(index).fill(0, 1, 2))).rejects.toThrow(/group of input 0: expected 0 to 3/);
  });

  it("an order that config.json does not announce is refused", async () => {
    const any = affine(16, 256, 64, { anyOrder: true });
    const matrix = await matrixOf(packGptq(any), { ...GPTQ, group_size: 64 });
    await expect(matrix.readRows(0, 1, new Float32Array(256))).rejects.toThrow(
      /g_idx: group of input \d+: expected \d, since config\.json says desc_act false/,
    );
  });

  it("a bias of zeros is no bias, another is refused", async () => {
    const any = affine(16, 128, 128);
    const bias = (data: Uint16Array): TensorSpec => ({ dtype: "F16", shape: [16], data });
    const zeros = Uint16Array.from({ length: 16 }, (_, i) => (i % 2 ? 0x8000 : 0));
    const config = { ...GPTQ, group_size: 128 };
    const plain = await matrixOf({ ...packGptq(any), bias: bias(zeros) }, config);
    expect(await floatsOf(plain)).toEqual(valuesOf(any));
    const biased = await matrixOf({ ...packGptq(any), bias: bias(zeros.fill(1, 15)) }, config);
    await expect(floatsOf(biased)).rejects.toThrow(/x\.bias is a bias that is not zero/);
  });

  it("scales beyond f16 are read as f32 only", async () => {
    const any = affine(16, 128, 64);
    const scales = Float32Array.from(any.s, () => 1 / 3);
    const tensors = {
      ...packCompressed(any, { zeros: true }),
      weight_scale: { dtype: "F32", shape: [16, 2], data: scales },
    };
    const matrix = await matrixOf(tensors, packed({ group_size: 64, symmetric: false }));
    const third = Math.fround(1 / 3);
    const want = Float32Array.from(
      any.q,
      (q, i) => third * (q - any.z[Math.floor(i / 128) * 2 + any.group[i % 128]!]!),
    );
    expect(await floatsOf(matrix)).toEqual(want);
    await expect(planesOf(matrix, FORMATS.q4_g64)).rejects.toThrow(
      /the scale 0\.333\d* of row 0 does not fit f16.*--weights f16/,
    );
  });

  it("tensors that do not fit config.json are named", async () => {
    const any = affine(16, 256, 128);
    await expect(matrixOf(packAwq(any), { ...AWQ, group_size: 64 })).rejects.toThrow(
      /x\.qzeros: expected shape \[4,2\], found \[2,2\] \(the group_size of config\.json makes 4 groups of 256 inputs\)/,
    );
    const { qzeros: _, ...rest } = packAwq(any);
    await expect(matrixOf(rest, { ...AWQ, group_size: 128 })).rejects.toThrow(/tensor x\.qzeros is missing/);
    const { g_idx: __, ...ordered } = packGptq(affine(16, 256, 128, { anyOrder: true }));
    const unknownOrder = matrixOf(ordered, { ...GPTQ, group_size: 128, desc_act: true });
    await expect(unknownOrder).rejects.toThrow(/tensor x\.g_idx is missing/);
    const compressed = packCompressed(any, { zeros: true });
    const announced = (actorder: unknown) =>
      matrixOf(compressed, packed({ group_size: 128, symmetric: false, actorder }));
    await expect(announced("group")).rejects.toThrow(/tensor x\.weight_g_idx is missing/);
    await expect(announced("odd")).rejects.toThrow(/actorder: expected .*"group".*, found "odd"/);
    for (const none of [null, false, "weight", "static"])
      expect(await floatsOf(await announced(none))).toEqual(valuesOf(any));
    const infinite = packGptq({ ...any, s: any.s.fill(0x7c00, 3, 4) });
    const matrix = await matrixOf(infinite, { ...GPTQ, group_size: 128 });
    await expect(floatsOf(matrix)).rejects.toThrow(/x\.scales holds Infinity at element/);
  });

  it("reads a matrix once, however many rows are asked for at a time", async () => {
    const any = affine(64, 512, 128);
    const reads: [string, number, number][] = [];
    const named = Object.fromEntries(Object.entries(packAwq(any)).map(([name, tensor]) => [`x.${name}`, tensor]));
    const config = JSON.stringify({ quantization_config: { ...AWQ, group_size: 128 } });
    const { source } = await openFolder(
      memoryFiles({ "config.json": config, "model.safetensors": tensorFile(named) }, reads),
    );
    reads.length = 0;
    const matrix = source.matrix("x.weight");
    expect(await floatsOf(matrix)).toEqual(valuesOf(any));
    expect(reads.reduce((sum, [, , bytes]) => sum + bytes, 0)).toBe((64 * 512) / 2 + 4 * 64 * 2 + 4 * 32);
    // Its last rows have been read: it is not kept.
    await matrix.readRows(0, 1, new Float32Array(512));
    expect(reads.reduce((sum, [, , bytes]) => sum + bytes, 0)).toBe(2 * ((64 * 512) / 2 + 4 * 64 * 2 + 4 * 32));
  });
});

describe("FP8", () => {
  const [rows, cols] = [136, 150];
  const bytes = Uint8Array.from({ length: rows * cols }, (_, i) => ((i * 37) % 127) | ((i & 1) << 7));
  /** OCP's E4M3: exponents from 1 on, subnormals below. */
  const e4m3 = (byte: number) => {
    const exponent = (byte >> 3) & 15;
    const size = exponent === 0 ? (byte & 7) / 512 : (8 + (byte & 7)) * 2 ** (exponent - 10);
    return byte & 128 ? -size : size;
  };
  const weight = { dtype: "F8_E4M3", shape: [rows, cols], data: bytes };
  const bfloat = (x: Float32Array) => Uint16Array.from(new Uint32Array(x.buffer), (bits) => bits >>> 16);
  const fp8 = { quant_method: "fp8", fmt: "e4m3", weight_block_size: [128, 128], activation_scheme: "dynamic" };
  const compressed = (weights: object) => ({
    quant_method: "compressed-tensors",
    format: "float-quantized",
    config_groups: { group_0: { weights: { type: "float", num_bits: 8, ...weights } } },
  });

  it.each<[string, object, Record<string, TensorSpec>, (r: number, c: number) => number]>([
    [
      "blocks of 128 x 128 with ragged ends, F32 scales",
      fp8,
      { weight_scale_inv: { dtype: "F32", shape: [2, 2], data: Float32Array.of(0.1, 0.2, 0.3, 0.7) } },
      (r, c) => Math.fround([0.1, 0.2, 0.3, 0.7][2 * (r >> 7) + (c >> 7)]!),
    ],
    [
      "BF16 scales",
      fp8,
      { weight_scale_inv: { dtype: "BF16", shape: [2, 2], data: bfloat(Float32Array.of(0.5, 0.25, 3, 1.5)) } },
      (r, c) => [0.5, 0.25, 3, 1.5][2 * (r >> 7) + (c >> 7)]!,
    ],
    [
      "a scale a row",
      compressed({ strategy: "channel" }),
      {
        weight_scale: {
          dtype: "F32",
          shape: [rows, 1],
          data: Float32Array.from({ length: rows }, (_, r) => 1 + r / 7),
        },
      },
      (r) => Math.fround(1 + r / 7),
    ],
    [
      "one scale",
      compressed({ strategy: "tensor" }),
      { weight_scale: { dtype: "F32", shape: [1], data: Float32Array.of(0.3) } },
      () => Math.fround(0.3),
    ],
  ])("%s", async (_, config, scale, factor) => {
    const matrix = await matrixOf({ weight, ...scale }, config);
    const want = Float32Array.from(bytes, (byte, i) => e4m3(byte) * factor(Math.floor(i / cols), i % cols));
    expect(await floatsOf(matrix)).toEqual(want);
    expect(matrix.format).toBe(FORMATS.f8);
    expect(await planesOf(matrix, FORMATS.f8)).toEqual(want);
  });

  it("tiles that the format cannot hold are read as f32", async () => {
    const scale = { dtype: "F32", shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) };
    const matrix = await matrixOf({ weight, weight_scale_inv: scale }, { ...fp8, weight_block_size: [128, 64] });
    expect(matrix.format).toBe(FORMATS.f32);
    const factor = (r: number, c: number) => 1 + 3 * (r >> 7) + (c >> 6);
    const want = Float32Array.from(bytes, (byte, i) => e4m3(byte) * factor(Math.floor(i / cols), i % cols));
    expect(await floatsOf(matrix)).toEqual(want);
  });

  it.each([
    [Number.POSITIVE_INFINITY, /weight_scale_inv holds Infinity at element 2; every scale must be finite/],
    [-3e38, /weight_scale_inv holds -3\.\d+e\+38 at element 2: weights of it are beyond f32/],
  ])("a scale of %d is refused, though it is read before the weights", async (factor, message) => {
    const scale = { dtype: "F32", shape: [2, 2], data: Float32Array.of(1, 1, factor, 1) };
    const matrix = await matrixOf({ weight, weight_scale_inv: scale }, fp8, { slow: cols });
    await expect(floatsOf(matrix)).rejects.toThrow(message);
    await expect(planesOf(matrix, FORMATS.f8)).rejects.toThrow(message);
  });

  it("a NaN is refused by its place", async () => {
    const data = bytes.slice();
    data[cols + 3] = 0xff;
    const scale = { dtype: "F32", shape: [2, 2], data: Float32Array.of(1, 1, 1, 1) };
    const matrix = await matrixOf({ weight: { ...weight, data }, weight_scale_inv: scale }, fp8);
    await expect(floatsOf(matrix)).rejects.toThrow(/x\.weight holds NaN at \[1, 3\]/);
  });
});
