// Models whose layers have states: chunks of every size give the outputs of transformers, and
// sessions that share, go back, are saved, aborted or evicted write what a fresh one writes.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { argMax } from "../../src/engine/sampler.ts";
import type { Model, OpenOptions, Session } from "../../src/index.ts";
import { open } from "../../src/index.ts";
import { openFolder } from "../../src/weights/folder.ts";
import { nodeFiles } from "../../src/weights/node_files.ts";
import { backends } from "../support/backends.ts";
import { cpuPaths, readyCpuOps } from "../support/cpu.ts";
import { readExpected, worst } from "../support/expected.ts";
import { inRepo, inShared, titled } from "../support/fixtures.ts";
import { loadFolder } from "../support/model.ts";
import { some } from "../support/some.ts";
import { tensorFile } from "../weights/memory_files.ts";

const { path, skip } = inShared("fixtures/families/qwen3_5_moe-a");
const own = (name: string) => ({ name, path: inRepo(`test/fixtures/hybrids/${name}`), skip: null });
/** transformers computes the delta rule in chunks, in f32: it differs from itself by as much. */
const FOLDERS = [
  { name: "qwen3_5_moe-a", path, skip, within: 1e-3 },
  { ...own("qwen3_next"), within: 1e-3 },
  { ...own("lfm2_moe"), within: 2e-4 },
];
const casesOf = (folder = path): { prompt_ids: number[]; greedy_ids: number[] }[] =>
  JSON.parse(readFileSync(`${folder}/expected.json`, "utf8")).cases;

const WAYS = [
  ...cpuPaths().map(({ name, options }) => ({
    name,
    make: ({ maxTokens }: { maxTokens: number }) => readyCpuOps({ ...options, maxTokens, activations: "f32" }),
  })),
  ...backends.filter(({ name }) => name !== "cpu"),
];

const EXACT = { weights: "f32", kv: "f32", activations: "f32", threads: 2 } as const;

async function opened(backend: Partial<OpenOptions>, options: Partial<OpenOptions> = {}): Promise<Model> {
  const model = await open(path, { ...EXACT, ...backend, context: 512, chunk: 48, ...options });
  onTestFinished(() => model.close());
  return model;
}

/** Lists of so many. */
const chunks = (all: readonly number[], size: number): number[][] =>
  Array.from({ length: all.length / size }, (_, i) => all.slice(i * size, (i + 1) * size));

/**
 * The experts of each position by number: with a bias the order of choice is not that of weights.
 */
const byNumber = (experts: readonly number[][]): number[][] => experts.map((ids) => ids.toSorted((a, b) => a - b));

/** What a session writes after a prompt, greedily, past any end; and what it had not to compute. */
async function written(session: Session, prompt: readonly number[], count: number) {
  const ids: number[] = [];
  let cached = -1;
  for await (const piece of session.generate(prompt, { maxTokens: count, temperature: 0, ignoreEos: true })) {
    ids.push(...piece.ids);
    cached = piece.finish?.cachedTokens ?? cached;
  }
  return { ids, cached };
}

/** The same by computing the whole text for every token, with no cache, on the CPU. */
async function fresh(prompt: readonly number[], count: number): Promise<number[]> {
  const model = await opened({ backend: "cpu" });
  const ids = [...prompt];
  while (ids.length < prompt.length + count) {
    const logits = await model.logits(ids);
    ids.push(argMax(logits.subarray(-model.architecture.vocab)));
  }
  return ids.slice(prompt.length);
}

describe.each(FOLDERS)("$name", ({ path, skip, within }) => {
  it.skipIf(skip).each(some(WAYS, 1))(titled("chunks of every size: $name", skip), async ({ name, make }) => {
    const expected = await readExpected(path);
    for (const maxTokens of name.startsWith("cpu") ? [64, 7] : [64]) {
      const model = await loadFolder(path, await make({ maxTokens }), "f32", "f32");
      for (const [n, { prompt_ids, greedy_ids }] of casesOf(path).entries()) {
        const { logits, experts } = await model.run(prompt_ids);
        const want = await expected.floats(`p${n}.logits_f32`);
        expect(worst(logits.subarray(-want.length), want), `prompt ${n}`).toBeLessThan(within);
        const chosen = await expected.integers(`p${n}.selected_experts`);
        expect(byNumber(experts.flat()), `prompt ${n}`).toEqual(byNumber(chunks([...chosen], experts[0]![0]!.length)));
        expect(await model.greedy(greedy_ids.length), `prompt ${n}`).toEqual(greedy_ids);
      }
      model.close();
    }
  });
});

/** The folder as a part of a model that also sees, and that predicts several tokens at once. */
async function beside(): Promise<string> {
  const { source, config, close } = await openFolder(await nodeFiles(path));
  const { eos_token_id, tie_word_embeddings, ...text } = config as Readonly<Record<string, unknown>>;
  const one = { dtype: "F32", shape: [1], data: Float32Array.of(1) };
  const tensors: Record<string, { dtype: string; shape: number[]; data: Float32Array }> = {
    "model.visual.patch_embed.proj.weight": one,
    "mtp.layers.0.input_layernorm.weight": one,
  };
  for (const name of source.names()) {
    const matrix = source.matrix(name);
    const data = new Float32Array(matrix.rows * matrix.cols);
    await matrix.readRows(0, matrix.rows, data);
    tensors[name.replace(/^model\./, "model.language_model.")] = { dtype: "F32", shape: [...source.shape(name)], data };
  }
  await close();
  const to = mkdtempSync(join(tmpdir(), "hotset-sees-"));
  onTestFinished(() => rmSync(to, { recursive: true }));
  writeFileSync(join(to, "model.safetensors"), tensorFile(tensors));
  const both = { model_type: "qwen3_5_moe", text_config: text, vision_config: {}, tie_word_embeddings };
  writeFileSync(join(to, "config.json"), JSON.stringify({ ...both, eos_token_id }));
  return to;
}

