// A model with windows in some layers, over a KV cache that keeps only what they show: the tokens
// of transformers and of a cache that keeps everything, in less memory.

import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Model } from "../../src/engine/model.ts";
import { type OpenOptions, open } from "../../src/index.ts";
import { backends } from "../support/backends.ts";
import { inRepo, inShared, titled } from "../support/fixtures.ts";
import { collect } from "../support/pieces.ts";

// Layers 0 and 2 of 3 see 16 positions.
const { path, skip } = inShared("fixtures/families/gpt_oss-a");
const CONTEXT = 1024;
const CHUNK = 32;
/** Bytes of a block of 32 positions in a layer: keys and values of 2 heads of 16, in f32. */
const LAYER = 2 * 32 * 2 * 16 * 4;
/** Panes of a sequence: see paneNeeds(). */
const NEEDED = 4;
const settings = { weights: "f32", kv: "f32", context: CONTEXT } as const;
const greedy = (maxTokens: number) => ({ temperature: 0, maxTokens, ignoreEos: true });

interface Expected {
  readonly cases: readonly { readonly prompt_ids: number[]; readonly greedy_ids: number[] }[];
}

/** Ids that follow no text. */
const idsOf = (count: number, seed: number) => Array.from({ length: count }, (_, i) => (i * i * 7 + i * seed) % 320);

/** The option that gives a cache `blocks` blocks and the fewest panes. */
async function budget(options: OpenOptions, blocks: number): Promise<OpenOptions> {
  const name = options.backend === "webgpu" ? "gpuMemory" : "ram";
  const plenty = 2 ** 28;
  const model = await open(path, { ...settings, ...options, chunk: CHUNK, [name]: plenty });
  const { most, panes } = model.stats().blocks;
  await model.close();
  const others = plenty - most * LAYER - panes!.most * 2 * LAYER; // but for less than a block
  return { [name]: others + blocks * LAYER + NEEDED * 2 * LAYER };
}

