// Sessions of models/tales through open(), on every backend: the same tokens however they are asked
// for. What no backend changes is tested in session.test.ts.

import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GenerateOptions, Piece, Session } from "../../src/engine/api.ts";
import type { Model } from "../../src/engine/model.ts";
import { RequestError } from "../../src/errors.ts";
import { loadTokenizer, open } from "../../src/index.ts";
import { backends } from "../support/backends.ts";
import { inRepo } from "../support/fixtures.ts";
import { some } from "../support/some.ts";

const folder = inRepo("models/tales");
const { prompts } = JSON.parse(readFileSync(`${folder}/reference.json`, "utf8")) as {
  prompts: { prompt: string; ids: number[]; greedy_ids: number[]; greedy_text: string }[];
};
const [first, second] = [prompts[0]!, prompts[1]!];

async function collect(session: Session, prompt: string | readonly number[], options: GenerateOptions = {}) {
  const pieces: Piece[] = [];
  for await (const piece of session.generate(prompt, { temperature: 0, ...options })) pieces.push(piece);
  const { finish } = pieces.at(-1)!;
  return { pieces, ids: pieces.flatMap((p) => p.ids), text: pieces.map((p) => p.text).join(""), finish: finish! };
}

describe.each(backends)("sessions on $name", ({ options: backend }) => {
  let model: Model;
  beforeAll(async () => {
    model = await open(folder, { ...backend, weights: "f32", kv: "f32", context: 512, chunk: 32 });
  });
  afterAll(() => model?.close());

  it("continue a text with the reference's greedy tokens, and say what happened", async () => {
    const session = model.session();
    const { ids, text, finish } = await collect(session, first.prompt, { maxTokens: 16 });
    expect(ids).toEqual(first.greedy_ids.slice(0, 16));
    expect(text).toBe(` ${first.greedy_text}`.slice(0, text.length));
    expect(finish).toMatchObject({
      reason: "length",
      promptTokens: first.ids.length,
      completionTokens: 16,
      cachedTokens: 0,
    });
    expect(session.tokens).toEqual([...first.ids, ...first.greedy_ids.slice(0, 15)]);
    session.close();
  });

  it("compute only what follows the common prefix, with the same result", async () => {
    const session = model.session();
    await collect(session, first.ids, { maxTokens: 8 });
    const again = await collect(session, [...first.ids, ...first.greedy_ids.slice(0, 6)], { maxTokens: 6 });
    expect(again.ids).toEqual(first.greedy_ids.slice(6, 12));
    expect(again.finish.cachedTokens).toBe(first.ids.length + 5);
    const other = await collect(session, second.ids, { maxTokens: 6 });
    expect(other.ids).toEqual(second.greedy_ids.slice(0, 6));
    expect(other.finish.cachedTokens).toBe(1); // BOS
    session.close();
  });

  it("end a running generation when they are closed", async () => {
    const session = model.session();
    const before = model.stats().sessions;
    const pieces = session.generate(first.ids, { temperature: 0, maxTokens: 8 });
    await pieces.next();
    session.close();
    await expect(pieces.next()).rejects.toThrow(/session was closed/);
    await expect(collect(session, first.ids)).rejects.toThrow(/session is closed/);
    expect(model.stats().sessions).toBe(before - 1);
    const another = model.session();
    // four chunks
    const prompt = another.generate(Array(100).fill(first.ids[1]), { maxTokens: 1 }).next();
    another.close();
    await expect(prompt).rejects.toThrow(/session was closed/);
  });

  it("run side by side without disturbing each other", async () => {
    const sessions = [first, second, first].map(() => model.session());
    const answers = await Promise.all(
      [first, second, first].map((p, i) => collect(sessions[i]!, p.ids, { maxTokens: 8 })),
    );
    expect(answers.map((a) => a.ids)).toEqual([first, second, first].map((p) => p.greedy_ids.slice(0, 8)));
    for (const session of sessions) session.close();
  });

  it.each(
    some<[string, GenerateOptions]>(
      [
        ["sampled from few, with penalties", { temperature: 1.3, topK: 20, minP: 0.02, repeatPenalty: 1.1, seed: 8 }],
        ["with penalties", { repeatPenalty: 1.2, frequencyPenalty: 0.4, presencePenalty: 0.3, logitBias: { 265: 2 } }],
        ["greedy", {}],
        ["sampled", { temperature: 0.9, topP: 0.95, seed: 7 }],
      ],
      2,
    ),
  )("choose the same tokens, whether logits are read back or not: %s", async (_, options) => {
    const ask = { ...options, maxTokens: 12, ignoreEos: true };
    const [ahead, beside, byLogits] = [model.session(), model.session(), model.session()];
    const [one, other] = await Promise.all([
      collect(ahead, first.ids, ask),
      collect(beside, second.ids, { maxTokens: 5 }), // joins, and leaves
    ]);
    const logits = await collect(byLogits, first.ids, { ...ask, logprobs: 0 });
    expect(one.ids).toEqual(logits.ids);
    expect(one.text).toBe(logits.text);
    expect(ahead.tokens).toEqual(byLogits.tokens);
    expect(other.ids).toEqual(second.greedy_ids.slice(0, 5));
    for (const session of [ahead, beside, byLogits]) session.close();
  });

  it("give logits of every position that agree with what a session samples from", async () => {
    const logits = await model.logits([...first.ids, ...first.greedy_ids.slice(0, 4)]);
    const V = model.config.vocab_size;
    expect(logits).toHaveLength((first.ids.length + 4) * V);
    const best = [0, 1, 2, 3].map((i) => {
      const row = logits.subarray((first.ids.length - 1 + i) * V, (first.ids.length + i) * V);
      return row.indexOf(Math.max(...row));
    });
    expect(best).toEqual(first.greedy_ids.slice(0, 4));
  });
});