describe("a model that also sees", () => {
  it.skipIf(skip)(titled("is its text model", skip), async () => {
    const { prompt_ids } = casesOf()[1]!;
    const logits: Float32Array[] = [];
    for (const folder of [path, await beside()]) {
      const model = await open(folder, { ...EXACT, backend: "cpu", context: 64 });
      onTestFinished(() => model.close());
      logits.push(await model.logits(prompt_ids));
    }
    expect(logits[1]).toEqual(logits[0]);
  });
});

describe.each(some(backends, 1))("layers with states, $name", ({ options }) => {
  it.skipIf(skip)(titled("sessions that share steps, and fewer slots than sessions", skip), async () => {
    const model = await opened(options, { expertSlots: 3 }); // with which there are four slots
    const cases = [...casesOf(), ...casesOf()];
    const all = await Promise.all(
      cases.map(async ({ prompt_ids, greedy_ids }) => written(model.session(), prompt_ids, greedy_ids.length)),
    );
    expect(all.map(({ ids }) => ids)).toEqual(cases.map(({ greedy_ids }) => greedy_ids));
  });

  it.skipIf(skip)(titled("a text that others have begun goes on from a checkpoint", skip), async () => {
    const model = await opened(options);
    const { prompt_ids: prompt, greedy_ids: answer } = casesOf()[2]!;
    expect(await written(model.session(), prompt, 24)).toEqual({ ids: answer, cached: 0 });
    const last = Math.floor((prompt.length - 1) / 32) * 32; // the last whole block before its end
    expect(await written(model.session(), prompt, 24)).toEqual({ ids: answer, cached: last });
    // Other ends: behind the checkpoint, and before it, where there is none.
    for (const [common, cached] of [
      [last + 3, last],
      [last - 3, 0],
    ] as const) {
      const other = [...prompt.slice(0, common), 9, 8, 7, 6, 5];
      expect(await written(model.session(), other, 6)).toEqual({ ids: await fresh(other, 6), cached });
    }
    // An answer is one too, as far as its last whole block.
    const next = [...prompt, ...answer, 11, 12];
    const reached = Math.floor((prompt.length + answer.length - 1) / 32) * 32;
    const { ids, cached } = await written(model.session(), next, 6);
    expect({ ids, cached }).toEqual({ ids: await fresh(next, 6), cached: Math.max(last, reached) });
  });

  it.skipIf(skip)(titled("a session goes on, and back", skip), async () => {
    const model = await opened(options);
    const session = model.session();
    const { prompt_ids: prompt } = casesOf()[2]!;
    const first = await written(session, prompt, 9);
    const on = [...prompt, ...first.ids, 4, 5];
    const second = await written(session, on, 9);
    expect(second).toEqual({ ids: await fresh(on, 9), cached: prompt.length + 8 });
    for (const back of [on.slice(0, -1), prompt.slice(0, 70), on.slice(0, 33)]) {
      const { ids } = await written(session, [...back, 3], 5);
      expect(ids).toEqual(await fresh([...back, 3], 5));
    }
  });

  it.skipIf(skip)(titled("a session is saved, and goes on in another model", skip), async () => {
    const [model, other] = [await opened(options), await opened(options, { chunk: 20, threads: 1 })];
    const { prompt_ids: prompt, greedy_ids: answer } = casesOf()[1]!;
    const session = model.session();
    await written(session, prompt, 10);
    const saved = await session.save();
    const text = [...prompt, ...answer.slice(0, 10)];
    const restored = await other.restore(saved);
    expect(await written(restored, text, 14)).toEqual({ ids: answer.slice(10), cached: text.length - 1 });
    // Back in it: there is no checkpoint in this model.
    expect(await written(restored, prompt, 24)).toEqual({ ids: answer, cached: 0 });
    const empty = await other.restore(await model.session().save());
    expect((await written(empty, prompt, 24)).ids).toEqual(answer);
    saved[saved.length - 100]! ^= 1;
    await expect(other.restore(saved)).rejects.toThrow("its checksum is wrong");
  });

  it.skipIf(skip)(titled("embeds a text in chunks as at once", skip), async () => {
    const { prompt_ids: prompt } = casesOf()[1]!;
    const [whole, chunks] = [await opened(options), await opened(options, { chunk: 5 })];
    const [a, b] = [await whole.embed(prompt), await chunks.embed(prompt)];
    expect(worst(b, a)).toBeLessThan(1e-4);
  });

  it.skipIf(skip)(titled("a step that was aborted leaves nothing behind", skip), async () => {
    const model = await opened(options, { chunk: 16 });
    const { prompt_ids: prompt, greedy_ids: answer } = casesOf()[2]!;
    const session = model.session();
    for (const after of [0, 2, 5, 9]) {
      const stop = new AbortController();
      const running = (async () => {
        const options = { maxTokens: 24, temperature: 0, ignoreEos: true, signal: stop.signal };
        for await (const _ of session.generate(prompt, options)) stop.abort(new Error("enough"));
      })();
      setTimeout(() => stop.abort(new Error("enough")), after); // in the prompt, on most machines
      await expect(running).rejects.toThrow("enough");
      if (after === 5) await session.save();
    }
    expect((await written(session, prompt, 24)).ids).toEqual(answer);
  });
});
