// The products on matrix units, which no software adapter has: the compiler takes them, and with
// the units written out as loops they are right.

import { describe, expect, it, vi } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { MATRIX_UNITS, matrixUnits } from "../../src/backend/webgpu/device/adapter.ts";
import type { Shader, Variant } from "../../src/backend/webgpu/dispatch/shader.ts";
import type { MatrixTile } from "../../src/backend/webgpu/tuning/tiles.ts";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { ALL, leftToCi } from "../support/level.ts";
import { tileConformance } from "./conformance.ts";

type Shaders = typeof import("../../src/backend/webgpu/dispatch/shader.ts");
type Adapter = typeof import("../../src/backend/webgpu/device/adapter.ts");

const real = await vi.importActual<Shaders>("../../src/backend/webgpu/dispatch/shader.ts");
const realAdapter = await vi.importActual<Adapter>("../../src/backend/webgpu/device/adapter.ts");

const SLOW = "skipped: compiled for minutes here, where there are no such units (HOTSET_ALL_TESTS=1)";
const TILES_OF_UNITS = ["matrix", "matrix8"] as const;
/** Rows and columns of a tile's matrices, and what it keeps where. */
const UNITS = {
  matrix: { size: 16, x: "x_tile", w: "w_tile", results: "results" },
  matrix8: { size: 8, x: "tile", w: "tile", results: "tile" },
} as const;

/**
 * What Dawn documents of its matrices, written out: a side is where it lies and its stride, an
 * invocation has `each` numbers of a result. Left's [m, k] lies at k * stride + m (column by
 * column), right's [k, n] at k * stride + n (row by row). Loops have bounds
 * that no compiler knows, so that none unrolls them.
 */
function loops(tile: MatrixTile): string {
  const { size, x, w, results } = UNITS[tile];
  const each = size ** 2 / 32;
  return `
alias Left = vec2u;
alias Right = vec2u;
alias Result = array<f32, ${each}>;
var<private> lane: u32;
fn multiply(left: Left, right: Right, sum: Result) -> Result {
  var to = sum;
  for (var j = 0u; j < min(${each}, part.groups * ${each}); j++) {
    let m = (lane * ${each} + j) / ${size};
    let n = (lane * ${each} + j) % ${size};
    for (var k = 0u; k < min(${size}, part.groups * ${size}); k++) {
      to[j] += f32(${x}[left.x + k * left.y + m]) * f32(${w}[right.x + k * right.y + n]);
    }
  }
  return to;
}
fn keep(at: u32, result: Result, stride: u32) {
  for (var j = 0u; j < min(${each}, part.groups * ${each}); j++) {
    let place = lane * ${each} + j;
    ${results}[at + place / ${size} * stride + place % ${size}] = result[j];
  }
}
`;
}

function isMatrix(tile: Variant["tile"]): tile is MatrixTile {
  return tile !== undefined && tile in UNITS;
}

function writtenOut(name: string, variant: Variant): Shader {
  const shader = real.assemble(name, variant);
  if (!isMatrix(variant.tile)) return shader;
  const { x, w, results } = UNITS[variant.tile];
  const code = shader.code
    .replace(/^(enable chromium_experimental_subgroup_matrix|diagnostic\(.*\));$/gm, "")
    .replace(/^alias (Left|Right|Result) = .*$/gm, "")
    .replace("let subgroup = number_of_subgroup(i);", "lane = i % 32; let subgroup = i / 32;")
    .replaceAll(`subgroupMatrixLoad<Left, col_major>(&${x}, `, "Left(")
    .replaceAll(`subgroupMatrixLoad<Right, row_major>(&${w}, `, "Right(")
    .replaceAll("subgroupMatrixMultiplyAccumulate(", "multiply(")
    .replaceAll(`subgroupMatrixStore<row_major>(&${results}, `, "keep(");
  expect(code).not.toContain("subgroupMatrix");
  return { ...shader, code: code + loops(variant.tile) };
}

/** The tile that the adapter is said to have units for. */
const said = vi.hoisted(() => ({ tile: "matrix" as "matrix" | "matrix8" }));

vi.mock("../../src/backend/webgpu/dispatch/shader.ts", async (original) => ({
  ...(await original<Shaders>()),
  assemble: (name: string, variant: Variant) => writtenOut(name, variant),
}));
vi.mock("../../src/backend/webgpu/device/adapter.ts", async (original) => ({
  ...(await original<Adapter>()),
  matrixUnits: () => said.tile,
  MATRIX_UNITS: "shader-f16", // asked for twice
}));

