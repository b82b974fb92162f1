// The WebGPU backend as a user of a device: what it creates, splits, reports when the device fails,
// and leaves behind.

import { beforeEach, describe, expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import type { Ops } from "../../src/backend/ops.ts";
import { splitParts } from "../../src/backend/webgpu/weights/space.ts";
import { DeviceError, MemoryError, RequestError } from "../../src/errors.ts";
import { panelLayout } from "../../src/tensor/format.ts";
import { SOFTMAX } from "../../src/tensor/route_rule.ts";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { expertSource, memorySource, withBias } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";
import { expectClose } from "../support/reference.ts";
import { some } from "../support/some.ts";
import { attentionOf, batchOf, inputTable, range } from "../support/steps.ts";

const ATTENTION = attentionOf(4, 2, 16);
const [D, F, E, K] = [64, 112, 4, 2];

/**
 * Loads one layer and returns a function that runs a whole step on `T` tokens and reads the result.
 */
async function smallModel(ops: Ops, precision: "f32" | "q4" = "f32") {
  const embed = await inputTable(ops, uniform(300 * D, 1), D);
  const norm = await ops.loadVector(memorySource("norm", uniform(D, 2), 1, D));
  const qkv = await ops.loadMatrix(memorySource("qkv", uniform(128 * D, 3, 0.2), 128, D), FORMATS[precision]);
  const gate = await ops.loadMatrix(memorySource("gate", uniform(E * D, 4), E, D), FORMATS.f32);
  const rows = withBias(memorySource("head", uniform(500 * D, 5, 0.2), 500, D), uniform(500, 6, 2));
  const head = await ops.loadMatrix(rows, FORMATS[precision]);
  const data = Array.from({ length: E }, (_, e) => ({
    w1: uniform(F * D, 10 + e, 0.2),
    w3: uniform(F * D, 20 + e, 0.2),
    w2: uniform(D * F, 30 + e, 0.2),
  }));
  const experts = await ops.loadExperts(
    data.map((d, e) => expertSource(`expert ${e}`, d, D, F)),
    FORMATS[precision],
    FORMATS[precision],
  );
  const kv = ops.createKv({ layers: 1, ...ATTENTION }, "f16", 16);
  await kv.reserve(4);
  const step = async (T: number): Promise<Float32Array> => {
    ops.begin(batchOf(T, { tokens: Uint32Array.from({ length: T }, (_, t) => (t * 37) % 300) }));
    let x = ops.embed(embed);
    const h = ops.qkv(ops.rmsNorm(x, norm, 1e-5), [qkv], ATTENTION);
    ops.append(kv, 0, h, ATTENTION);
    x = ops.add(x, ops.attention(kv, 0, h, ATTENTION));
    const g = ops.rmsNorm(x, norm, 1e-5);
    x = ops.add(x, await ops.moe(g, ops.route(g, { gate, k: K, rule: SOFTMAX, bias: null }), experts));
    return ops.read(ops.matmul(ops.rows(x), head));
  };
  return { kv, step, head };
}

describe("splitParts", () => {
  const expert = panelLayout(FORMATS.q4, 224, 256).bytes;
  it.each([
    { limit: 8 * expert, parts: [[0, 8, 0, 224]] },
    {
      limit: 3 * expert,
      parts: [
        [0, 3, 0, 224],
        [3, 3, 0, 224],
        [6, 2, 0, 224],
      ],
    },
  ])("puts whole experts into parts of $limit bytes", ({ limit, parts }) => {
    const got = splitParts("w", FORMATS.q4, 8, 224, 256, limit);
    expect(got.map((p) => [p.expert, p.experts, p.row, p.rows])).toEqual(parts);
  });

  it.each(["f32", "f16", "q8", "q4"] as const)(
    "cuts what is too large by rows, each part within the limit: %s",
    (p) => {
      const limit = 20_000;
      const parts = splitParts("w", FORMATS[p], 2, 1001, 60, limit);
      let next = 0;
      for (const part of parts) {
        expect(part.experts).toBe(1);
        expect(part.expert * 1001 + part.row).toBe(next);
        expect(part.row % 64).toBe(0);
        expect(panelLayout(FORMATS[p], part.rows, 60).bytes).toBeLessThanOrEqual(limit);
        next += part.rows;
      }
      expect(next).toBe(2002);
    },
  );

  it("says so where not even a few rows fit", () => {
    expect(() => splitParts("w", FORMATS.f32, 1, 100, 4096, 1000)).toThrow(MemoryError);
  });
});

describe.skipIf(noAdapter)(`webgpu device${noAdapter ? `: ${NO_ADAPTER}` : ""}`, () => {
  if (adapters.length === 0) it("needs an adapter", () => Promise.reject(new Error(NO_ADAPTER)));

  describe.each(adapters.map((adapter) => [adapter.name, adapter] as const))("%s", (_, adapter) => {
    beforeEach(({ skip }) => skip(adapter.leftToPage !== undefined, adapter.leftToPage));
    it("creates nothing after a warm-up of every form of products, and submits once a step", async () => {
      const ops = await adapter.open({ maxTokens: 40 });
      const { step } = await smallModel(ops);
      for (const T of [1, 7, 9, 20]) await step(T); // each form of products
      const warm = ops.counters();
      for (const T of [40, 1, 7, 39]) await step(T);
      const after = ops.counters();
      const { dispatches, bytesRead, weightBytes } = after;
      expect(after).toEqual({
        ...warm,
        dispatches,
        bytesRead,
        weightBytes,
        submits: warm.submits + 4,
        readbacks: warm.readbacks + 4,
      });
      expect(after.dispatches).toBeGreaterThan(warm.dispatches);
      ops.close();
    });

    const precisions = some(["q4", "f32"] as const, 1);
    it.each(precisions)("computes the same from matrices in parts as from whole ones: %s", async (p) => {
      const whole = await adapter.open({ maxTokens: 40 });
      // Below one expert's gate and up in f32 (57 KB) and below the head: some split by rows, some
      // by experts.
      const limit = p === "f32" ? 45_000 : 17_000;
      const split = await adapter.open({ maxTokens: 40, maxWeightBytes: limit });
      const a = await smallModel(whole, p);
      const b = await smallModel(split, p);
      // Nothing but the order of a token's experts differs, where they lie in different parts.
      for (const T of [40, 3]) expectClose(await b.step(T), await a.step(T), 500, 1e-12);
      expect(split.counters().dispatches).toBeGreaterThan(whole.counters().dispatches);
      whole.close();
      split.close();
    });

    it("gives DeviceError once the device is lost, and works when opened again", async () => {
      const ops = await adapter.open({ maxTokens: 4 });
      const { step, kv } = await smallModel(ops);
      const before = await step(2);
      const running = step(3);
      ops.device.destroy();
      await expect(running).rejects.toThrow(DeviceError);
      await expect(step(1)).rejects.toThrow(/lost/);
      await expect(kv.reserve(100)).rejects.toThrow(DeviceError);
      await expect(ops.loadVector(memorySource("v", uniform(8, 1), 1, 8))).rejects.toThrow(DeviceError);
      ops.close();
      const again = await adapter.open({ maxTokens: 4 });
      expect(await (await smallModel(again)).step(2)).toEqual(before);
      again.close();
    });

    it("gives DeviceError for a step that the device finds invalid, and goes on", async () => {
      const ops = await adapter.open({ maxTokens: 4 });
      const { step } = await smallModel(ops);
      const before = await step(3);
      const { device } = ops;
      const create = device.createCommandEncoder.bind(device);
      device.createCommandEncoder = (descriptor) => {
        const encoder = create(descriptor);
        const buffer = device.createBuffer({ size: 16, usage: 4 | 8 });
        encoder.copyBufferToBuffer(buffer, 0, buffer, 0, 16); // onto itself, which is not allowed
        return encoder;
      };
      const failed = await step(3).catch((error: unknown) => error);
      device.createCommandEncoder = create;
      expect(failed).toBeInstanceOf(DeviceError);
      expect(String(failed)).toMatch(/refused a command: .*same buffer/);
      expect(await step(3)).toEqual(before);
      ops.close();
    });

    it("refuses heads that attention's workgroup memory cannot hold", async () => {
      const ops = await adapter.open({ maxTokens: 4 });
      expect(() => ops.createKv({ layers: 1, kvHeads: 2, headDim: 258 }, "f32", 16)).toThrow(
        /head_dim 258: .* at most 256/,
      );
      ops.createKv({ layers: 1, kvHeads: 2, headDim: 256 }, "f32", 16).close();
      ops.close();
    });

    it("gives MemoryError for more positions than a binding holds, and goes on", async () => {
      const ops = await adapter.open({ maxTokens: 4 });
      const { step, kv } = await smallModel(ops);
      const before = await step(3);
      await expect(kv.reserve(2 ** 31)).rejects.toThrow(MemoryError);
      expect(kv.blocks).toBe(4);
      expect(await step(3)).toEqual(before);
      ops.close();
    });

    it("gives MemoryError for an allocation that the device refuses, and frees what it had", async () => {
      const ops = await adapter.open({ maxTokens: 4 });
      // The device answers an allocation late, through an error scope: let it find the memory gone.
      const { device } = ops;
      const pop = device.popErrorScope.bind(device);
      let scopes = 0;
      device.popErrorScope = async () => {
        const found = await pop();
        return ++scopes % 2 === 0 ? ({ message: "VK_ERROR_OUT_OF_DEVICE_MEMORY" } as GPUError) : found;
      };
      const source = memorySource("w1", uniform(64 * 64, 1), 64, 64);
      await expect(ops.loadMatrix(source, FORMATS.f32)).rejects.toThrow(
        /w1.*could not allocate.*choose smaller weights/,
      );
      device.popErrorScope = pop;
      expect(ops.memory().weights).toBe(0);
      expect(await ops.loadMatrix(source, FORMATS.f32)).toMatchObject({ rows: 64 });
      ops.close();
    });

    it("keeps what a KV store holds when it grows", async () => {
      const ops = await adapter.open({ maxTokens: 20 });
      const { step, kv } = await smallModel(ops);
      const before = await step(20);
      await kv.reserve(9);
      expect(kv.blocks).toBe(9);
      expect(await step(20)).toEqual(before);
      ops.close();
    });

    it("holds and creates no more for attention however long a sequence is", async () => {
      const ops = await adapter.open({ maxTokens: 4 });
      const shape = { ...ATTENTION, kvHeads: 1 };
      const embed = await inputTable(ops, uniform(8 * D, 1), D);
      const qkv = await ops.loadMatrix(memorySource("qkv", uniform(96 * D, 3), 96, D), FORMATS.f32);
      const kv = ops.createKv({ layers: 1, ...shape }, "f16", 16, 1024);
      await kv.reserve(64);
      const step = async (position: number) => {
        const before = ops.counters();
        ops.begin(batchOf(1, { positions: Uint32Array.of(position), tables: [range(64)] }));
        const h = ops.qkv(ops.embed(embed), [qkv], shape);
        ops.append(kv, 0, h, shape);
        await ops.read(ops.attention(kv, 0, h, shape));
        const { dispatches, buffersCreated, bindGroupsCreated, pipelinesCreated } = ops.counters();
        return {
          scratch: ops.memory().scratch,
          dispatches: dispatches - before.dispatches,
          created: [buffersCreated, bindGroupsCreated, pipelinesCreated],
        };
      };
      const first = await step(0);
      // From 128 positions on they are split, and a second dispatch joins the parts.
      for (const position of [63, 64, 500, 1023])
        expect(await step(position)).toEqual({ ...first, dispatches: first.dispatches + Number(position >= 128) });
      ops.close();
    });

    it("refuses a tensor whose storage was taken, tokens past the vocabulary and blocks that do not exist", async () => {
      const ops = await adapter.open({ maxTokens: 4 });
      const embed = await inputTable(ops, uniform(8 * D, 1), D);
      const norm = await ops.loadVector(memorySource("norm", uniform(D, 2), 1, D));
      const qkv = await ops.loadMatrix(memorySource("qkv", uniform(128 * D, 3), 128, D), FORMATS.f32);
      const kv = ops.createKv({ layers: 1, ...ATTENTION }, "f32", 16);
      await kv.reserve(1);
      ops.begin(batchOf(2));
      const x = ops.embed(embed);
      const [first] = [ops.matmul(x, embed), ops.matmul(x, embed), ops.matmul(x, embed)];
      await expect(ops.read(first!)).rejects.toThrow(RequestError);
      const normed = ops.rmsNorm(x, norm, 1e-5);
      ops.add(x, ops.matmul(normed, await inputTable(ops, uniform(D * D, 7), D)));
      await expect(ops.read(normed)).rejects.toThrow(/its life/);
      ops.begin(batchOf(2));
      await expect(ops.read(x)).rejects.toThrow(RequestError);
      ops.begin(batchOf(1, { tokens: Uint32Array.of(8) }));
      expect(() => ops.embed(embed)).toThrow(/token id 8 .* 8/);
      ops.begin(batchOf(1, { tables: [Uint32Array.of(1)] }));
      const h = ops.qkv(ops.embed(embed), [qkv], ATTENTION);
      expect(() => ops.append(kv, 0, h, ATTENTION)).toThrow(/block 1 does not exist/);
      expect(() => ops.begin(batchOf(5))).toThrow(RequestError);
      ops.close();
    });
  });
});
