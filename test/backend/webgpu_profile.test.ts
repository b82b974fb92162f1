// Profiles: rows that add up to what was dispatched, weights that are counted as
// they are packed.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import type { Matrix } from "../../src/backend/ops.ts";
import { seen } from "../../src/backend/webgpu/dispatch/cost.ts";
import type { WebGpuOps } from "../../src/backend/webgpu/webgpu.ts";
import type { GpuExperts } from "../../src/backend/webgpu/weights/space.ts";
import { SOFTMAX } from "../../src/tensor/route_rule.ts";
import { adapters, NO_ADAPTER, noAdapter, usualAdapters } from "../support/adapters.ts";
import { type KernelBench, openKernels } from "../support/kernels.ts";
import { expertSource, memorySource } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";
import { attentionOf, batchOf, inputTable } from "../support/steps.ts";

const ATTENTION = attentionOf(4, 2, 16);
const [D, F, E, K] = [64, 96, 4, 2];

/** One layer; `step` computes T tokens and reads the last one's row. */
async function layer(ops: WebGpuOps) {
  const embed = await inputTable(ops, uniform(100 * D, 1), D);
  const qkv = await ops.loadMatrix(memorySource("qkv", uniform(128 * D, 3, 0.2), 128, D), FORMATS.q4);
  const gate = await ops.loadMatrix(memorySource("gate", uniform(E * D, 4), E, D), FORMATS.f32);
  const head = await ops.loadMatrix(memorySource("head", uniform(80 * D, 5, 0.2), 80, D), FORMATS.f16);
  const sources = Array.from({ length: E }, (_, e) => {
    const data = { w1: uniform(F * D, 10 + e, 0.2), w3: uniform(F * D, 20 + e, 0.2), w2: uniform(D * F, 30 + e, 0.2) };
    return expertSource(`expert ${e}`, data, D, F);
  });
  const experts = (await ops.loadExperts(sources, FORMATS.q8, FORMATS.q8)) as GpuExperts;
  const kv = ops.createKv({ layers: 1, ...ATTENTION }, "f16", 16);
  await kv.reserve(4);
  const step = async (T: number): Promise<Float32Array> => {
    ops.begin(batchOf(T));
    let x = ops.embed(embed);
    const h = ops.qkv(x, [qkv], ATTENTION);
    ops.append(kv, 0, h, ATTENTION);
    x = ops.add(x, ops.attention(kv, 0, h, ATTENTION));
    x = ops.rows(ops.add(x, await ops.moe(x, ops.route(x, { gate, k: K, rule: SOFTMAX, bias: null }), experts)));
    return ops.read(ops.matmul(x, head));
  };
  return { step, matrices: [qkv, gate, head] as readonly Matrix[], experts };
}

const sum = <T>(of: readonly T[], value: (one: T) => number): number =>
  of.reduce((total, one) => total + value(one), 0);

