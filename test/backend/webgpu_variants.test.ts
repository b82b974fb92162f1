// Every variant of the kernels for few rows, as the tuner may choose it: shapes of workgroups,
// reductions, arithmetics; and the tuner.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FORMATS, type PackableName } from "../../kernels/formats/index.ts";
import { ARITHMETICS } from "../../src/backend/webgpu/dispatch/shader.ts";
import { sidesOf } from "../../src/backend/webgpu/tuning/matvec.ts";
import type { MatvecVariant } from "../../src/backend/webgpu/tuning/tuning.ts";
import type { WebGpuOps } from "../../src/backend/webgpu/webgpu.ts";
import type { GpuMatrix } from "../../src/backend/webgpu/weights/space.ts";
import { SOFTMAX } from "../../src/tensor/route_rule.ts";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { expertSource, held, memorySource } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";
import * as reference from "../support/reference.ts";
import { expectClose, FLOAT_NMSE, HALF_NMSE, INT8_NMSE } from "../support/reference.ts";
import { attentionOf, batchOf, inputTable } from "../support/steps.ts";

const NMSE = { f32: FLOAT_NMSE, f16: HALF_NMSE, int8: INT8_NMSE } as const;

const [E, K, T] = [3, 2, 3];
const q4 = (groups: number) => ({ format: FORMATS.q4, groups });

