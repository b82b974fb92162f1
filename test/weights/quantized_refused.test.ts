// Quantized checkpoints that are not read, each refused by its name; and matrices that are not
// quantized in folders that are.

import { describe, expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { WeightsError } from "../../src/errors.ts";
import { openFolder } from "../../src/weights/folder.ts";
import { packAwq } from "../support/pack_words.ts";
import { affine, floatsOf, planesOf, valuesOf } from "../support/quantized_matrix.ts";
import { memoryFiles, tensorFile } from "./memory_files.ts";

const AWQ = { quant_method: "awq", bits: 4, version: "gemm", zero_point: true };
const GPTQ = { quant_method: "gptq", bits: 4, desc_act: false, sym: false };
const packed = (weights: object) => ({
  quant_method: "compressed-tensors",
  format: "pack-quantized",
  config_groups: {
    group_0: { targets: ["Linear"], weights: { num_bits: 4, type: "int", strategy: "group", ...weights } },
  },
});

describe("what is not read", () => {
  const compressed = (weights: object, change: object = {}) => ({
    quantization_config: { ...packed(weights), ...change },
  });
  it.each<[object, string]>([
    [{ quantization_config: { ...AWQ, bits: 8, group_size: 128 } }, "quantization_config: bits: expected 4, found 8"],
    [
      { quantization_config: { ...AWQ, version: "gemv", group_size: 128 } },
      'version: expected "gemm" or "GEMM", found "gemv"',
    ],
    [{ quantization_config: { ...AWQ, zero_point: false, group_size: 128 } }, "zero_point: expected true, found false"],
    [{ quantization_config: { ...AWQ, group_size: 0 } }, "group_size: expected a multiple of 8, or -1"],
    [
      { quantization_config: { ...AWQ } },
      "group_size: expected a multiple of 8, or -1 for one group a row, found nothing",
    ],
    [{ quantization_config: { ...GPTQ, bits: 3, group_size: 128 } }, "bits: expected 4, found 3"],
    [
      { quantization_config: { ...GPTQ, checkpoint_format: "marlin", group_size: 128 } },
      'checkpoint_format: expected "gptq" or "gptq_v2"',
    ],
    [
      { quantization_config: { ...GPTQ, is_marlin_format: true, group_size: 128 } },
      "is_marlin_format: expected false, found true",
    ],
    [
      { quantization_config: { quant_method: "bitsandbytes", load_in_4bit: true } },
      'quant_method "bitsandbytes" is not read',
    ],
    [{ quantization_config: { quant_method: "hqq" } }, 'quant_method "hqq" is not read'],
    [{ quantization_config: { quant_method: "toString" } }, 'quant_method "toString" is not read'],
    [{ quantization_config: { quant_method: 4 } }, "quant_method 4 is not read"],
    [{ quantization_config: [] }, "quantization_config: expected an object, found a list"],
    [{ quantization: { group_size: 64, bits: 4 } }, "quantization: MLX's quantized weights are not read"],
    [
      { quantization_config: { bits: 4 }, quantization: { bits: 4 } },
      "quantization: MLX's quantized weights are not read",
    ],
    [compressed({ num_bits: 8, group_size: 128 }), "config_groups.group_0: weights: num_bits: expected 4, found 8"],
    [compressed({ group_size: 128 }, { format: "marlin-24" }), 'format: expected "pack-quantized"'],
    [
      compressed({ group_size: 128 }, { config_groups: {} }),
      "config_groups: expected an object of objects, found an object",
    ],
    [compressed({ strategy: "tensor" }), 'strategy: expected "group" or "channel", found "tensor"'],
    [{ quantization_config: { quant_method: "fp8", fmt: "e5m2" } }, 'fmt: expected "e4m3", found "e5m2"'],
    [
      { quantization_config: { quant_method: "fp8" } },
      "weight_block_size: expected two sizes, such as [128, 128], found nothing",
    ],
  ])("%j", async (config, message) => {
    const one = { dtype: "F32", shape: [1, 1], data: Float32Array.of(1) };
    const files = memoryFiles({ "config.json": JSON.stringify(config), "model.safetensors": tensorFile({ one }) });
    const { source } = await openFolder(files);
    for (const use of [
      () => source.has("one"),
      () => [...source.names()],
      () => source.shape("one"),
      () => source.matrix("one"),
    ]) {
      expect(use).toThrow(WeightsError);
      expect(use).toThrow(message);
      expect(use).toThrow(/^folder: config\.json: /);
    }
  });

  it("a matrix that is not quantized is read as it is", async () => {
    const any = affine(16, 128, 128);
    const named = Object.fromEntries(Object.entries(packAwq(any)).map(([name, tensor]) => [`x.${name}`, tensor]));
    const y = { dtype: "F32", shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) };
    const files = memoryFiles({
      "config.json": JSON.stringify({ quantization_config: { ...AWQ, group_size: 128 } }),
      "model.safetensors": tensorFile({
        ...named,
        "y.weight": y,
        "z.bias": y,
        "half.weight": { dtype: "F16", shape: [1, 2], data: Uint16Array.of(0x3c00, 0x4000) },
        "broken.weight": { dtype: "F16", shape: [2, 2], data: Uint16Array.of(0x7bff, 0xfbff, 1, 0xfc00) },
        "bfloat.weight": {
          dtype: "BF16",
          shape: [2, 3],
          data: Uint16Array.of(0x3f80, 0xc000, 0x4040, 0x3fc0, 0, 0x8000),
        },
      }),
    });
    const { source } = await openFolder(files);
    expect([...source.names()].sort()).toEqual([
      "bfloat.weight",
      "broken.weight",
      "half.weight",
      "x.weight",
      "y.weight",
      "z.bias",
    ]);
    expect(await floatsOf(source.matrix("y.weight"))).toEqual(y.data);
    expect(source.matrix("y.weight").format).toBe(FORMATS.f32);
    const [half, bfloat] = [source.matrix("half.weight"), source.matrix("bfloat.weight")];
    expect(half.format).toBe(FORMATS.f16);
    expect(bfloat.format).toBe(FORMATS.bf16);
    expect(await planesOf(half, FORMATS.f16)).toEqual(Float32Array.of(1, 2));
    expect(await planesOf(bfloat, FORMATS.bf16)).toEqual(Float32Array.of(1, -2, 3, 1.5, 0, -0));
    expect(await planesOf(source.matrix("bfloat.weight", 1, 1), FORMATS.bf16)).toEqual(Float32Array.of(1.5, 0, -0));
    const broken = source.matrix("broken.weight");
    await expect(planesOf(broken, FORMATS.f16)).rejects.toThrow(/tensor broken\.weight holds -Infinity at \[1, 1\]/);
    const last = source.matrix("x.weight", 12, 4);
    expect(await floatsOf(last)).toEqual(valuesOf(any).subarray(12 * 128));
    expect(await planesOf(last, FORMATS.q4_g128)).toEqual(valuesOf(any).subarray(12 * 128));
  });
});
