// Conformance of ffn: dense layers and shared experts, alone and beside the experts of a router.

import { describe, expect, it } from "vitest";
import { FORMATS, type PackableName } from "../../kernels/formats/index.ts";
import type { Ops } from "../../src/backend/ops.ts";
import { SOFTMAX } from "../../src/tensor/route_rule.ts";
import { type ExpertData, expertSource, held, memorySource } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";
import * as reference from "../support/reference.ts";
import { expectClose } from "../support/reference.ts";
import { allowedNmse, batchOf, inputTable, range } from "../support/steps.ts";

const TOKENS = [65, 1, 33, 2];

/** A layer of random weights, and its weights as the formats hold them. */
async function loaded(
  ops: Ops,
  D: number,
  F: number,
  [up, down]: readonly [PackableName, PackableName],
  gated: boolean,
) {
  const data: ExpertData = {
    w1: uniform(F * D, 110, 4 / Math.sqrt(D)),
    w3: uniform(F * D, 210, 2 / Math.sqrt(D)),
    w2: uniform(D * F, 310, 2 / Math.sqrt(F)),
  };
  const gate = gated ? uniform(D, 410, 4 / Math.sqrt(D)) : null;
  const weights = {
    w1: held(FORMATS[up], data.w1, F, D),
    w3: held(FORMATS[up], data.w3, F, D),
    w2: held(FORMATS[down], data.w2, D, F),
  };
  const matrix = gate && (await ops.loadMatrix(memorySource("gate", gate, 1, D), FORMATS.f32));
  const source = expertSource("ffn", data, D, F);
  const before = ops.memory().weights;
  const layer = await ops.loadFfn(source, matrix, FORMATS[up], FORMATS[down]);
  expect(layer).toMatchObject({ hidden: D, intermediate: F, gate: matrix });
  expect(ops.memory().weights).toBe(before + layer.bytes);
  return { layer, weights, gate };
}

export function ffnConformance(ops: () => Ops): void {
  describe("ffn", () => {
    const cases = [
      { D: 60, F: 50, formats: ["f32", "f32"], gated: false },
      { D: 60, F: 50, formats: ["q4", "q8"], gated: true },
      { D: 256, F: 112, formats: ["q8", "q4"], gated: false },
    ] as const;
    it.each(cases)("D $D, F $F, $formats, gated: $gated", async ({ D, F, formats, gated }) => {
      const x = uniform(65 * D, 71);
      const input = await inputTable(ops(), x, D);
      const { layer, weights, gate } = await loaded(ops(), D, F, formats, gated);
      const all = reference.ffn(x, weights, gate, D);
      const allowed = Math.max(...formats.map((name) => allowedNmse(ops(), FORMATS[name])));
      for (const T of TOKENS) {
        ops().begin(batchOf(T));
        const y = ops().ffn(ops().embed(input), layer);
        expect(y.shape).toEqual([T, D]);
        expectClose(await ops().read(y), all.subarray(0, T * D), D, allowed);
      }
    });

    it.each([false, true])("is added to the residual beside the router's experts; gated: %s", async (gated) => {
      const [D, F, E, K] = [64, 50, 5, 1];
      const x = uniform(65 * D, 72);
      const rule = { ...SOFTMAX, normalize: false };
      const [norm, router] = [uniform(D, 73), uniform(E * D, 74)];
      const input = await inputTable(ops(), x, D);
      const { layer, weights, gate } = await loaded(ops(), D, F, ["f32", "f32"], gated);
      const own = Array.from({ length: E }, (_, e) => ({
        w1: uniform(F * D, 500 + e, 0.4),
        w3: uniform(F * D, 510 + e, 0.3),
        w2: uniform(D * F, 520 + e, 0.3),
      }));
      const sources = own.map((data, e) => expertSource(`expert ${e}`, data, D, F));
      const experts = await ops().loadExperts(sources, FORMATS.f32, FORMATS.f32);
      const matrix = await ops().loadMatrix(memorySource("router", router, E, D), FORMATS.f32);
      const vector = await ops().loadVector(memorySource("norm", norm, 1, D));
      for (const [T, R] of [
        [65, 65],
        [1, 1],
        [33, 3],
      ] as const) {
        ops().begin(batchOf(T, { outputs: range(R) }));
        const residual = ops().rows(ops().embed(input));
        const h = ops().rmsNorm(residual, vector, 1e-5);
        const routes = ops().route(h, { gate: matrix, k: K, rule, bias: null }, layer);
        const routed = await ops().moe(h, routes, experts);
        const shared = ops().ffn(h, layer);
        // Both orders of adding: on WebGPU neither sum need be computed yet.
        const sum =
          T === 33 ? ops().add(residual, ops().add(routed, shared)) : ops().add(ops().add(residual, routed), shared);
        // And once more: what the first sum has waited for is over.
        const again = ops().ffn(ops().rmsNorm(sum, vector, 1e-5), layer);
        const got = await ops().read(ops().add(sum, again));
        const rows = x.subarray(0, R * D);
        const normed = reference.rmsNorm(rows, norm, 1e-5);
        const chosen = reference.route(Float32Array.from(normed), router, D, K, rule);
        const parts = [
          reference.moe(normed, chosen.ids, chosen.weights, own, D),
          reference.ffn(normed, weights, gate, D),
        ];
        const first = Float64Array.from(rows, (value, i) => value + parts[0]![i]! + parts[1]![i]!);
        const second = reference.ffn(reference.rmsNorm(first, norm, 1e-5), weights, gate, D);
        expectClose(
          got,
          first.map((value, i) => value + second[i]!),
          D,
        );
      }
    });
  });
}
