// On WebGPU a row's logits do not depend on the rows beside it, to the bit, up to eight rows of a
// sequence, where that is asked for: what exact speculation needs.

import { describe, expect, it } from "vitest";
import { openSteps } from "../../bench/node_steps.ts";
import type { KvPrecision } from "../../src/backend/ops.ts";
import { AGREEING_ROWS, usualForms } from "../../src/backend/webgpu/tuning/rows.ts";
import { forward } from "../../src/model/decoder.ts";
import { kvGeometry } from "../../src/model/family.ts";
import { NO_ADAPTER, noAdapter, usualAdapters } from "../support/adapters.ts";
import { inRepo, inShared, titled } from "../support/fixtures.ts";
import { some } from "../support/some.ts";

/** The beginning of a text, and where positions come to be worth splits of their own. */
const SPANS = [
  [0, 16],
  [120, 136],
] as const;

interface Case {
  readonly name: string;
  readonly path: string;
  readonly skip?: string | null;
  readonly weights?: "q4" | "f32";
  readonly kv?: KvPrecision;
  /** Forms as on a GPU: teams that share columns. */
  readonly teams?: boolean;
  /** Whether agreeing is asked for; default true. */
  readonly asked?: boolean;
}

const tales = inRepo("models/tales");
const USUAL: readonly Case[] = [
  { name: "by few rows, each invocation alone", path: tales },
  { name: "by few rows, in teams", path: tales, teams: true },
];
const family = (name: string): Case => ({ name, ...inShared(`fixtures/families/${name}`), weights: "f32" });
/** What layers may have: norms of q and k, sinks, windows, latents, shared experts, LayerNorms. */
const FAMILIES: readonly Case[] = [
  { name: "qwen3_moe with biases", path: inRepo("test/fixtures/qwen3_moe-biased"), weights: "f32" },
  { name: "dots1, keys and values in q8", path: inRepo("test/fixtures/dots1"), weights: "f32", kv: "q8" },
  ...["gpt_oss-a", "deepseek_v2-a", "qwen2_moe-a", "phimoe-a"].map(family),
  { ...family("qwen2_moe-a"), name: "qwen2_moe-a in teams", teams: true },
];

describe.skipIf(noAdapter)(`webgpu rows beside each other${noAdapter ? `: ${NO_ADAPTER}` : ""}`, () => {
  const [adapter] = usualAdapters();

  /** Positions whose logits, in steps of so many rows, are not those of steps of one. */
  async function differing({ path, weights = "q4", kv = "f16", teams, asked = true }: Case) {
    const settings = { weights, kv, chunk: AGREEING_ROWS, tune: false, rowsAgree: asked } as const;
    const forms = usualForms(!teams);
    const steps = await openSteps(path, { ...settings, forms, adapter: adapter!.name });
    const { ops, model, architecture } = steps;
    const { vocab } = architecture;
    const cache = ops.createKv(kvGeometry(architecture), kv, 32);
    await cache.reserve(Math.ceil(SPANS[1][1] / 32));
    const inSteps = async (T: number): Promise<Float32Array[]> => {
      const rows: Float32Array[] = [];
      for (const [from, to] of SPANS)
        for (let at = from; at < to; at += T) {
          const each = Uint32Array.from({ length: Math.min(T, to - at) }, (_, i) => i);
          const batch = {
            tokens: each.map((i) => ((at + i) * 7919) % vocab),
            positions: each.map((i) => at + i),
            sequence: each.map(() => 0),
            tables: [Uint32Array.from({ length: 5 }, (_, i) => i)],
            outputs: each,
          };
          const logits = await ops.read(await forward(ops, model, cache, batch));
          for (const i of each) rows.push(logits.slice(i * vocab, (i + 1) * vocab));
        }
      return rows;
    };
    try {
      const single = await inSteps(1);
      const found: Record<string, number> = {};
      for (const T of [2, 5, AGREEING_ROWS]) {
        const rows = await inSteps(T);
        expect(rows.length).toBe(single.length);
        found[T] = rows.filter((row, at) => row.some((value, i) => !Object.is(value, single[at]![i]))).length;
      }
      return { found, agree: ops.rowsAgree };
    } finally {
      cache.close();
      await steps.close();
    }
  }

  for (const one of [...some(USUAL, 1), ...some(FAMILIES, 1)])
    it.skipIf(one.skip)(titled(`agree to the bit: ${one.name}`, one.skip ?? null), async () => {
      expect(await differing(one)).toEqual({ found: { 2: 0, 5: 0, 8: 0 }, agree: AGREEING_ROWS });
    });

  it("differ where that is not asked for: a single row has a form of its own", async () => {
    const { found, agree } = await differing({ name: "", path: tales, asked: false });
    expect(agree).toBe(0);
    expect(found[8]).toBeGreaterThan(0);
  });
});
