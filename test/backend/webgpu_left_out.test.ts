// Variants of kernels that a device does not compile, or computes wrongly: left out and named,
// never the end of open().

import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import type { Matrix } from "../../src/backend/ops.ts";
import type { Arithmetic } from "../../src/backend/webgpu/dispatch/shader.ts";
import { createWebGpuOps } from "../../src/backend/webgpu/webgpu.ts";
import type { GpuMatrix } from "../../src/backend/webgpu/weights/space.ts";
import { DeviceError } from "../../src/errors.ts";
import { openModel } from "../../src/wiring/open.ts";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { expertSource, memorySource } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";
import { some } from "../support/some.ts";
import { writeTinyFolder } from "../support/tiny_folder.ts";
import { type WatchedGpu, watchedGpu } from "../support/watched_gpu.ts";

// The one with most variants, where there are two.
const adapter = adapters.find(({ features }) => features.has("shader-f16")) ?? adapters[0];
const [D, F] = [96, 64];
const q4 = (groups: number) => ({ format: FORMATS.q4, groups });

type Alter = (code: string) => string;

interface Trouble {
  readonly name: string;
  readonly alter: Alter;
  /** What is named. */
  readonly leftOut: RegExp;
  readonly arithmetics?: readonly Arithmetic[];
  /** What is loaded, and so tuned; a matrix if nothing is said. */
  readonly weights?: "experts";
  readonly tiles?: boolean;
}

const where = (text: string, alter: Alter) => (code: string) => (code.includes(text) ? alter(code) : code);
const uncompiled = (text: string) => where(text, (code) => `${code}\nfn broken() -> f32 { return vec2f(1); }`);
const doubled = (text: string, within = text) => where(within, (code) => code.replaceAll(text, `2 * ${text}`));
const WORDS = String.raw`: kernels/\S+\.wgsl(:\d+)?: [^:]*vec2<f32>`;
const WRONG = String.raw`: its results are not the plain variant's \(normalised error`;

const TROUBLES: readonly Trouble[] = [
  {
    name: "f16 does not compile",
    arithmetics: ["f32", "f16"],
    alter: uncompiled("enable f16;"),
    leftOut: RegExp(`^matmul_vec q4 f16 \\w+${WORDS}`),
  },
  {
    name: "f16 is wrong",
    arithmetics: ["f32", "f16"],
    alter: where("fn unit_of", (code) => code.replace("vec4h(x.lo", "vec4h(x.hi")),
    leftOut: RegExp(`^matmul_vec q4 f16 \\w+ \\w+${WRONG}`),
  },
  {
    name: "int8 does not compile",
    arithmetics: ["f32", "int8"],
    weights: "experts",
    alter: uncompiled("dot4I8Packed"),
    leftOut: RegExp(`^expert_up_vec q4 int8 \\w+${WORDS}`),
  },
  {
    name: "int8 is wrong",
    arithmetics: ["f32", "int8"],
    weights: "experts",
    alter: doubled("dot4I8Packed(lo, u.a)"),
    leftOut: RegExp(`^experts q4 int8 [\\w ,]+${WRONG}`),
  },
  {
    name: "subgroups do not compile",
    alter: uncompiled("enable subgroups;"),
    leftOut: RegExp(`^reductions by subgroups${WORDS}`),
  },
  {
    name: "subgroups are wrong",
    alter: doubled("subgroupAdd(value)"),
    leftOut: /^reductions by subgroups: a row's norm differs \(normalised error/,
  },
  {
    name: "subgroups are not in a row",
    alter: (code) => code.replace("subgroup * size + place;", "(subgroup * size + place) ^ 1;"),
    leftOut: /^reductions by subgroups: a subgroup is not invocations in a row/,
  },
  {
    name: "subgroups are wrong in products only",
    alter: doubled("subgroupAdd(", "fn team_sum"),
    leftOut: RegExp(`^matmul_vec q4 f32 subgroups \\w+${WRONG}`),
  },
  {
    name: "the usual tile does not compile",
    tiles: true,
    alter: uncompiled("const TILE_W = 128u;\nconst TILE_THREADS = 64u;"),
    leftOut: RegExp(`^matmul q4 f32 registers${WORDS}`),
  },
  {
    name: "the usual tile is wrong",
    tiles: true,
    alter: where("struct Quad", (code) => code.replaceAll("let a0 = x_tile", "let a0 = 2 * x_tile")),
    leftOut: RegExp(`^tile matrices q4 64: registers${WRONG}`),
  },
];

