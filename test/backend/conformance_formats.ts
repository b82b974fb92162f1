// Conformance of formats beyond f32, f16, q8 and q4, and of several formats in one model and in one
// expert.

import { describe, expect, it } from "vitest";
import { FORMATS, type FormatName } from "../../kernels/formats/index.ts";
import type { Ops } from "../../src/backend/ops.ts";
import { WeightsError } from "../../src/errors.ts";
import { SOFTMAX } from "../../src/tensor/route_rule.ts";
import { ALL } from "../support/level.ts";
import { type ExpertData, expertSource, held, memorySource, sourceFor } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";
import * as reference from "../support/reference.ts";
import { expectClose } from "../support/reference.ts";
import { allowedNmse, batchOf, inputTable } from "../support/steps.ts";

/** Few rows and many, more and fewer than a step before. */
const TOKENS = [33, 1, 65, 3];

/** Formats that nothing packs to. */
const STORED = (Object.keys(FORMATS) as FormatName[]).filter((name) => !("pack" in FORMATS[name]));

/**
 * Formats of each size of groups, with and without offsets, of levels and of floats, of one and of
 * two words a span. test/kernels/twins.ts goes through every format; here a software adapter would
 * compile all kernels for each.
 */
const CHOSEN: readonly FormatName[] = ALL
  ? (Object.keys(FORMATS) as FormatName[])
  : ["f8", "q6_k", "q5_k", "q4_1", "mxfp4", "q2_k"];

const SHAPES = [
  [544, 50],
  [60, 97],
  [256, 64],
] as const;
/** Formats that show all shapes, one of each size of groups. */
const SHAPED: ReadonlySet<FormatName> = new Set(["q5_k", "q4_1", "mxfp4"]);

/** Formats of an expert's w1 and w3, and of its w2. */
const PAIRS = [
  ["q4_k", "q6_k"],
  ["q6_k", "q4"],
  ["q8", "q4_k"],
  ["mxfp4", "q3_k"],
] as const;

export function formats(ops: () => Ops): void {
  describe("other formats", () => {
    it.each(CHOSEN)("%s: embeds, from a table whose rows end within a group", async (name) => {
      const [V, D] = [70, 300];
      const data = uniform(V * D, 5);
      const table = await ops().loadMatrix(sourceFor(FORMATS[name], "embed", data, V, D), FORMATS[name]);
      const want = held(FORMATS[name], data, V, D);
      const tokens = Uint32Array.of(69, 0, 8, 7, 64, 1);
      ops().begin(batchOf(tokens.length, { tokens }));
      const got = await ops().read(ops().embed(table));
      expectClose(got, Float32Array.from([...tokens].flatMap((t) => [...want.subarray(t * D, (t + 1) * D)])), D);
    });

    it.each(
      CHOSEN.flatMap((name) =>
        (ALL || SHAPED.has(name) ? SHAPES : SHAPES.slice(0, 1)).map(([D, N]) => ({ name, D, N })),
      ),
    )("x [T, $D] by [$N, $D] in $name", async ({ name, D, N }) => {
      const format = FORMATS[name];
      const x = uniform(65 * D, D);
      const w = uniform(N * D, N, 0.1);
      const input = await inputTable(ops(), x, D);
      const m = await ops().loadMatrix(sourceFor(format, "w", w, N, D), format);
      expect(m).toMatchObject({ rows: N, cols: D, format });
      const all = reference.matmul(x, held(format, w, N, D), D);
      for (const T of TOKENS) {
        ops().begin(batchOf(T));
        const y = ops().matmul(ops().embed(input), m);
        expectClose(await ops().read(y), all.subarray(0, T * N), N, allowedNmse(ops(), format));
      }
    });

    it.each(STORED)("%s: packs nothing to it", async (name) => {
      const source = memorySource("floats", uniform(8 * 256, 1), 8, 256);
      await expect(ops().loadMatrix(source, FORMATS[name])).rejects.toThrow(WeightsError);
    });
  });

  describe("formats mixed", () => {
    it.each(PAIRS)("gate and up in %s, down in %s, the router in f32, a table in another", async (one, other) => {
      const [E, K, D, F] = [5, 2, 288, 64];
      const [up, down] = [FORMATS[one], FORMATS[other]];
      const x = uniform(65 * D, 50);
      const gate = uniform(E * D, 51);
      const data: ExpertData[] = Array.from({ length: E }, (_, e) => ({
        w1: uniform(F * D, 100 + e, 4 / Math.sqrt(D)),
        w3: uniform(F * D, 200 + e, 2 / Math.sqrt(D)),
        w2: uniform(D * F, 300 + e, 2 / Math.sqrt(F)),
      }));
      const input = await ops().loadMatrix(sourceFor(down, "input", x, 65, D), down);
      const rows = held(down, x, 65, D);
      const router = await ops().loadMatrix(memorySource("gate", gate, E, D), FORMATS.f32);
      const sources = data.map((e, i) => expertSource(`expert ${i}`, e, D, F, up, down));
      const experts = await ops().loadExperts(sources, up, down);
      expect(experts).toMatchObject({ up, down });
      const weights = data.map((e) => ({
        w1: held(up, e.w1, F, D),
        w3: held(up, e.w3, F, D),
        w2: held(down, e.w2, D, F),
      }));
      const known = new Map<string, Float64Array>();
      for (const T of TOKENS) {
        ops().begin(batchOf(T));
        const h = ops().embed(input);
        const routes = ops().route(h, { gate: router, k: K, rule: SOFTMAX, bias: null });
        const y = await ops().moe(h, routes, experts);
        const [ids, shares] = [await ops().read(routes.ids), await ops().read(routes.weights)];
        const want = reference.moe(rows.subarray(0, T * D), ids, shares, weights, D, known);
        const allowed = Math.max(allowedNmse(ops(), up), allowedNmse(ops(), down));
        expectClose(await ops().read(y), want, D, allowed);
      }
    });
  });
}