describe.skipIf(noAdapter)(`webgpu profiles${noAdapter ? `: ${NO_ADAPTER}` : ""}`, () => {
  describe.each(usualAdapters())("on $name", (adapter) => {
    let ops: WebGpuOps;
    beforeAll(async () => {
      ops = await adapter.open({ maxTokens: 33 });
    });
    afterAll(() => ops?.close());

    it.each([1, 33])("rows add up for %i tokens, and the result is the one without a profile", async (T) => {
      const { step } = await layer(ops);
      const want = await step(T);
      const before = ops.counters();
      const started = performance.now();
      let got = new Float32Array(0);
      const profile = await ops.profiling.run(async () => {
        got = Float32Array.from(await step(T));
      });
      const wallMs = performance.now() - started;
      const after = ops.counters();
      expect([...got]).toEqual([...want]);
      expect(sum(profile.kernels, ({ calls }) => calls)).toBe(after.dispatches - before.dispatches);
      expect(sum(profile.kernels, ({ weightBytes }) => weightBytes)).toBe(after.weightBytes - before.weightBytes);
      expect(new Set(profile.kernels.map(({ kernel }) => kernel)).size).toBe(profile.kernels.length);
      for (const { otherBytes, flops } of profile.kernels) {
        expect(otherBytes).toBeGreaterThan(0);
        expect(flops).toBeGreaterThanOrEqual(0);
      }
      if (!ops.device.features.has("timestamp-query")) {
        expect(profile.spanMs).toBeNull();
        return;
      }
      const kernelMs = sum(profile.kernels, ({ ms }) => ms!);
      expect(kernelMs).toBeGreaterThan(0);
      expect(profile.spanMs).toBeGreaterThanOrEqual(kernelMs * (1 - 1e-9));
      expect(profile.spanMs).toBeLessThan(wallMs);
    });

    it("counts each active weight once for a token, and every expert for many, however they are split", async () => {
      for (const maxWeightBytes of [undefined, 16384]) {
        const own = await adapter.open({ maxTokens: 33, tile: "registers", ...(maxWeightBytes && { maxWeightBytes }) });
        const { step, matrices, experts } = await layer(own);
        const counted = async (T: number): Promise<number> => {
          const before = own.counters().weightBytes;
          await step(T);
          return own.counters().weightBytes - before;
        };
        const dense = sum(matrices, ({ bytes }) => bytes);
        expect(await counted(1)).toBe(dense + (experts.bytes * K) / E);
        // Two tiles of 16 tokens for q, k and v; the router reads its own for each token, the head
        // for one, and an expert has 16 tokens at most.
        expect(await counted(32)).toBe(dense + matrices[0]!.bytes + 31 * matrices[1]!.bytes + experts.bytes);
        if (maxWeightBytes) expect(experts.w13.parts.length).toBeGreaterThan(1);
        own.close();
      }
    });

    it("names kernels by variant and shape", async () => {
      const { step } = await layer(ops);
      const { kernels } = await ops.profiling.run(async () => void (await step(1)));
      const names = kernels.map(({ kernel }) => kernel);
      expect(names.some((name) => /^\w+ q4 .*\b128x64$/.test(name))).toBe(true); // qkv
      expect(names.some((name) => /^\w+ f16 .*\b80x64$/.test(name))).toBe(true); // head
      expect(names.some((name) => /^\w+ q8 .*\b192x64$/.test(name))).toBe(true); // w1 and w3
    });

    it("measures the bandwidth of a copy and gives its buffers back", async () => {
      const before = ops.memory();
      const { bytes, bytesPerSecond } = await ops.profiling.copyBandwidth();
      expect(bytes).toBeGreaterThanOrEqual(64 * 2 ** 20);
      expect(bytesPerSecond).toBeGreaterThan(0);
      expect(bytesPerSecond).toBeLessThan(1e14);
      expect(ops.memory().weights).toBe(before.weights);
      expect(ops.memory().scratch - before.scratch).toBeLessThan(4096); // its params
    });
  });

  describe.each(adapters)("copy.wgsl on $name", ({ name }) => {
    let kernels: KernelBench;
    beforeAll(async () => {
      kernels = await openKernels(name, false);
    });
    afterAll(() => kernels?.close());

    it.each([1, 255, 1024, 1025, 5000])("copies %i vectors and no more", async (vectors) => {
      const x = Uint32Array.from({ length: 4 * vectors }, (_, i) => Math.imul(i + 1, 2654435761));
      const y = new Uint32Array(4 * vectors);
      await kernels.run({ name: "copy", n: 1, params: { vectors }, buffers: { x, y } });
      expect(y).toEqual(x);
    });
  });
});

describe("keys that queries see", () => {
  const one = (positions: number[], sequence: number[]) => ({
    ...batchOf(positions.length),
    positions: Uint32Array.from(positions),
    sequence: Uint32Array.from(sequence),
  });
  it.each([
    { positions: [9], sequence: [0], longest: 2, window: 0, pairs: 10, keys: 10 },
    { positions: [9], sequence: [0], longest: 2, window: 4, pairs: 4, keys: 4 },
    { positions: [0, 1, 2], sequence: [0, 0, 0], longest: 2, window: 0, pairs: 6, keys: 2 + 3 },
    { positions: [5, 6, 7, 31], sequence: [0, 0, 0, 1], longest: 2, window: 0, pairs: 53, keys: 7 + 8 + 32 },
    { positions: [5, 6], sequence: [0, 0], longest: 2, window: 3, pairs: 6, keys: 4 },
    { positions: [5, 7], sequence: [0, 0], longest: 2, window: 0, pairs: 14, keys: 14 },
  ])(
    "$positions of $sequence, $longest together, window $window",
    ({ positions, sequence, longest, window, ...want }) => {
      expect(seen(one(positions, sequence), longest, window)).toEqual(want);
    },
  );
});