describe.skipIf(skip)(titled("windows", skip), () => {
  const whole: { readonly prompt: number[]; readonly ids: number[] }[] = [];
  beforeAll(async () => {
    // A step as long as the context: a window saves nothing.
    const model = await open(path, { ...settings, backend: "cpu", chunk: CONTEXT });
    expect(model.stats().blocks.panes).toBeUndefined();
    const first = idsOf(700, 5);
    const parts = [first, [...first.slice(0, 333), ...idsOf(80, 3)], [...first.slice(0, 690), ...idsOf(90, 11)]];
    for (const prompt of parts) {
      const session = model.session();
      const { ids } = await collect(session.generate(prompt, greedy(70)));
      whole.push({ prompt, ids });
      session.close();
    }
    await model.close();
  });

  describe.each(backends)("on $name", ({ options }) => {
    let model: Model;
    beforeAll(async () => {
      const few = await budget(options, 24);
      model = await open(path, { ...settings, ...options, ...few, context: 768, chunk: CHUNK });
    });
    afterAll(() => model?.close());

    it("need no more than one sequence's panes, and give the tokens of transformers", async () => {
      const { cases } = JSON.parse(readFileSync(`${path}/expected.json`, "utf8")) as Expected;
      expect(model.stats().blocks.panes!.most).toBe(NEEDED);
      for (const { prompt_ids, greedy_ids } of cases) {
        const session = model.session();
        const { ids } = await collect(session.generate(prompt_ids, greedy(greedy_ids.length)));
        expect(ids).toEqual(greedy_ids);
        session.close();
      }
    });

    it("take memory for what is seen, whatever the length", async () => {
      const { prompt, ids } = whole[0]!;
      const session = model.session();
      expect((await collect(session.generate(prompt, greedy(68)))).ids).toEqual(ids.slice(0, 68));
      const { blocks, memory } = model.stats();
      expect(blocks.blocks).toBe(24);
      expect(memory.kv).toBe(24 * LAYER + NEEDED * 2 * LAYER); // in place of 24 * 3 * LAYER
      session.close();
    });

    it("are saved and restored, and a restored text can be cut short", async () => {
      const { prompt, ids } = whole[0]!;
      const session = model.session();
      await collect(session.generate(prompt, greedy(9)));
      const bytes = await session.save();
      session.close();
      await goOn(model, bytes);
      if (options.backend !== "cpu") return;
      // A cache that keeps everything has too little of this text.
      const other = await open(path, { ...settings, ...options, chunk: CONTEXT });
      await goOn(other, bytes);
      await other.close();

      async function goOn(on: Model, saved: Uint8Array): Promise<void> {
        const restored = await on.restore(saved);
        expect(Buffer.compare(await restored.save(), saved)).toBe(0);
        const { ids: next, finish } = await collect(restored.generate([...prompt, ...ids.slice(0, 9)], greedy(20)));
        expect([next, finish.cachedTokens]).toEqual([ids.slice(9, 29), 708]);
        const again = await collect(restored.generate(whole[1]!.prompt, greedy(20)));
        expect(again.ids).toEqual(whole[1]!.ids.slice(0, 20));
        restored.close();
      }
    });

    it("let sessions share too little memory", async () => {
      const sessions = whole.map(() => model.session());
      const answers = await Promise.all(
        whole.map(({ prompt }, i) => collect(sessions[i]!.generate(prompt.slice(0, 500), greedy(20)))),
      );
      const alone = await open(path, { ...settings, backend: "cpu", chunk: CONTEXT });
      for (const [i, { prompt }] of whole.entries()) {
        const session = alone.session();
        expect(answers[i]!.ids).toEqual((await collect(session.generate(prompt.slice(0, 500), greedy(20)))).ids);
        session.close();
        sessions[i]!.close();
      }
      await alone.close();
    });

    it("give hidden states of texts longer than their panes", async () => {
      const { prompt } = whole[0]!;
      const alone = await open(path, { ...settings, backend: "cpu", chunk: CONTEXT });
      const [found, want] = [await model.embed(prompt), await alone.embed(prompt)];
      await alone.close();
      const error = found.reduce((most, x, i) => Math.max(most, Math.abs(x - want[i]!)), 0);
      expect(error).toBeLessThan(2e-3);
    });
  });

  it("go on from a beginning that has its panes, and compute one whose panes are gone", async () => {
    const [one, two, three] = whole as [(typeof whole)[0], (typeof whole)[0], (typeof whole)[0]];
    const model = await open(path, { ...settings, backend: "cpu", chunk: CHUNK });
    const ask = async ({ prompt, ids }: (typeof whole)[0]) => {
      const session = model.session();
      const answer = await collect(session.generate(prompt, greedy(ids.length)));
      expect(answer.ids).toEqual(ids);
      session.close();
      return answer.finish.cachedTokens;
    };
    expect(await ask(one)).toBe(0);
    expect(await ask(one)).toBe(672); // the end of a prompt is kept: 21 blocks of its 700 tokens
    expect(await ask(two)).toBe(0); // that its text parts here was not known
    expect(await ask(two)).toBe(384); // of 413
    expect(await ask(three)).toBe(672);
    const session = model.session();
    const { finish } = await collect(session.generate(one.prompt.slice(0, 350), greedy(1)));
    expect(finish.cachedTokens).toBe(320); // where the second text parted from the first
    const { blocks, memory } = model.stats();
    expect(memory.kv).toBe(blocks.blocks * LAYER + blocks.panes!.panes * 2 * LAYER);
    expect(blocks.panes!.panes).toBeLessThan(blocks.blocks);
    await model.close();
  });
});

describe("where all layers have windows", () => {
  // Two layers that see 7 positions, 3 heads of 10, padded to 16 on WebGPU.
  const folder = inRepo("test/fixtures/mixtral/bf16-odd-window-shards");
  const padded = { cpu: 10, webgpu: 16 } as const;
  const prompt = Array.from({ length: 150 }, (_, i) => (i * i + 3 * i) % 97);
  const texts = [prompt, [...prompt.slice(0, 70), ...prompt.slice(9, 80)]];
  const answers = async (model: Model) => {
    const sessions = texts.map(() => model.session());
    const all = await Promise.all(texts.map((ids, i) => collect(sessions[i]!.generate(ids, greedy(60)))));
    for (const session of sessions) session.close();
    return all.map(({ ids }) => ids);
  };

  it.each(backends)("only they take memory, on $name", async ({ options }) => {
    const whole = await open(folder, { ...settings, backend: "cpu", context: 256, chunk: 256 });
    const want = await answers(whole);
    await whole.close();
    const model = await open(folder, { ...settings, ...options, context: 256, chunk: 32 });
    expect(await answers(model)).toEqual(want);
    const { memory, blocks } = model.stats();
    const pane = 2 * 2 * 32 * 3 * padded[options.backend] * 4;
    expect(memory.kv).toBe(blocks.panes!.panes * pane);
    expect(memory.kv).toBeLessThan(blocks.blocks * pane);
    await model.close();
  });
});