describe("generation on cpu", () => {
  let model: Model;
  let session: Session;
  beforeAll(async () => {
    model = await open(folder, { backend: "cpu", weights: "f32", context: 64 });
    session = model.session();
  });
  afterAll(() => model.close());

  it("takes the folder's sampling by default, and gives the same tokens for the same seed", async () => {
    const draw = (seed: number) => collect(session, first.ids, { maxTokens: 12, temperature: undefined!, seed });
    const [a, b, c] = [await draw(5), await draw(5), await draw(6)];
    expect(a.ids).toEqual(b.ids);
    expect(a.ids).not.toEqual(c.ids);
    expect(a.finish.seed).toBe(5);
  });

  it("reports log probabilities whose sum over the vocabulary is one", async () => {
    const { pieces } = await collect(session, first.ids, { maxTokens: 2, logprobs: 20 });
    const [entry] = pieces[0]!.logprobs!;
    expect(entry!.id).toBe(first.greedy_ids[0]);
    expect(entry!.top[0]).toMatchObject({ id: entry!.id, logprob: entry!.logprob, text: " there" });
    expect(entry!.top).toHaveLength(20);
    const logits = await model.logits(first.ids);
    const row = logits.subarray((first.ids.length - 1) * model.config.vocab_size);
    const norm = Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0));
    expect(entry!.logprob).toBeCloseTo(row[entry!.id]! - norm, 4);
  });

  it("gives KV blocks back when a session closes", async () => {
    const before = model.stats().sessions;
    const memory = async () => {
      const s = model.session();
      await collect(s, first.ids, { maxTokens: 2 });
      s.close();
      return model.stats().memory.kv;
    };
    const once = await memory();
    for (let i = 0; i < 20; i++) expect(await memory()).toBe(once);
    expect(model.stats().sessions).toBe(before);
  });
});

describe("a closed model", () => {
  it("rejects what runs and whatever comes after, once and for all", async () => {
    const model = await open(folder, { backend: "cpu", weights: "q8", context: 256 });
    const session = model.session();
    const running = session.generate(first.ids, { temperature: 0 });
    await running.next();
    await Promise.all([model.close(), model.close()]);
    await expect(running.next()).rejects.toThrow(RequestError);
    expect(() => model.session()).toThrow("closed");
    await expect(model.logits([1])).rejects.toThrow("closed");
  });
});

describe("open and loadTokenizer", () => {
  it.each([[undefined], [""], [new URL("file:///models")]])("refuse %j as a folder", async (where) => {
    for (const call of [open, loadTokenizer]) {
      const refused = await call(where as string).catch((error) => error);
      expect(refused).toBeInstanceOf(RequestError);
      expect(refused.message).toMatch(/expected the path of a weights folder/);
    }
  });
});
