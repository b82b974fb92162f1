// Whole models of GGUF files against transformers on the dequantized weights, with exact
// activations. Several of these are shown by one file each: version 2, split files, one tensor an
// expert, rows of q and k in another order (all of them).

import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readGgufHeader } from "../../src/weights/gguf/container.ts";
import { nodeFiles } from "../../src/weights/node_files.ts";
import { IN_SIMD } from "../support/computed.ts";
import { cpuInstructions, cpuOps } from "../support/cpu.ts";
import { readExpected, worst } from "../support/expected.ts";
import { inShared, titled } from "../support/fixtures.ts";
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

/** Whether every type of the file has SIMD kernels; the plain ones have all. */
async function isInSimd(file: string): Promise<boolean> {
  const files = await nodeFiles(there.path);
  const { tensors } = await readGgufHeader(files, file);
  await files.close();
  return [...tensors.values()].every(({ type }) => IN_SIMD.some((format) => format === type.format));
}

describe.skipIf(there.skip !== null)(titled("GGUF models with exact activations", there.skip), () => {
  it("are all here", () => expect(cases.length).toBe(21));

  it.each(cases)("$name: logits and greedy tokens of transformers", async ({ name, file, prompts }) => {
    const any = [file].flat().at(-1)!;
    const simd = await isInSimd(any);
    const instructions = simd ? cpuInstructions()[0]! : "plain";
    const ops = await cpuOps({ maxTokens: 64, activations: "f32", instructions });
    const expected = await readExpected(there.path, `${name}.expected.safetensors`);
    const model = await loadFolder(`${there.path}/${any}`, ops, "f32", "f32");
    try {
      // models/tales is large for the plain kernels
      const some = simd || !name.startsWith("tales") ? prompts : prompts.slice(0, 1);
      for (const [n, { ids, greedy_ids, greedy_gaps }] of some.entries()) {
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
  });
});