describe.skipIf(noAdapter)(`webgpu variants that are left out${noAdapter ? `: ${NO_ADAPTER}` : ""}`, () => {
  if (!adapter) {
    it("needs an adapter", () => Promise.reject(new Error(NO_ADAPTER)));
    return;
  }
  afterEach(() => vi.restoreAllMocks());

  describe(`webgpu ${adapter.name}`, () => {
    it.each(some(TROUBLES, 1))(
      "by the tuner: $name",
      async ({ alter, leftOut, arithmetics = ["f32"], weights, tiles = false }) => {
        const watched = watchedGpu(adapter.name);
        watched.onShader = alter;
        const opened = await watched.platform.gpu();
        const release = (): void => void opened!.release();
        const ops = await createWebGpuOps(opened!.gpu, { maxTokens: tiles ? 64 : 1, arithmetics, onClose: release });
        let loaded: Matrix | null = null;
        if (weights === "experts") {
          const data = { w1: uniform(F * D, 2), w3: uniform(F * D, 3), w2: uniform(D * F, 4) };
          await ops.loadExperts(
            [expertSource("expert 0", data, D, F), expertSource("expert 1", data, D, F)],
            FORMATS.q4,
            FORMATS.q4,
          );
        } else loaded = await ops.loadMatrix(memorySource("w", uniform(D * D, 1), D, D), FORMATS.q4);
        // A clock that only turns when it is looked at: time does not run out, however slow the
        // machine is.
        let now = 0;
        vi.spyOn(performance, "now").mockImplementation(() => now++);
        await ops.tune(null, { everything: tiles });
        const named = ops.info.leftOut ?? [];
        const { tuning } = ops;
        const kept = {
          matrix: loaded && tuning.matvec(loaded as GpuMatrix),
          experts: tuning.experts(q4(3), q4(2)),
          tile: tuning.tileName(FORMATS.q4, "matrices", 64),
        };
        ops.close();
        expect(named).toEqual(expect.arrayContaining([expect.stringMatching(leftOut)]));
        if (arithmetics.length > 1) expect(JSON.stringify(kept)).not.toContain(arithmetics[1]);
        else if (tiles) expect(kept.tile).not.toBe("registers");
        else expect(kept.matrix?.reduce).toBe("tree");
      },
    );

    describe("when a model is opened", () => {
      const folder = writeTinyFolder({}, 64);
      afterAll(() => folder.remove());
      // more than the products for a few rows take
      const prompt = Array.from({ length: 20 }, (_, i) => 3 + i);

      /** The tokens after `prompt`, and what was left out. */
      async function answer(watched: WatchedGpu, alter: Alter = (code) => code) {
        watched.onShader = alter;
        const options = { backend: "webgpu", adapter: adapter!.name, weights: "q4", context: 32, chunk: 32 } as const;
        const model = await openModel(folder.path, options, watched.platform);
        const ids: number[] = [];
        for await (const piece of model.session().generate(prompt, { maxTokens: 4, temperature: 0, ignoreEos: true }))
          ids.push(...piece.ids);
        const { leftOut = [] } = model.stats().backend;
        await model.close();
        return { ids, leftOut };
      }

      it("goes on without panels, without a tile, and without an arithmetic that was remembered, where they no longer compile", async () => {
        const watched = watchedGpu(adapter.name);
        const whole = await answer(watched);
        expect(whole.leftOut).toEqual([]);
        expect(whole.ids).toHaveLength(4);
        const arithmetic = adapter.features.has("shader-f16") ? "f16" : "int8";
        for (const [name, text] of watched.remembered)
          watched.remembered.set(name, text.replaceAll(/"arithmetic":"\w+"/g, `"arithmetic":"${arithmetic}"`));
        const without = uncompiled(arithmetic === "f16" ? "enable f16;" : "dot4I8Packed");
        const tile = uncompiled("const TILE_W = 128u;\nconst TILE_THREADS = 64u;");
        const panels = uncompiled("struct Panel {");
        const found = await answer(watched, (code) => without(panels(tile(code))));
        expect(found.ids).toEqual(whole.ids);
        expect(found.leftOut).toEqual(
          expect.arrayContaining([
            expect.stringMatching(RegExp(`^\\w+ q4 ${arithmetic}.*${WORDS}`)),
            expect.stringMatching(RegExp(`^\\w+ q4 f32 .*alone.*${WORDS}`)),
            expect.stringMatching(RegExp(`^\\w+ q4 f32 registers${WORDS}`)),
          ]),
        );
      });

      it.skipIf(leftToCi)(
        titled("fails in the compiler's words where there is no other variant", leftToCi),
        async () => {
          const watched = watchedGpu(adapter.name);
          // As naga writes it.
          watched.onMessage = (message) =>
            `\nShader 'embed' parsing error: ${message}\n  \u250c\u2500 wgsl:3:7\n  \u2502\n`;
          const failed = answer(watched, uncompiled("let eight = weights8(0, row"));
          await expect(failed).rejects.toThrow(DeviceError);
          await expect(failed).rejects.toThrow(
            /^kernels\/embed\.wgsl(:\d+)?: Shader 'embed' parsing error: .*vec2<f32>.* wgsl:3:7$/,
          );
        },
      );
    });
  });
});
