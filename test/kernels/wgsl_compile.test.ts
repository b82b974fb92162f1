// Every kernel that reads weights, in every format and arithmetic: that its WGSL is valid, which
// the compiler tells without an adapter. What it computes is tested in fewer formats.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import type { KernelLine } from "../../src/backend/webgpu/dispatch/line.ts";
import { assemble, type Variant } from "../../src/backend/webgpu/dispatch/shader.ts";
import { TABLE } from "../../src/backend/webgpu/dispatch/table.ts";
import { TILES, tilesFor } from "../../src/backend/webgpu/tuning/tiles.ts";
import type { Format } from "../../src/tensor/format.ts";

const KERNELS = Object.entries<KernelLine>(TABLE)
  .filter(([, { bindings }]) => "part" in bindings)
  .map(([name]) => name);
/** Those that take rows of f32 only. */
const EXACT = ["qkv_vec", "qkv_mixed", "route", "heads"];
const TILED = ["matmul", "expert_up", "expert_down"];

describe("WGSL that reads weights", () => {
  let gpu: GPU;
  let device: GPUDevice;
  beforeAll(async () => {
    const { create } = await import("webgpu");
    gpu = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
    const adapter = await gpu.requestAdapter();
    device = await adapter!.requestDevice({ requiredFeatures: ["shader-f16", "subgroups"] });
  });
  afterAll(() => {
    device.destroy();
    expect(gpu).toBeDefined(); // referenced to the end: see node_gpu.ts
  });

  it.each(Object.values<Format>(FORMATS))("is valid in $name", async (format) => {
    const { name: weights, arithmetics } = format;
    const all = Object.keys(FORMATS);
    const [second, third] = [1, 2].map((on) => all[(all.indexOf(weights) + on) % all.length]!) as [string, string];
    const tiles = tilesFor(format, { f16: true, int8: true, matrix: null }).map((tile) => TILES[tile].variant);
    for (const kernel of KERNELS) {
      const few = kernel.endsWith("_few") || kernel === "heads";
      const variants: readonly Variant[] = TILED.includes(kernel)
        ? tiles
        : arithmetics
            .filter((arithmetic) => !few || arithmetic !== "f16")
            .map((arithmetic) => ({
              ...{ arithmetic, reduce: "subgroups", kv: "f16" },
              ...(few && { few: arithmetic === "int8" ? "8x4" : "4x16" }),
            }));
      for (const variant of variants) {
        if (variant.arithmetic === "int8" && EXACT.includes(kernel)) continue;
        const own = kernel === "qkv_mixed" && variant.arithmetic === "f32" ? { second, third } : {};
        const { code } = assemble(kernel, { ...variant, weights, ...own });
        const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
        expect(
          messages.map(({ message }) => message),
          `${kernel} ${JSON.stringify(variant)}`,
        ).toEqual([]);
      }
    }
  });
});
