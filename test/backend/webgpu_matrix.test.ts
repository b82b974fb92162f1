// The products on matrix units, which no software adapter has: the compiler takes them, and with
// the units written out as loops they are right.

import { describe, expect, it, vi } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { MATRIX_UNITS } from "../../src/backend/webgpu/device/adapter.ts";
import type { Shader, Variant } from "../../src/backend/webgpu/dispatch/shader.ts";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { ALL } from "../support/level.ts";
import { tileConformance } from "./conformance.ts";

type Shaders = typeof import("../../src/backend/webgpu/dispatch/shader.ts");
type Adapter = typeof import("../../src/backend/webgpu/device/adapter.ts");

const real = await vi.importActual<Shaders>("../../src/backend/webgpu/dispatch/shader.ts");
const realAdapter = await vi.importActual<Adapter>("../../src/backend/webgpu/device/adapter.ts");

/**
 * What Dawn documents of its matrices, written out: a side is where it lies and its stride, an
 * invocation has eight numbers of a result. Left's [m, k] lies at k * stride + m (column by
 * column), right's [k, n] at k * stride + n (row by row).
 */
const LOOPS = `
alias Left = vec2u;
alias Right = vec2u;
alias Result = array<f32, 8>;
var<private> lane: u32;
fn multiply(left: Left, right: Right, sum: Result) -> Result {
  var to = sum;
  for (var j = 0u; j < min(8, part.groups * 8); j++) { // a bound that no compiler unrolls
    let m = (lane * 8 + j) / 16;
    let n = (lane * 8 + j) % 16;
    for (var k = 0u; k < min(16, part.groups * 16); k++) {
      to[j] += f32(x_tile[left.x + k * left.y + m]) * f32(w_tile[right.x + k * right.y + n]);
    }
  }
  return to;
}
fn keep(at: u32, result: Result, stride: u32) {
  for (var j = 0u; j < min(8, part.groups * 8); j++) { results[at + (lane * 8 + j) / 16 * stride + (lane * 8 + j) % 16] = result[j]; }
}
`;

function writtenOut(name: string, variant: Variant): Shader {
  const shader = real.assemble(name, variant);
  if (variant.tile !== "matrix") return shader;
  const loops = shader.code
    .replace(/^(enable chromium_experimental_subgroup_matrix|diagnostic\(.*\));$/gm, "")
    .replace(/^alias (Left|Right|Result) = .*$/gm, "")
    .replace("let subgroup = number_of_subgroup(i);", "lane = i % 32; let subgroup = i / 32;")
    .replaceAll("subgroupMatrixLoad<Left, col_major>(&x_tile, ", "Left(")
    .replaceAll("subgroupMatrixLoad<Right, row_major>(&w_tile, ", "Right(")
    .replaceAll("subgroupMatrixMultiplyAccumulate(", "multiply(")
    .replaceAll("subgroupMatrixStore<row_major>(&results, ", "keep(");
  expect(loops).not.toContain("subgroupMatrix");
  return { ...shader, code: loops + LOOPS };
}

vi.mock("../../src/backend/webgpu/dispatch/shader.ts", async (original) => ({
  ...(await original<Shaders>()),
  assemble: (name: string, variant: Variant) => writtenOut(name, variant),
}));
vi.mock("../../src/backend/webgpu/device/adapter.ts", async (original) => ({
  ...(await original<Adapter>()),
  hasMatrixUnits: () => true,
  MATRIX_UNITS: "shader-f16", // asked for twice
}));

describe("matrix units", () => {
  it.each(["matmul", "expert_up", "expert_down"])("the compiler takes %s", async (kernel) => {
    const { create } = await import("webgpu");
    const gpu = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
    const adapter = await gpu.requestAdapter();
    const requiredFeatures = [realAdapter.MATRIX_UNITS, "shader-f16", "subgroups"] as GPUFeatureName[];
    const device = await adapter!.requestDevice({ requiredFeatures });
    for (const { name: weights } of Object.values(FORMATS)) {
      const { code } = real.assemble(kernel, { weights, arithmetic: "f32", reduce: "subgroups", tile: "matrix" });
      const module = device.createShaderModule({ code });
      expect((await module.getCompilationInfo()).messages.map(({ message }) => message)).toEqual([]);
      const constants = kernel === "matmul" ? { ADD: 1, BIAS: 0 } : {};
      const compute = { module, entryPoint: "main", constants };
      await expect(device.createComputePipelineAsync({ layout: "auto", compute })).resolves.toBeDefined();
    }
    device.destroy();
    expect(gpu).toBeDefined(); // referenced to the end: see node_gpu.ts
  });

  it("is asked for only where the adapter has this shape and subgroups of 32", () => {
    const shape = { componentType: "f16", resultType: "f32", M: 16, N: 16, K: 16 };
    const info = { subgroupMatrixConfigs: [{ ...shape, M: 8 }, shape], subgroupMinSize: 32, subgroupMaxSize: 32 };
    const features = new Set([realAdapter.MATRIX_UNITS, "shader-f16", "subgroups"]);
    const has = (other: object, without?: string) =>
      realAdapter.hasMatrixUnits({
        info: { ...info, ...other },
        features: new Set([...features].filter((feature) => feature !== without)),
      } as unknown as GPUAdapter);
    expect(has({})).toBe(true);
    expect(has({}, "shader-f16")).toBe(false);
    expect(has({}, realAdapter.MATRIX_UNITS)).toBe(false);
    expect(has({ subgroupMinSize: 8 })).toBe(false);
    expect(has({ subgroupMatrixConfigs: [{ ...shape, resultType: "f16" }] })).toBe(false);
    expect(has({ subgroupMatrixConfigs: undefined })).toBe(false);
    expect(MATRIX_UNITS).toBe("shader-f16"); // the mock that lets what follows run
  });
});

describe.skipIf(noAdapter)(`matrix units as loops${noAdapter ? `: ${NO_ADAPTER}` : ""}`, () => {
  const adapter = adapters.find(({ features }) => features.has("shader-f16"));
  if (!adapter) it("needs an adapter with f16", () => Promise.reject(new Error(NO_ADAPTER)));
  // Written out, a kernel takes the software adapter long to compile: one stands for the three,
  // whose tile is the same.
  else
    tileConformance(
      adapter.name,
      (options) => adapter.open({ ...options, tile: "matrix" }),
      ["q4"],
      "matmul",
      ALL ? null : "skipped: compiled for minutes here, where there are no such units (HOTSET_ALL_TESTS=1)",
    );
});