describe.each(TILES_OF_UNITS)("matrix units of tile %s", (tile) => {
  it.each(["matmul", "expert_up", "expert_down"])("the compiler takes %s", async (kernel) => {
    const { create } = await import("webgpu");
    const gpu = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
    const adapter = await gpu.requestAdapter();
    const requiredFeatures = [realAdapter.MATRIX_UNITS, "shader-f16", "subgroups"] as GPUFeatureName[];
    const device = await adapter!.requestDevice({ requiredFeatures });
    for (const { name: weights } of Object.values(FORMATS)) {
      const { code } = real.assemble(kernel, { weights, arithmetic: "f32", reduce: "subgroups", tile });
      const module = device.createShaderModule({ code });
      expect((await module.getCompilationInfo()).messages.map(({ message }) => message)).toEqual([]);
      const constants = kernel === "matmul" ? { ADD: 1, BIAS: 0 } : {};
      const compute = { module, entryPoint: "main", constants };
      await expect(device.createComputePipelineAsync({ layout: "auto", compute })).resolves.toBeDefined();
    }
    device.destroy();
    expect(gpu).toBeDefined(); // referenced to the end: see node_gpu.ts
  });
});

/** As Dawn describes them: NVIDIA's, Apple's, and others'. */
const F16 = { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 };
const F32 = { componentType: "f32", resultComponentType: "f32", M: 8, N: 8, K: 8 };
const ALL_F16 = { componentType: "f16", resultComponentType: "f16", M: 8, N: 8, K: 8 };
const FLAT = { ...F16, M: 8 };

describe("the tile of an adapter's matrix units", () => {
  const sizes = { subgroupMinSize: 32, subgroupMaxSize: 32 };
  const features = [realAdapter.MATRIX_UNITS, "shader-f16", "subgroups"];
  it.each([
    { name: "NVIDIA's shapes", configs: [ALL_F16, FLAT, F16], tile: "matrix" },
    { name: "Apple's shapes", configs: [F32, ALL_F16], tile: "matrix8" },
    { name: "both", configs: [F32, F16], tile: "matrix" },
    { name: "both, without f16", configs: [F32, F16], without: "shader-f16", tile: "matrix8" },
    { name: "without the feature", configs: [F32, F16], without: realAdapter.MATRIX_UNITS, tile: null },
    { name: "subgroups of 8 too", configs: [F32, F16], info: { subgroupMinSize: 8 }, tile: null },
    { name: "subgroups of 64 too", configs: [F32, F16], info: { subgroupMaxSize: 64 }, tile: null },
    { name: "sums in f16 alone", configs: [ALL_F16, { ...F16, resultComponentType: "f16" }], tile: null },
    { name: "eight rows by sixteen", configs: [FLAT], tile: null },
    { name: "no shapes", configs: undefined, tile: null },
  ])("$name: $tile", ({ configs, without, info, tile }) => {
    const adapter = {
      info: { ...sizes, ...info, subgroupMatrixConfigs: configs },
      features: new Set(features.filter((feature) => feature !== without)),
    };
    expect(realAdapter.matrixUnits(adapter as unknown as GPUAdapter)).toBe(tile);
  });

  it("is chosen by what Dawn calls the properties of a shape", async () => {
    const { globals } = await import("webgpu"); // no adapter here has shapes to show
    const { prototype } = (globals as unknown as Record<string, { prototype: object }>).GPUSubgroupMatrixConfig!;
    for (const name of Object.keys(F16)) expect(name in prototype, name).toBe(true);
  });

  it("is the mock's in what follows", () => {
    expect(matrixUnits({} as GPUAdapter)).toBe(said.tile);
    expect(MATRIX_UNITS).toBe("shader-f16");
  });
});

describe.skipIf(noAdapter)(`matrix units as loops${noAdapter ? `: ${NO_ADAPTER}` : ""}`, () => {
  const adapter = adapters.find(({ features }) => features.has("shader-f16"));
  if (!adapter) {
    it("needs an adapter with f16", () => Promise.reject(new Error(NO_ADAPTER)));
    return;
  }
  // Written out, a kernel takes the software adapter long to compile, most with large matrices: one
  // stands for the three, whose tile is the same.
  for (const tile of TILES_OF_UNITS)
    tileConformance(
      `${adapter.name} by ${tile}`,
      (options) => {
        said.tile = tile;
        return adapter.open({ ...options, tile });
      },
      ["q4"],
      "matmul",
      tile === "matrix8" ? leftToCi : ALL ? null : SLOW,
    );
});
