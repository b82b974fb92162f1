// models/tales with fewer slots than experts, through open(): the reference's tokens on
// every backend, consistent counts, budgets that hold, and a typed error or recovery if a
// file or a step fails.

import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import type { GenerateOptions, OpenOptions } from "../../src/engine/api.ts";
import type { Model } from "../../src/engine/model.ts";
import { MemoryError, WeightsError } from "../../src/errors.ts";
import { open } from "../../src/index.ts";
import { backends } from "../support/backends.ts";
import { inRepo, titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { shown } from "../support/some.ts";

const tales = inRepo("models/tales");
const { prompts } = JSON.parse(readFileSync(`${tales}/reference.json`, "utf8")) as {
  prompts: { prompt: string; ids: number[]; greedy_ids: number[] }[];
};
const E = 8;

/** A folder of this test's own. */
function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "hotset-tiers-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Opens without learned scores; closed when the test ends. */
async function opened(options: OpenOptions, folder = tales): Promise<Model> {
  vi.stubEnv("HOTSET_CACHE", temporary());
  onTestFinished(() => void vi.unstubAllEnvs());
  const model = await open(folder, { weights: "f32", kv: "f32", context: 256, chunk: 32, ...options });
  onTestFinished(() => model.close());
  return model;
}

async function greedy(model: Model, ids: readonly number[], options: GenerateOptions = {}): Promise<number[]> {
  const session = model.session();
  const out: number[] = [];
  try {
    for await (const piece of session.generate(ids, { temperature: 0, ignoreEos: true, ...options }))
      out.push(...piece.ids);
  } finally {
    session.close();
  }
  return out;
}

describe.each(backends)("experts in slots on $name", ({ options: backend }) => {
  const cpu = backend.backend === "cpu";
  /** A test that runs on an adapter only where everything does. */
  const usual = (title: string, test: () => Promise<void>): void => {
    const left = cpu ? null : leftToCi;
    it.skipIf(left)(titled(title, left), test);
  };
  // An adapter compiles its kernels for each model first: it shows the ends and the middle.
  for (const slots of shown([1, 2, 3, 4, 6, 8], (count) => cpu || [1, 3, 8].includes(count))) {
    const left = slots === 2 && cpu ? null : leftToCi;
    const title = `${slots} of 8 a layer: the reference's greedy tokens, every use a hit or a miss`;
    it.skipIf(left)(titled(title, left), async () => {
      const model = await opened({ ...backend, expertSlots: slots });
      for (const { ids, greedy_ids } of prompts.slice(0, 2))
        expect(await greedy(model, ids, { maxTokens: 16 })).toEqual(greedy_ids.slice(0, 16));
      const { experts } = model.stats();
      if (slots === E) {
        expect(experts).toBeNull();
        return;
      }
      expect(experts!.main.slots).toBe(slots);
      for (const layer of experts!.main.layers) {
        expect(layer.routed).toBe(layer.hits + layer.misses);
        expect(layer.routed).toBeGreaterThan(0);
        expect(layer.residents.length).toBeLessThanOrEqual(slots);
      }
      const sum = (field: "hits" | "misses"): number => experts!.main.layers.reduce((n, layer) => n + layer[field], 0);
      expect(sum("hits")).toBeGreaterThan(0);
      expect(sum("misses")).toBeGreaterThan(0);
    });
  }

  usual("sessions side by side get the tokens that each gets alone", async () => {
    const model = await opened({ ...backend, expertSlots: 3 });
    const wanted = prompts.slice(0, 3).map(({ greedy_ids }) => greedy_ids.slice(0, 6));
    const found = await Promise.all(prompts.slice(0, 3).map(({ ids }) => greedy(model, ids, { maxTokens: 6 })));
    expect(found).toEqual(wanted);
  });

  usual("a budget holds, and the smallest that is named works", async () => {
    const budget = cpu ? "ram" : "gpuMemory";
    const options = { ...backend, context: 64 };
    const message = await open(tales, { weights: "f32", kv: "f32", chunk: 32, ...options, [budget]: 8 << 20 }).then(
      () => "opened",
      (error: unknown) => {
        expect(error).toBeInstanceOf(MemoryError);
        return (error as MemoryError).message;
      },
    );
    const least = Number(/works with f32 weights and 1 of 8 experts a layer .* is (\d+) MiB/.exec(message)?.[1]) << 20;
    for (const bytes of [least, least + (20 << 20), least + (40 << 20)]) {
      const model = await opened({ ...options, [budget]: bytes });
      expect(await greedy(model, prompts[0]!.ids, { maxTokens: 4 })).toEqual(prompts[0]!.greedy_ids.slice(0, 4));
      const { memory, experts } = model.stats();
      expect(experts!.main.slots, `${bytes} bytes`).toBeGreaterThan(0);
      expect(memory.weights + memory.kv + memory.scratch).toBeLessThanOrEqual(bytes);
      await model.close();
    }
  });

  usual(
    "a file that is cut short after it was opened: an error that names it, and right tokens once it is whole again",
    async () => {
      const folder = join(temporary(), "tales");
      cpSync(tales, folder, { recursive: true });
      const model = await opened({ ...backend, expertSlots: 2 }, folder);
      const file = join(folder, "model.safetensors");
      const whole = readFileSync(file);
      truncateSync(file, 1 << 20);
      const failed = greedy(model, prompts[0]!.ids, { maxTokens: 2 });
      await expect(failed).rejects.toThrow(WeightsError);
      await expect(failed).rejects.toThrow(/model\.safetensors ends at byte \d+/);
      writeFileSync(file, whole);
      expect(await greedy(model, prompts[0]!.ids, { maxTokens: 4 })).toEqual(prompts[0]!.greedy_ids.slice(0, 4));
    },
  );

  usual("an abort in the middle of a step, and right tokens after it", async () => {
    const model = await opened({ ...backend, expertSlots: 2 });
    for (const wait of [0, 1, 3, 10]) {
      const controller = new AbortController();
      const reason = new Error("enough");
      setTimeout(() => controller.abort(reason), wait);
      await expect(greedy(model, prompts[1]!.ids, { signal: controller.signal })).rejects.toBe(reason);
    }
    expect(await greedy(model, prompts[0]!.ids, { maxTokens: 4 })).toEqual(prompts[0]!.greedy_ids.slice(0, 4));
  });

  usual("what a run has learned is where the next one begins", async () => {
    const cache = temporary();
    vi.stubEnv("HOTSET_CACHE", cache);
    onTestFinished(() => void vi.unstubAllEnvs());
    const run = async (): Promise<(readonly number[])[]> => {
      const model = await open(tales, { ...backend, weights: "q4", context: 256, expertSlots: 3 });
      const ids = prompts.slice(0, 8).flatMap((prompt) => prompt.ids);
      await greedy(model, ids, { maxTokens: 2 });
      const { layers } = model.stats().experts!.main;
      await model.close();
      return layers.map(({ residents }) => residents);
    };
    await run();
    const file = join(cache, readdirSync(cache).find((entry) => entry.startsWith("experts-"))!);
    const { version, scores } = JSON.parse(readFileSync(file, "utf8")) as { version: number; scores: number[][] };
    for (const layer of scores) expect(Math.max(...layer)).toBeGreaterThan(0);
    const favourites = (layer: number): number[] => [layer % E, (layer + 3) % E, (layer + 5) % E].sort();
    const told = scores.map((layer, i) => layer.map((_, expert) => (favourites(i).includes(expert) ? 1 : 0)));
    writeFileSync(file, JSON.stringify({ version, scores: told }));
    // The prompt uses them all: those with a high score stay.
    const residents = await run();
    expect(residents.slice(0, -1)).toEqual(scores.slice(0, -1).map((_, layer) => favourites(layer)));
  });
});
