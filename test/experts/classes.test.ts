// Layers with experts of different shapes and formats in one model: each class has slots of its
// own, and outputs are those of experts that are all resident.

import { describe, expect, it, onTestFinished } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { startNodeWorker } from "../../src/backend/cpu/node_threads.ts";
import type { Experts, Matrix, Ops } from "../../src/backend/ops.ts";
import type { Tiers } from "../../src/engine/budget.ts";
import { byLayer, classesOf } from "../../src/experts/classes.ts";
import type { ExpertShape } from "../../src/tensor/record.ts";
import { SOFTMAX } from "../../src/tensor/route_rule.ts";
import { cpuResidency, deviceResidency, type ExpertLayer, type Residency } from "../../src/wiring/residency.ts";
import { adapters, NO_ADAPTER, noAdapter, usualAdapters } from "../support/adapters.ts";
import { cpuOps } from "../support/cpu.ts";
import { type ExpertData, expertSource, memorySource } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";
import { expectClose } from "../support/reference.ts";
import { some } from "../support/some.ts";
import { batchOf, inputTable } from "../support/steps.ts";

const [E, K, D] = [8, 2, 256];
const TOKENS = 24;

const { f16, q4, q4_k, q6_k, q8 } = FORMATS;
const WIDE: ExpertShape = { count: E, hidden: D, intermediate: 112, up: q4, down: q8 };
const NARROW: ExpertShape = { count: E, hidden: D, intermediate: 96, up: f16, down: f16 };
/** As files hold them whose w2 is more precise in some layers. */
const STORED: ExpertShape = { count: E, hidden: D, intermediate: 256, up: q4_k, down: q6_k };
/**
 * Layers of two classes, in turns; or all of the first; or stored in formats that nothing packs to.
 */
const MIXED = [WIDE, NARROW, NARROW, WIDE, WIDE];
const FILES = [STORED, { ...STORED, down: q4_k }, STORED, STORED];
const ALIKE = [WIDE, WIDE, WIDE];

function layerOf(shape: ExpertShape, layer: number): ExpertLayer {
  const F = shape.intermediate;
  const experts = Array.from({ length: E }, (_, e) => {
    const seed = 1000 * layer + e;
    const data: ExpertData = {
      w1: uniform(F * D, 100 + seed, 4 / Math.sqrt(D)),
      w3: uniform(F * D, 200 + seed, 2 / Math.sqrt(D)),
      w2: uniform(D * F, 300 + seed, 2 / Math.sqrt(F)),
    };
    return expertSource(`expert ${e} of layer ${layer}`, data, D, F, shape.up, shape.down);
  });
  const gate = memorySource(`gate ${layer}`, uniform(E * D, 50 + layer), E, D);
  return { shape, experts, gate, ffnNorm: memorySource(`norm ${layer}`, new Float32Array(D).fill(1), 1, D) };
}

const learned = { store: { read: async () => null, write: async () => {} }, name: "" };

/** A stack of MoE layers; step() gives the residual [T, D] after all of them. */
async function stack(ops: Ops, layers: readonly ExpertLayer[]) {
  const input = await inputTable(ops, uniform(TOKENS * D, 49), D);
  const gates: Matrix[] = [];
  for (const { gate } of layers) gates.push(await ops.loadMatrix(gate, FORMATS.f32));
  return async (tokens: readonly number[], experts: (layer: number) => Experts): Promise<Float32Array> => {
    ops.begin(batchOf(tokens.length, { tokens: Uint32Array.from(tokens) }));
    let x = ops.embed(input);
    for (const [layer, gate] of gates.entries()) {
      const routes = ops.route(x, { gate, k: K, rule: SOFTMAX, bias: null });
      x = ops.add(x, await ops.moe(x, routes, experts(layer)));
    }
    return ops.read(x);
  };
}

/** Prompts of several tokens between single ones, so that experts are evicted and come again. */
const STEPS = Array.from({ length: 40 }, (_, i) =>
  i % 16 === 0 ? [1, 5, 9, 13, 17, 21].map((t) => (t + i) % TOKENS) : [(7 * i) % TOKENS],
);

function tiersOf(shapes: readonly ExpertShape[], ram: Tiers["ram"]): Tiers[] {
  return classesOf(shapes).map((_, c) => ({ slots: 3 - c, extra: ram ? 0 : 1 - c, transit: 2 + c, ram }));
}

