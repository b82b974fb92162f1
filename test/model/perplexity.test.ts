// Held-out perplexity of models/tales: the whole protocol at q4 and of a GGUF file, the first
// windows elsewhere.
//
// The reference is transformers in float32 (test/fixtures/perplexity), whose mean is
// that of models/tales/reference.json.

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { perplexityOf, WINDOWS, windowNll } from "../../bench/perplexity.ts";
import type { PackableName } from "../../kernels/formats/index.ts";
import { open } from "../../src/index.ts";
import { backends } from "../support/backends.ts";
import { inRepo, inShared, titled } from "../support/fixtures.ts";
import { EVERYTHING, leftToCi } from "../support/level.ts";
import { shown } from "../support/some.ts";

const heldout = inShared("fixtures/perplexity/tales-valid.txt");
const { nll: reference } = JSON.parse(readFileSync(inRepo("test/fixtures/perplexity/windows.json"), "utf8")) as {
  nll: number[];
};
/** Largest excess over the reference's perplexity at each precision, as a share. */
const LIMITS = { f32: 0.001, q8: 0.002, q4: 0.015 } as const satisfies Partial<Record<PackableName, number>>;
/** Windows on WebGPU: software adapters take many seconds for one. */
const GPU_WINDOWS = 1;

it("the reference is that of models/tales", () => {
  const { heldout: whole } = JSON.parse(readFileSync(inRepo("models/tales/reference.json"), "utf8"));
  expect(reference).toHaveLength(WINDOWS);
  expect(perplexityOf(reference)).toBeCloseTo(whole.perplexity, 3);
});

describe.skipIf(heldout.skip)(titled("perplexity", heldout.skip), () => {
  const text = heldout.skip ? "" : readFileSync(heldout.path, "utf8");

  it.each([
    ["f32", EVERYTHING ? 8 : 1],
    ["q8", 8],
    ["q4", EVERYTHING ? WINDOWS : 8],
  ] as const)("cpu, %s: %d windows", async (weights, windows) => {
    const model = await open(inRepo("models/tales"), { backend: "cpu", weights });
    try {
      const found = perplexityOf(await windowNll(model, text, windows));
      const excess = found / perplexityOf(reference.slice(0, windows)) - 1;
      console.log(`perplexity, cpu ${weights}, ${windows} windows: ${(excess * 100).toFixed(3)} % over the reference`);
      expect(Math.abs(excess)).toBeLessThan(LIMITS[weights]);
    } finally {
      await model.close();
    }
  });

  // the six types of a mix, against transformers on the dequantized weights
  const gguf = inShared("fixtures/gguf/tales-Q4_K_M.gguf");
  const left = gguf.skip ?? leftToCi;
  it.skipIf(left)(titled(`a GGUF file, Q4_K_M: ${WINDOWS} windows`, left), async () => {
    const expected = JSON.parse(readFileSync(gguf.path.replace(/\.gguf$/, ".expected.json"), "utf8"));
    const model = await open(gguf.path, { backend: "cpu", activations: "f32" });
    try {
      const found = perplexityOf(await windowNll(model, text));
      console.log(`perplexity, cpu, Q4_K_M as the file has it: ${found.toFixed(4)}`);
      expect(Math.abs(found / expected.perplexity.f32_on_dequantized - 1)).toBeLessThan(0.001);
    } finally {
      await model.close();
    }
  });

  describe.each(backends.filter((b) => b.name !== "cpu"))("$name", ({ options }) => {
    for (const weights of shown(["f32", "q8", "q4"] as const, (one) => one !== "q8"))
      it.skipIf(leftToCi)(titled(`${weights}: the first window`, leftToCi), async () => {
        const kv = weights === "f32" ? "f32" : "f16";
        const model = await open(inRepo("models/tales"), { ...options, weights, kv });
        // Exact products, as WebGPU has them.
        const exact = { backend: "cpu", weights, kv, activations: "f32" } as const;
        const cpu = weights === "f32" ? null : await open(inRepo("models/tales"), exact);
        try {
          const found = await windowNll(model, text, GPU_WINDOWS);
          if (cpu) {
            // One window says little about what quantizing costs on the whole: the same weights on
            // the CPU must give the same; with int8 activations they are held to the limit above.
            const same = await windowNll(cpu, text, GPU_WINDOWS);
            expect(Math.abs(perplexityOf(found) / perplexityOf(same) - 1)).toBeLessThan(0.001);
          } else {
            const expected = perplexityOf(reference.slice(0, GPU_WINDOWS));
            expect(Math.abs(perplexityOf(found) / expected - 1)).toBeLessThan(LIMITS.f32);
          }
        } finally {
          await model.close();
          await cpu?.close();
        }
      });
  });
});
