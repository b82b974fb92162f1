// The CPU backend against the conformance suite, and what only it promises.

import { describe, expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { MemoryError, RequestError } from "../../src/errors.ts";
import { cpuInstructions, cpuOps } from "../support/cpu.ts";
import { leftToCi } from "../support/level.ts";
import { memorySource } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";
import { attentionOf, batchOf } from "../support/steps.ts";
import { conformance } from "./conformance.ts";

const best = cpuInstructions()[0];
for (const instructions of cpuInstructions()) {
  if (instructions === "plain") {
    conformance("cpu plain", ({ maxTokens }) => cpuOps({ maxTokens, instructions }));
    continue;
  }
  for (const threads of [1, 2])
    for (const activations of ["int8", "f32"] as const)
      conformance(
        `cpu ${instructions}, ${threads} threads, ${activations} activations`,
        ({ maxTokens }) => cpuOps({ maxTokens, instructions, threads, activations, limits: { shareAll: true } }),
        instructions === best && threads === 2 && activations === "int8" ? null : leftToCi,
      );
}

// Every matrix and every layer's keys in a WebAssembly memory of their own, as far apart as in a
// model of many gigabytes.
for (const threads of [1, 2])
  conformance(
    `cpu over many memories, ${threads} threads`,
    ({ maxTokens }) =>
      cpuOps({ maxTokens, threads, limits: { homeWeights: 0, weights: 1, homeKv: -1, kv: 1, shareAll: true } }),
    threads === 2 ? null : leftToCi,
  );

// Addresses above 2 GiB, which are negative as 32-bit integers. Nothing is written to what lies
// below.
conformance(
  "cpu far up in its memory, 2 threads",
  ({ maxTokens }) =>
    cpuOps({ maxTokens, threads: 2, limits: { skip: 3.5 * 2 ** 30, homeWeights: 4 * 2 ** 30, shareAll: true } }),
  leftToCi,
);

describe("cpu", () => {
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
