// The replay of an engine's trace has the same counts as the engine.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { CONTESTANTS, replay } from "../../bench/experts/replay.ts";
import type { RouteStep } from "../../src/experts/trace.ts";
import { open } from "../../src/index.ts";
import { backends } from "../support/backends.ts";
import { inRepo, titled } from "../support/fixtures.ts";
import { EVERYTHING, leftToCi } from "../support/level.ts";

const ofTier = (tier: "RAM" | "device") => CONTESTANTS.find(({ name }) => name === `hotset, ${tier}`)!;

describe("a replay of the engine's own steps", () => {
  const cases = backends.flatMap(({ name, options }) =>
    (name === "cpu" ? [4, 2, 7] : [3]).map((slots) => ({ name, options, slots })),
  );
  for (const { name, options, slots } of cases) {
    const left = slots === 4 ? null : leftToCi;
    it.skipIf(left)(
      titled(`has its hits, misses and admissions with ${slots} slots a layer on ${name}`, left),
      async () => {
        const cache = mkdtempSync(join(tmpdir(), "hotset-cache-"));
        vi.stubEnv("HOTSET_CACHE", cache); // nothing learned before
        onTestFinished(() => {
          vi.unstubAllEnvs();
          rmSync(cache, { recursive: true, force: true });
        });
        const steps: RouteStep[] = [];
        const model = await open(inRepo("models/tales"), {
          ...options,
          weights: "q8",
          context: 512,
          chunk: 32,
          expertSlots: slots,
          onRoutes: (step) => void steps.push(step),
        });
        const layers = model.architecture.layers.length;
        const { count: experts, perToken: k } = model.architecture.layers[0]!.experts!;
        try {
          const prompt = "Once upon a time there lived in a wood a fox who had never seen the sea. ".repeat(2);
          // Two sessions at once: prompts, steps of two tokens and chunks beside decoded tokens.
          const run = async (seed: number) => {
            for await (const _ of model
              .session()
              .generate(prompt, { maxTokens: EVERYTHING ? 40 : 16, temperature: 1, seed, ignoreEos: true }));
          };
          await Promise.all([run(1), run(2)]);
          const { main } = model.stats().experts!;
          expect(main.slots).toBe(slots);
          const engine = { hits: 0, misses: 0, admissions: 0 };
          for (const layer of main.layers) {
            expect(layer.routed).toBe(layer.hits + layer.misses);
            for (const count of ["hits", "misses", "admissions"] as const) engine[count] += layer[count];
          }
          const own = ofTier(name === "cpu" ? "RAM" : "device");
          const { decode, prefill } = replay({ model: "m", layers, experts, k, steps }, own, slots);
          expect(steps.some((step) => step.tokens === 2 && step.sequences === 2)).toBe(true);
          expect(engine).toEqual({
            hits: decode.hits + prefill.hits,
            misses: decode.misses + prefill.misses,
            admissions: decode.admissions + prefill.admissions,
          });
        } finally {
          await model.close();
        }
      },
    );
  }
});
