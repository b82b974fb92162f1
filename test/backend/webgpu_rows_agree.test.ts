// On WebGPU a row's logits do not depend on the rows beside it, to the bit, up to eight rows of a
// sequence, where a single row is computed by the form of a few: what exact speculation would need.

import { describe, expect, it } from "vitest";
import { openSteps } from "../../bench/node_steps.ts";
import { batchOf } from "../../bench/steps.ts";
import { type RowForms, usualForms } from "../../src/backend/webgpu/tuning/rows.ts";
import { forward } from "../../src/model/decoder.ts";
import { kvGeometry } from "../../src/model/family.ts";
import { NO_ADAPTER, noAdapter, usualAdapters } from "../support/adapters.ts";
import { inRepo } from "../support/fixtures.ts";

/** Past the positions from where on attention is split. */
const POSITIONS = 136;

const [adapter] = usualAdapters();

/** The same form for one row and for more. */
const always = (alone: boolean): RowForms => ({ matrices: [[64, "8x4"]], experts: [[64, "8x4"]], alone });

describe.skipIf(noAdapter)(`webgpu rows beside each other: ${adapter?.name ?? NO_ADAPTER}`, () => {
  it.each([
    ["agree to the bit by few rows, each invocation alone", always(true), [2, 8], true],
    ["agree to the bit by few rows, in teams", always(false), [2, 8], true],
    ["differ by the usual forms, a single row by another", usualForms(true), [8], false],
  ] as const)("%s", async (_, forms, sizes, agree) => {
    const settings = { weights: "q4", kv: "f16", chunk: 8, tune: false } as const;
    const steps = await openSteps(inRepo("models/tales"), { ...settings, forms, adapter: adapter!.name });
    const { ops, model, architecture } = steps;
    /** Logits of all positions, in steps of T tokens. */
    const inSteps = async (T: number): Promise<Float32Array[]> => {
      const kv = ops.createKv(kvGeometry(architecture), "f16", 32);
      await kv.reserve(Math.ceil(POSITIONS / 32));
      const rows: Float32Array[] = [];
      for (let at = 0; at < POSITIONS; at += T) {
        const batch = batchOf(at, T, architecture.vocab, true);
        const outputs = Uint32Array.from({ length: T }, (_, i) => i);
        const logits = await ops.read(await forward(ops, model, kv, { ...batch, outputs }));
        for (let i = 0; i < T; i++) rows.push(logits.slice(i * architecture.vocab, (i + 1) * architecture.vocab));
      }
      kv.close();
      return rows;
    };
    const single = await inSteps(1);
    for (const T of sizes) {
      const rows = await inSteps(T);
      const differing = rows.filter((row, at) => row.some((value, i) => value !== single[at]![i]));
      expect(differing.length === 0, `${T} rows, ${differing.length} apart`).toBe(agree);
    }
    await steps.close();
  });
});
