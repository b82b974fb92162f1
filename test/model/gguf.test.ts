// Whole models of GGUF files against transformers on the dequantized weights, with exact
// activations. Several of these are shown by one file each: version 2, split files, one tensor an
// expert, rows of q and k in another order (all of them).

import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Ops } from "../../src/backend/ops.ts";
import { usualAdapters } from "../support/adapters.ts";
import { cpuOps } from "../support/cpu.ts";
import { readExpected, worst } from "../support/expected.ts";
import { inShared, titled } from "../support/fixtures.ts";
import { ALL, EVERYTHING } from "../support/level.ts";
import { loadFolder } from "../support/model.ts";

interface Case {
  readonly file: string | readonly string[];
  readonly endian: string;
  readonly prompts: readonly {
    readonly ids: readonly number[];
    readonly greedy_ids: readonly number[];
    readonly greedy_gaps: readonly number[];
  }[];
}

const TOLERANCE = 2e-4;
const there = inShared("fixtures/gguf");
const cases =
  there.skip === null
    ? readdirSync(there.path)
        .filter((name) => name.endsWith(".expected.json"))
        .map((name) => ({ name: name.replace(".expected.json", ""), ...read(name) }))
        .filter(({ endian }) => endian === "little") // the others are refused: container.test.ts
    : [];

function read(name: string): Case {
  return JSON.parse(readFileSync(`${there.path}/${name}`, "utf8")) as Case;
}

/**
 * On WebGPU, where each kernel is compiled first: the usual mix; with CI=true also types that no
 * other test of a whole model has, with HOTSET_ALL_TESTS=1 all.
 */
const ON_WEBGPU = ["k2-Q4_K_M", ...(EVERYTHING ? ["k1-Q2_K", "k1-IQ4_XS", "t2-MXFP4_MOE"] : [])];
const onWebGpu = usualAdapters().flatMap((adapter) =>
  cases.filter(({ name }) => ALL || ON_WEBGPU.includes(name)).map((given) => ({ ...given, adapter })),
);

/** Prompts, or the first few, on a backend that has the model. @throws where results differ */
async function compare(ops: Ops, { name, file, prompts }: (typeof cases)[number], most = prompts.length) {
  const expected = await readExpected(there.path, `${name}.expected.safetensors`);
  const model = await loadFolder(`${there.path}/${[file].flat().at(-1)}`, ops, "f32", "f32");
  try {
    for (const [n, { ids, greedy_ids, greedy_gaps }] of prompts.slice(0, most).entries()) {
      const want = await expected.floats(`p${n}.logits`);
      const { logits } = await model.run(ids);
      expect(worst(logits.subarray(-want.length), want), `prompt ${n}`).toBeLessThan(TOLERANCE);
      const largest = want.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const close = greedy_gaps.findIndex((gap) => gap < 2 * TOLERANCE * largest);
      const sure = close === -1 ? greedy_ids.length : close;
      if (sure > 0) expect(await model.greedy(sure), `prompt ${n}`).toEqual(greedy_ids.slice(0, sure));
    }
  } finally {
    model.close();
  }
}

describe.skipIf(there.skip !== null)(titled("GGUF models with exact activations", there.skip), () => {
  it("are all here", () => expect(cases.length).toBe(21));

  it.each(cases)("$name: logits and greedy tokens of transformers", async (given) => {
    await compare(await cpuOps({ maxTokens: 64, activations: "f32" }), given);
  });

  it.skipIf(onWebGpu.length === 0).each(onWebGpu)(
    "$name on $adapter.name",
    { timeout: 300_000 },
    async ({ adapter, ...given }) => {
      await compare(await adapter.open({ maxTokens: 64, arithmetics: ["f32"] }), given, 1);
    },
  );
});
