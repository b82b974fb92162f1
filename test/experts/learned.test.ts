// What a run keeps for the next one: scores of experts, and what trials found to be faster.

import { describe, expect, it, onTestFinished } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { type Learned, learnedFromText, learnedToText } from "../../src/experts/warm_start.ts";
import type { ExpertShape } from "../../src/tensor/record.ts";
import { SOFTMAX } from "../../src/tensor/route_rule.ts";
import { cpuResidency, type ExpertLayer } from "../../src/wiring/residency.ts";
import { cpuOps } from "../support/cpu.ts";
import { type ExpertData, expertSource, memorySource } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";
import { recordOf } from "../support/records.ts";
import { batchOf, inputTable } from "../support/steps.ts";

const LEARNED: Learned = { scores: [[0.5, 0], [1]], bypass: true, prefetch: null };

describe("as text", () => {
  it("comes back", () => {
    expect(learnedFromText(learnedToText(LEARNED), [2, 1])).toEqual(LEARNED);
  });

  it("of a version before choices has none", () => {
    const text = '{"version":1,"scores":[[0.5,0],[1]]}';
    expect(learnedFromText(text, [2, 1])).toEqual({ ...LEARNED, bypass: null });
  });

  it.each([
    null,
    "",
    "{",
    '{"version":2,"scores":[]}',
    '{"version":1,"scores":[[0.5]]}',
    '{"version":1,"scores":[[2],[1]]}',
  ])("%j is nothing", (text) => {
    expect(learnedFromText(text, [1, 1])).toBeNull();
  });
});

const [E, D] = [4, 256];
const SHAPE: ExpertShape = { count: E, hidden: D, intermediate: 64, up: FORMATS.q8, down: FORMATS.q8 };

/**
 * Decodes tokens, each by the next expert. Returns whether each one was read past the page cache,
 * and what was kept.
 */
async function decoded(tokens: number, known: string | null): Promise<{ ways: boolean[]; kept: Learned | null }> {
  const ways: boolean[] = [];
  const experts = Array.from({ length: E }, (_, e) => {
    const data: ExpertData = {
      w1: uniform(64 * D, 1 + e, 0.1),
      w3: uniform(64 * D, 11 + e, 0.1),
      w2: uniform(D * 64, 21 + e, 0.1),
    };
    const bytes = recordOf(SHAPE, data);
    const read = async (offset: number, into: Uint8Array, _signal?: AbortSignal, bypass = false): Promise<void> => {
      into.set(bytes.subarray(offset, offset + into.length));
      ways.push(bypass);
    };
    const source = expertSource(`expert ${e}`, data, D, 64, SHAPE.up, SHAPE.down);
    return { ...source, record: { up: SHAPE.up, down: SHAPE.down, bytes: bytes.length, read } };
  });
  // The gate of a token that is one row of the unit matrix chooses its expert.
  const unit = Float32Array.from({ length: E * D }, (_, i) => (i % D === Math.floor(i / D) ? 9 : 0));
  const norm = memorySource("norm", new Float32Array(D).fill(1), 1, D);
  const layer: ExpertLayer = { shape: SHAPE, experts, gate: memorySource("gate", unit, E, D), ffnNorm: norm };
  const ops = await cpuOps({ maxTokens: 4 });
  onTestFinished(() => ops.close());
  let kept: string | null = null;
  const store = {
    read: async () => known,
    async write(_: string, text: string) {
      kept = text;
    },
  };
  const residency = await cpuResidency(ops, {
    layers: [layer],
    perToken: 1,
    rule: SOFTMAX,
    // No slot stays, and fewer are in transit than there are experts: every token reads.
    tiers: [{ slots: 0, extra: 0, transit: 2, ram: null }],
    spill: () => null,
    learned: { store, name: "" },
  });
  const input = await inputTable(ops, unit, D);
  const gate = await ops.loadMatrix(layer.gate, FORMATS.f32);
  for (let token = 0; token < tokens; token++) {
    ops.begin(batchOf(1, { tokens: Uint32Array.of(token % E) }));
    const x = ops.embed(input);
    const routes = ops.route(x, { gate, k: 1, rule: SOFTMAX, bias: null });
    await ops.read(await ops.moe(x, routes, residency.experts(0)));
  }
  await residency.close();
  return { ways, kept: learnedFromText(kept, [E]) };
}

describe("the way of reading", () => {
  it("is tried in four tokens, in turns, then kept for this run and the next", async () => {
    // The first token is no pair of equal steps, and tells nothing.
    const { ways, kept } = await decoded(12, null);
    expect(ways.slice(0, 5)).toEqual([false, false, true, false, true]);
    expect(new Set(ways.slice(5)).size).toBe(1);
    expect(kept?.bypass).toBe(ways[5]);
  });

  it.each([true, false])("begins with what is remembered: %s", async (bypass) => {
    const { ways, kept } = await decoded(8, learnedToText({ scores: [[0, 0, 0, 0]], bypass, prefetch: false }));
    expect(ways).toEqual(new Array(8).fill(bypass));
    expect(kept).toMatchObject({ bypass, prefetch: false });
  });
});