describe.skipIf(noAdapter)(`webgpu variants${noAdapter ? `: ${NO_ADAPTER}` : ""}`, () => {
  if (adapters.length === 0) it("needs an adapter", () => Promise.reject(new Error(NO_ADAPTER)));

  describe.each(adapters.map((adapter) => ({ name: adapter.name, adapter })))("$name", ({ adapter }) => {
    let ops: WebGpuOps;
    beforeAll(async () => {
      ops = await adapter.open({ maxTokens: T });
    });
    afterAll(() => ops?.close());

    /**
     * All shapes for products of q4; for the rest, whose shapes are the same text, the least and
     * the most divided ones. On the slower adapter those of q4 too.
     */
    function variants(precision: PackableName, teams?: number): MatvecVariant[] {
      const { arithmetics, subgroup } = ops.tuning.abilities;
      return ARITHMETICS.filter(
        (a) => arithmetics.includes(a) && FORMATS[precision].arithmetics.some((known) => known === a),
      )
        .filter((a) => teams !== undefined || a !== "int8")
        .flatMap((a) => {
          const all = ops.tuning.candidates(
            a,
            { format: FORMATS[precision], groups: 32 },
            a === "int8" ? teams : undefined,
          );
          return precision === "q4" && a === "f32" && teams === undefined && !adapter.leftToFaster
            ? all
            : all.slice(-2);
        })
        .map((variant, i): MatvecVariant => (i % 2 === 1 ? { ...variant, atOnce: 2 } : variant))
        .flatMap((variant) =>
          subgroup === null || variant.reduce === "tree" ? [variant] : [variant, { ...variant, reduce: "tree" }],
        );
    }

    // A variant is set for a width of matrix: each has one of its own.
    /** Where not everything runs: the precision whose shapes are all tested. */
    const some = ["f32", "f16", "q8", "q4"] as const;
    const left = (precision: PackableName): string | null =>
      precision === "q4" ? null : (adapter.leftToFaster ?? leftToCi);
    for (const precision of some)
      it.skipIf(left(precision))(
        titled(`products with the norm in front, and behind a residual: ${precision}`, left(precision)),
        async () => {
          const all = variants(precision);
          expect(all.length).toBeGreaterThan(1);
          for (const [i, variant] of all.entries()) {
            const D = 20 + 32 * i;
            ops.tuning.setMatvec({ format: FORMATS[precision], groups: i + 1 }, variant);
            const x = uniform(T * D, i);
            const norm = uniform(D, i + 50);
            const w = uniform(D * D, i + 100, 0.1);
            const input = await inputTable(ops, x, D);
            const m = await ops.loadMatrix(memorySource("w", w, D, D), FORMATS[precision]);
            const v = await ops.loadVector(memorySource("n", norm, 1, D));
            ops.begin(batchOf(T));
            const e = ops.embed(input);
            const y = ops.add(e, ops.matmul(ops.rmsNorm(ops.embed(input), v, 1e-5), m));
            const want = reference.matmul(reference.rmsNorm(x, norm, 1e-5), held(FORMATS[precision], w, D, D), D);
            const got = await ops.read(y);
            expectClose(
              got.map((value, at) => value - x[at]!),
              want,
              D,
              1e-5,
            );
          }
        },
      );

    /** Compares K of E experts [F, D] in one variant. */
    async function checkExperts(
      precision: PackableName,
      variant: MatvecVariant,
      { E, K, D, F, seed }: Readonly<Record<"E" | "K" | "D" | "F" | "seed", number>>,
    ): Promise<void> {
      const format = FORMATS[precision];
      const kindOf = (cols: number) => ({ format, groups: Math.ceil(cols / 32) });
      ops.tuning.setExperts(kindOf(D), kindOf(F), { up: variant, down: variant });
      const x = uniform(T * D, seed);
      const norm = new Float32Array(D).fill(1);
      const data = Array.from({ length: E }, (_, e) => ({
        w1: uniform(F * D, e, 0.3),
        w3: uniform(F * D, 100 + e, 0.3),
        w2: uniform(D * F, 200 + e, 0.3),
      }));
      const gate = uniform(E * D, 30);
      const input = await inputTable(ops, x, D);
      const router = await ops.loadMatrix(memorySource("gate", gate, E, D), FORMATS.f32);
      const v = await ops.loadVector(memorySource("n", norm, 1, D));
      const sources = data.map((d, e) => expertSource(`expert ${e}`, d, D, F));
      const experts = await ops.loadExperts(sources, format, format);
      ops.begin(batchOf(T));
      const h = ops.rmsNorm(ops.embed(input), v, 1e-5);
      const routes = ops.route(h, { gate: router, k: K, rule: SOFTMAX, bias: null });
      const y = await ops.moe(h, routes, experts);
      const normed = Float32Array.from(reference.rmsNorm(x, norm, 1e-5));
      const ids = await ops.read(routes.ids);
      expect([...ids]).toEqual(reference.route(normed, gate, D, K).ids);
      const weights = data.map((d) => ({
        w1: held(format, d.w1, F, D),
        w3: held(format, d.w3, F, D),
        w2: held(format, d.w2, D, F),
      }));
      const want = reference.moe(normed, ids, await ops.read(routes.weights), weights, D);
      expectClose(await ops.read(y), want, D, NMSE[variant.arithmetic]);
    }

    for (const precision of some.slice(1))
      it.skipIf(left(precision))(titled(`experts: ${precision}`, left(precision)), async () => {
        for (const [i, variant] of variants(precision, 8).entries())
          await checkExperts(precision, variant, { E, K, D: 40 + 32 * i, F: 50, seed: i });
      });

    it("ten and six experts a token, of which teams take one, two, four or eight at once", async () => {
      const { subgroup } = ops.tuning.abilities;
      const shape = { arithmetic: "f32", atOnce: 2, reduce: subgroup === null ? "tree" : "subgroups" } as const;
      const cases = [
        { K: 10, F: 512, threads: 256, teams: 1, sides: 8 },
        { K: 6, F: 258, threads: 256, teams: 8, sides: 4 },
        { K: 10, F: 512, threads: 256, teams: 8, sides: 2 },
        { K: 10, F: 258, threads: 8, teams: 1, sides: 1 },
      ];
      for (const [i, { K, F, threads, teams, sides }] of cases.entries()) {
        const variant: MatvecVariant = { ...shape, threads, teams };
        expect(sidesOf(K, Math.ceil(F / 32), variant)).toBe(sides);
        await checkExperts("q4", variant, { E: 11, K, D: 40 + 32 * i, F, seed: i });
      }
    });

    const slow = adapter.leftToFaster ?? null;
    it.skipIf(slow)(titled("are chosen by timing, remembered, and taken from what is remembered", slow), async () => {
      const own = await adapter.open({ maxTokens: 64 });
      const [D, F] = [96, 64];
      const w = (await own.loadMatrix(memorySource("w", uniform(2 * D * D, 1), 2 * D, D), FORMATS.q4)) as GpuMatrix;
      const data = { w1: uniform(F * D, 2), w3: uniform(F * D, 3), w2: uniform(D * F, 4) };
      await own.loadExperts(
        [expertSource("expert 0", data, D, F), expertSource("expert 1", data, D, F)],
        FORMATS.q4,
        FORMATS.q4,
      );
      const texts = new Map<string, string>();
      const store = {
        read: async (name: string) => texts.get(name) ?? null,
        write: async (name: string, text: string) => void texts.set(name, text),
      };
      const { scratch } = own.memory();
      await own.tune(store, { everything: true, budget: 2000 });
      const found: Record<string, unknown> = JSON.parse([...texts.values()][0]!);
      const [experts, matrix] = ["experts q4 3 q4 2 1", "matrix q4 3 192"];
      const tiles = ["tile experts q4 16", "tile experts q4 64", "tile matrices q4 64"];
      expect(Object.keys(found)).toEqual(expect.arrayContaining([experts, matrix, ...tiles]));
      expect(Object.keys(found).filter((key) => key.startsWith("form of matrices"))).toHaveLength(6);
      expect(own.tuning.tileName(FORMATS.q4, "matrices", 64)).toEqual(found[tiles[2]!]);
      expect(own.tuning.matvec(w)).toEqual(found[matrix]);
      expect(own.tuning.experts(q4(3), q4(2))).toEqual(found[experts]);
      const { submits } = own.counters();
      await own.tune(store, { everything: true, budget: 2000 });
      expect(own.counters().submits).toBe(submits);
      // A foreign result under that name is not used.
      const [name] = [...texts.keys()];
      texts.set(name!, JSON.stringify({ [matrix]: { arithmetic: "f32", threads: 7 }, [tiles[0]!]: "round" }));
      await own.tune(store, { everything: true, budget: 2000 });
      expect(Object.keys(JSON.parse(texts.get(name!)!)).sort()).toEqual(Object.keys(found).sort());
      expect(own.tuning.matvec(w).threads).not.toBe(7);
      // What a step needs is kept, but no input of a timing: those are 3 MB.
      expect(own.memory().scratch - scratch).toBeLessThan(2 ** 18);
      own.close();
    });

    it.skipIf(slow)(titled("are timed without the projections of latents, whose keys are long", slow), async () => {
      const own = await adapter.open({ maxTokens: 4 });
      const attention = attentionOf(4, 1, 576, { latent: 512 });
      await own.tune(null, { layers: [{ qkv: [], attention, router: null }] });
      own.close();
    });
  });
});
