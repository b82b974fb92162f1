// The CPU backend against the conformance suite, and what only it promises.

import { describe, expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { MemoryError, RequestError } from "../../src/errors.ts";
import { SOFTMAX } from "../../src/tensor/route_rule.ts";
import { cpuInstructions, cpuOps } from "../support/cpu.ts";
import { leftToAll, leftToCi } from "../support/level.ts";
import { expertSource, memorySource } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";
import { attentionOf, batchOf, inputTable } from "../support/steps.ts";
import { conformance, firstOnly, formatConformance } from "./conformance.ts";
import { ruleWithBiases } from "./conformance_moe.ts";

const best = cpuInstructions()[0];
for (const instructions of cpuInstructions()) {
  if (instructions === "plain") {
    const few = leftToCi && firstOnly(leftToCi); // what is compiled is compared with these in many tests
    conformance("cpu plain", ({ maxTokens }) => cpuOps({ maxTokens, instructions }), few);
    formatConformance("cpu plain", ({ maxTokens }) => cpuOps({ maxTokens, instructions }), leftToCi);
    continue;
  }
  for (const threads of [1, 2])
    for (const activations of ["int8", "f32"] as const) {
      // How work is shared and how it is computed have nothing to do with each other.
      const shown = (threads === 2) === (activations === "int8");
      conformance(
        `cpu ${instructions}, ${threads} threads, ${activations} activations`,
        ({ maxTokens }) => cpuOps({ maxTokens, instructions, threads, activations, limits: { shareAll: true } }),
        !shown ? leftToAll : instructions === best && threads === 2 ? null : leftToCi,
      );
    }
  for (const activations of ["int8", "f32"] as const)
    formatConformance(
      `cpu ${instructions}, ${activations} activations`,
      ({ maxTokens }) => cpuOps({ maxTokens, instructions, threads: 2, activations, limits: { shareAll: true } }),
      instructions === best && activations === "int8" ? null : leftToCi,
    );
}

// Every matrix and every layer's keys in a WebAssembly memory of their own, as far apart as in a
// model of many gigabytes.
for (const threads of [1, 2])
  conformance(
    `cpu over many memories, ${threads} threads`,
    ({ maxTokens }) =>
      cpuOps({ maxTokens, threads, limits: { homeWeights: 0, weights: 1, homeKv: -1, kv: 1, shareAll: true } }),
    threads === 2 ? leftToCi : leftToAll,
  );

formatConformance(
  "cpu over many memories",
  ({ maxTokens }) => cpuOps({ maxTokens, threads: 2, limits: { homeWeights: 0, weights: 1, shareAll: true } }),
  leftToCi,
);

// Addresses above 2 GiB, which are negative as 32-bit integers. Nothing is written to
// what lies below.
conformance(
  "cpu far up in its memory, 2 threads",
  ({ maxTokens }) =>
    cpuOps({ maxTokens, threads: 2, limits: { skip: 3.5 * 2 ** 30, homeWeights: 4 * 2 ** 30, shareAll: true } }),
  leftToCi,
);

describe("cpu", () => {
  it.each([
    ["q4_k", "q6_k"],
    ["f16", "q4_k"],
    ["q4", "q8"],
  ] as const)("computes experts in slots as loaded ones, bit for bit: %s, and %s for w2", async (one, other) => {
    const [E, K, D, F] = [5, 2, 288, 64];
    const [up, down] = [FORMATS[one], FORMATS[other]];
    const ops = await cpuOps({ maxTokens: 40, threads: 2, limits: { shareAll: true } });
    const input = await inputTable(ops, uniform(40 * D, 1), D);
    const gate = await ops.loadMatrix(memorySource("gate", uniform(E * D, 2), E, D), FORMATS.f32);
    const sources = Array.from({ length: E }, (_, e) => {
      const data = { w1: uniform(F * D, 3 + e), w3: uniform(F * D, 13 + e), w2: uniform(D * F, 23 + e) };
      return expertSource(`expert ${e}`, data, D, F, up, down);
    });
    const rule = (await ruleWithBiases(ops, "swiglu_oai", E, D, F)).loaded;
    const loaded = await ops.loadExperts(sources, up, down, rule);
    const slots = await ops.expertSlots!({ count: E, hidden: D, intermediate: F, up, down }, E);
    for (const [e, source] of sources.entries()) await slots.convert(source, E - 1 - e);
    const stored = ops.offloadedExperts!(
      0,
      slots,
      {
        async visit(_layer, use, _x, compute) {
          for (const { expert } of [...use].reverse()) await compute(expert, E - 1 - expert);
        },
      },
      rule,
    );
    expect(stored).toMatchObject({ up, down });
    for (const T of [40, 1, 3]) {
      const results = [];
      for (const experts of [loaded, stored]) {
        ops.begin(batchOf(T));
        const x = ops.embed(input);
        results.push(
          await ops.read(await ops.moe(x, ops.route(x, { gate, k: K, rule: SOFTMAX, bias: null }), experts)),
        );
      }
      expect(results[1]).toEqual(results[0]);
    }
    ops.close();
  });

  it("says what it is", async () => {
    const ops = await cpuOps({ maxTokens: 8, threads: 3, deviceName: "a processor" });
    expect(ops.info).toEqual({
      backend: "cpu",
      device: "a processor",
      software: false,
      threads: 3,
      features: [best === "simd128" ? "simd128" : "relaxed-simd", "int8-activations"],
    });
    ops.close();
    const plain = await cpuOps({ maxTokens: 8, threads: 3, deviceName: "a processor", instructions: "plain" });
    expect(plain.info).toEqual({ backend: "cpu", device: "a processor", software: false, threads: 1, features: [] });
  });

  it("refuses batches and token ids out of range, and a position without a block", async () => {
    const ops = await cpuOps({ maxTokens: 4 });
    expect(() => ops.begin(batchOf(5))).toThrow(RequestError);
    expect(() => ops.begin(batchOf(0))).toThrow(RequestError);
    const table = await ops.loadMatrix(memorySource("t", uniform(3 * 64, 1), 3, 64), FORMATS.q4);
    expect(() => ops.embed(table)).toThrow(/begin/);
    ops.begin(batchOf(2, { tokens: Uint32Array.of(0, 3) }));
    expect(() => ops.embed(table)).toThrow("Token id 3 is not in the vocabulary: ids are 0 to 2");
    const shape = attentionOf(2, 1, 16);
    const kv = ops.createKv({ layers: 1, kvHeads: 1, headDim: 16 }, "f32", 16);
    await kv.reserve(1);
    ops.begin(batchOf(1, { positions: Uint32Array.of(16), tables: [Uint32Array.of(0, 1)] }));
    expect(() => ops.append(kv, 0, ops.embed(table), shape)).toThrow(/position 16 of sequence 0 has no block/);
    kv.close();
    await expect(kv.reserve(1)).rejects.toThrow(RequestError);
  });

  it("turns an allocation that fails into a MemoryError that names the matrix", async () => {
    const ops = await cpuOps({ maxTokens: 4 });
    const huge = { ...memorySource("huge", new Float32Array(0), 0, 2 ** 20), rows: 2 ** 31 };
    await expect(ops.loadMatrix(huge, FORMATS.f32)).rejects.toThrow(MemoryError);
    await expect(ops.loadMatrix(huge, FORMATS.f32)).rejects.toThrow(/huge.*2147483648, 1048576/);
    expect(ops.memory().weights).toBe(0);
  });

  it.each(["plain", best] as const)("turns states that do not fit into a MemoryError: %s", async (instructions) => {
    const ops = await cpuOps({ maxTokens: 4, instructions: instructions! });
    const { states } = ops.createKv({ layers: 1, kvHeads: 1, headDim: 8, states: [16, 2 ** 40] }, "f32", 16);
    await expect(states!.reserve(2)).rejects.toThrow(MemoryError);
    await expect(states!.reserve(2)).rejects.toThrow(/state.* 1 of 2/);
    expect(states!.slots).toBe(0);
  });

  it("uses its working memory again step after step", async () => {
    const ops = await cpuOps({ maxTokens: 8 });
    const table = await ops.loadMatrix(memorySource("t", uniform(64 * 64, 1), 64, 64), FORMATS.q8);
    const step = async (T: number) => {
      ops.begin(batchOf(T));
      await ops.read(ops.matmul(ops.embed(table), table));
      return ops.memory().scratch;
    };
    const first = await step(8);
    for (const T of [1, 8, 3, 8]) await step(T);
    // the few-token path adds its own rows once
    expect(await step(8)).toBeLessThanOrEqual(first + 4096);
  });
});