function expectCounts({ stats }: Residency, shapes: readonly ExpertShape[], limit: (layer: number) => number): void {
  const { main, experts } = stats();
  expect(experts).toBe(E);
  expect(main.layers.length).toBe(shapes.length);
  const uses = STEPS.reduce((sum, tokens) => sum + Math.min(E, K * tokens.length), 0);
  for (const [layer, { routed, hits, misses, residents }] of main.layers.entries()) {
    expect(hits + misses).toBe(routed);
    expect(hits).toBeGreaterThan(0);
    expect(misses).toBeGreaterThan(0);
    expect(routed).toBeLessThanOrEqual(uses);
    expect(residents.length).toBeLessThanOrEqual(limit(layer));
  }
}

describe("classes of layers", () => {
  it("are layers of one shape and formats, in order", () => {
    const classes = classesOf(MIXED);
    expect(classes).toEqual([
      { shape: WIDE, layers: [0, 3, 4] },
      { shape: NARROW, layers: [1, 2] },
    ]);
    expect(classesOf(ALIKE)).toEqual([{ shape: WIDE, layers: [0, 1, 2] }]);
    expect(classesOf([WIDE, { ...WIDE, down: q4 }, { ...WIDE }]).map(({ layers }) => layers)).toEqual([[0, 2], [1]]);
    const values = [
      ["a", "d", "e"],
      ["b", "c"],
    ];
    expect(byLayer(classes, values)).toEqual(["a", "b", "c", "d", "e"]);
  });

  it.each(
    some(
      [
        ["two classes", MIXED],
        ["one class", ALIKE],
        ["classes of q4_k and q6_k", FILES],
      ] as const,
      1,
    ),
  )("in RAM, %s: bit for bit what resident experts give", async (_name, shapes) => {
    const ops = await cpuOps({ maxTokens: 8 });
    onTestFinished(() => ops.close());
    const layers = shapes.map(layerOf);
    const step = await stack(ops, layers);
    const loaded: Experts[] = [];
    for (const { shape, experts } of layers) loaded.push(await ops.loadExperts(experts, shape.up, shape.down));
    const tiers = tiersOf(shapes, null);
    const residency = await cpuResidency(ops, {
      layers,
      perToken: K,
      rule: SOFTMAX,
      tiers,
      spill: () => null,
      learned,
    });
    onTestFinished(() => residency.close());
    for (const tokens of STEPS)
      expect(await step(tokens, residency.experts)).toEqual(await step(tokens, (layer) => loaded[layer]!));
    const first = classesOf(shapes)[0]!.layers;
    expectCounts(residency, shapes, (layer) => (layer === 0 ? 4 : first.includes(layer) ? 3 : 2));
  });

  const onAdapters = usualAdapters().flatMap((adapter) => [
    { ...adapter, title: "two classes", shapes: MIXED },
    { ...adapter, title: "classes of q4_k and q6_k", shapes: FILES },
  ]);
  it.each(some(onAdapters, 1))(
    "on $name, over RAM that holds a part, $title: what resident experts give",
    async (given) => {
      const { open, shapes } = given;
      const ops = await open({ maxTokens: 8, arithmetics: ["f32"] });
      onTestFinished(() => ops.close());
      const layers = shapes.map(layerOf);
      const step = await stack(ops, layers);
      const loaded: Experts[] = [];
      for (const { shape, experts } of layers) loaded.push(await ops.loadExperts(experts, shape.up, shape.down));
      const tiers = tiersOf(shapes, { quota: 4, extra: 0, slots: 4 * 3 + 3 });
      const cpu = { threads: 1, startWorker: startNodeWorker, activations: "f32" } as const;
      const residency = await deviceResidency(
        ops,
        { layers, perToken: K, rule: SOFTMAX, tiers, spill: () => null, learned },
        cpu,
      );
      onTestFinished(() => residency.close());
      for (const tokens of STEPS) {
        const want = await step(tokens, (layer) => loaded[layer]!);
        // The host takes sums in another order, and every layer adds to the difference.
        expectClose(await step(tokens, residency.experts), Float64Array.from(want), D, 1e-7);
      }
      expectCounts(residency, shapes, (layer) => (classesOf(shapes)[0]!.layers.includes(layer) ? 3 : 2));
      expect(residency.stats().ram!.layers.length).toBe(shapes.length);
    },
  );

  it.skipIf(noAdapter)(noAdapter ? `on a WebGPU adapter (${NO_ADAPTER})` : "on a WebGPU adapter that is there", () => {
    expect(adapters).not.toEqual([]);
  });
});
