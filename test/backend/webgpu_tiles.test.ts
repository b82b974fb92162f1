// What the products for many rows leave undone, and what they must not lose: multiply-adds counted
// by the kernels themselves, and numbers at the ends of f16, with what is below them flushed.

import { afterEach, describe, expect, it, vi } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import type { Shader, Variant } from "../../src/backend/webgpu/dispatch/shader.ts";
import { TILES, type TileName } from "../../src/backend/webgpu/tuning/tiles.ts";
import type { WebGpuOps } from "../../src/backend/webgpu/webgpu.ts";
import type { Format } from "../../src/tensor/format.ts";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { held, memorySource } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";
import * as reference from "../support/reference.ts";
import { expectClose, HALF_NMSE } from "../support/reference.ts";
import { batchOf, inputTable } from "../support/steps.ts";

type Shaders = typeof import("../../src/backend/webgpu/dispatch/shader.ts");
const real = await vi.importActual<Shaders>("../../src/backend/webgpu/dispatch/shader.ts");

/** Changes the WGSL that is compiled from now on. */
let change = (code: string): string => code;
vi.mock("../../src/backend/webgpu/dispatch/shader.ts", async (original) => ({
  ...(await original<Shaders>()),
  assemble: (name: string, variant: Variant): Shader => {
    const shader = real.assemble(name, variant);
    return { ...shader, code: change(shader.code) };
  },
}));
afterEach(() => {
  change = (code) => code;
});

/** Replaces text that must be there. */
function put(code: string, text: string, by: string): string {
  expect(code).toContain(text);
  return code.replaceAll(text, by);
}

/**
 * A tile that stores, instead of its results, how many multiply-adds its workgroup has made:
 * `opens` is the function that makes them, `each` at a time, `stores` what ends the tile.
 */
function counting(code: string, opens: string, each: number, stores: string): string {
  const total = `
    if (i == 0) { atomicStore(&total, 0); }
    workgroupBarrier();
    atomicAdd(&total, counted);
    workgroupBarrier();
    ${stores}`;
  const counted = put(put(code, opens, `${opens} counted += ${each};`), stores, total);
  return `${put(
    counted,
    "row: u32, values: vec2f) {",
    "row: u32, given: vec2f) { let values = vec2f(f32(atomicLoad(&total)));",
  )}
var<private> counted: u32;
var<workgroup> total: atomic<u32>;`;
}

const SHARED = ["fn outer(a: vec4f, b: vec4f) -> mat4x4f {", 16, "store_sums(job, sums, mine_x, mine_w);"] as const;
const COUNTED: readonly (readonly [TileName, string, number, string])[] = [
  ["half64", ...SHARED], // as with f32, which leaves no room to count in
  ["half64x128", ...SHARED],
  ["half128", ...SHARED],
  ["int8", "half: u32, word: u32, x: u32, w: u32) {", 64, "store_block(job, mine_x * 4, row, sums);"],
  ["registers", "unit: u32, even: Eight, odd: Eight) {", 64, "if (row < part.rows) {"],
];

describe.skipIf(noAdapter)(`webgpu tiles${noAdapter ? `: ${NO_ADAPTER}` : ""}`, () => {
  const adapter = adapters.find(({ features }) => features.has("shader-f16"));
  if (!adapter) {
    it("needs an adapter with f16", () => Promise.reject(new Error(NO_ADAPTER)));
    return;
  }

  /** x [T, D] by weights of a format, by tiles. */
  async function product(ops: WebGpuOps, x: Float32Array, w: Float32Array, D: number, format: Format = FORMATS.q8) {
    const T = x.length / D;
    const input = await inputTable(ops, x, D);
    const matrix = await ops.loadMatrix(memorySource("w", w, w.length / D, D), format);
    ops.begin(batchOf(T));
    return ops.read(ops.matmul(ops.embed(input), matrix));
  }

  describe("rows that a tile lacks are not multiplied", () => {
    const [D, N] = [64, 128];
    for (const [tile, opens, each, stores] of COUNTED) {
      const left = tile === "half64" || tile === "registers" ? null : leftToCi;
      it.skipIf(left)(titled(tile, left), async () => {
        const { tokens, rows } = TILES[tile];
        change = (code) => (code.includes("fn make_tile") ? counting(code, opens, each, stores) : code);
        const forms = { matrices: [], experts: [], alone: false }; // tiles, however few rows there are
        const ops = await adapter.open({ maxTokens: 200, tile, forms });
        for (const T of [9, 16, 17, 33, 64, 68, 132]) {
          const made = await product(ops, uniform(T * D, T), uniform(N * D, 2), D);
          let all = 0;
          for (let t = 0; t < T; t++) {
            // In whole quads of rows, whatever the tile has room for.
            const own = Math.min(tokens, T - Math.floor(t / tokens) * tokens);
            const wanted = Math.ceil(own / 4) * 4 * rows * D;
            expect([...made.subarray(t * N, (t + 1) * N)]).toEqual(Array<number>(N).fill(wanted));
            if (t % tokens === 0) all += (wanted * N) / rows;
          }
          expect(all).toBeLessThanOrEqual(1.5 * T * N * D);
        }
        ops.close();
      });
    }
  });

  describe("f16 loses neither outliers nor small numbers", () => {
    const [T, D, N] = [33, 96, 64];
    /** Rows as different as layers have them, each with a scale of its own. */
    const SIZES = [1, 3e-3, 1e-5, 1e-9, 1e5, 3e30];
    for (const tile of ["half64", "half128"] as const) {
      const left = tile === "half64" ? null : leftToCi;
      it.skipIf(left)(titled(tile, left), async () => {
        // As on a device whose f16 has no numbers below 2^-14 but zero.
        change = (code) => {
          const flushed = code
            .replaceAll("pack2x16float(value.", "packed(value.")
            .replace(/\bCell\((scaled\[\d\])\)/g, "Cell(flushed($1))");
          return flushed === code
            ? code
            : `${flushed}
fn flushed(x: vec4f) -> vec4f { return select(x, vec4f(), abs(x) < vec4f(6.103515625e-5)); }
fn packed(x: vec2f) -> u32 { return pack2x16float(flushed(vec4f(x, 0, 0)).xy); }`;
        };
        const ops = await adapter.open({ maxTokens: T, tile });
        const x = uniform(T * D, 1).map((value, i) => value * SIZES[Math.floor(i / D) % SIZES.length]!);
        for (let t = 0; t < T; t += 3) x[t * D + t] = 1e5 * Math.sign(x[t * D + t]!); // outliers among others
        for (const scale of [1e-3, 1, 300]) {
          const w = uniform(N * D, 2, scale);
          const got = await product(ops, x, w, D, FORMATS.f32);
          expectClose(got, reference.matmul(x, held(FORMATS.f32, w, N, D), D), N, HALF_NMSE);
        }
        ops.close();
      });
    }
  });
});
