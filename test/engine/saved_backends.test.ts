// Sessions saved and restored on every backend: they go on with the same tokens, on the
// same model only.

import { describe, expect, it } from "vitest";
import type { Session } from "../../src/engine/api.ts";
import type { Model } from "../../src/engine/model.ts";
import { RequestError } from "../../src/errors.ts";
import { open } from "../../src/index.ts";
import { backends } from "../support/backends.ts";
import { inRepo } from "../support/fixtures.ts";
import { collect } from "../support/pieces.ts";
import { some } from "../support/some.ts";

const tales = inRepo("models/tales");
const prompt = Array.from({ length: 45 }, (_, i) => (i === 0 ? 1 : 300 + 37 * i));
const greedy = (maxTokens: number) => ({ temperature: 0, maxTokens, ignoreEos: true });
const generate = (session: Session, ids: readonly number[], count: number) =>
  collect(session.generate(ids, greedy(count)));

interface Made {
  readonly bytes: Uint8Array;
  readonly next: readonly number[];
  readonly ids: readonly number[];
}

/** A session after `first`, saved, and how it goes on after `more`. */
async function make(model: Model, first: readonly number[], more: readonly number[]): Promise<Made> {
  const session = model.session();
  const { ids } = await generate(session, first, 9);
  const bytes = await session.save();
  const next = [...first, ...ids, ...more];
  const made = { bytes, next, ids: (await generate(session, next, 9)).ids };
  session.close();
  return made;
}

describe("a saved session goes on with the same tokens, computed no second time,", () => {
  it.each(
    some(
      [
        { name: "in an f16 cache", folder: tales, kv: "f16", first: prompt, more: [400, 401] },
        { name: "in a q8 cache", folder: tales, kv: "q8", first: prompt, more: [400, 401] },
        {
          name: "where heads are padded",
          folder: inRepo("test/fixtures/mixtral/bf16-odd-window-shards"), // heads of 10
          kv: "f32",
          first: prompt.map((_, i) => (7 * i) % 97),
          more: [3],
        },
      ] as const,
      1,
    ),
  )("on every backend, whichever it was saved on, $name", async ({ folder, kv, first, more }) => {
    const settings = { weights: "f32", kv, chunk: 32, context: 128 } as const;
    const saved: Made[] = [];
    for (const { options } of backends) {
      const model = await open(folder, { ...settings, ...options });
      saved.push(await make(model, first, more));
      for (const { bytes, next, ids } of saved) {
        const cached = model.stats().blocks.cached;
        const restored = await model.restore(bytes);
        expect(restored.tokens).toEqual(next.slice(0, first.length + 8));
        expect(await restored.save()).toEqual(bytes);
        const found = await generate(restored, next, 9);
        expect(found.ids).toEqual(ids);
        expect(found.finish.cachedTokens).toBe(first.length + 8);
        restored.close();
        expect(model.stats().blocks.cached).toBe(cached); // restored blocks are not shared
      }
      await model.close();
    }
  });
});

describe("a saved session", () => {
  it("is refused by every other model, by the name of what differs", async () => {
    const settings = { backend: "cpu", weights: "f32", kv: "f32", context: 64 } as const;
    const model = await open(tales, settings);
    const session = model.session();
    await generate(session, prompt, 1);
    const bytes = await session.save();
    await model.close();
    const folder = inRepo("test/fixtures/mixtral/f32-all-experts");
    const refusals: [Promise<Model>, RegExp][] = [
      [open(tales, { ...settings, weights: "q8" }), /weights: this model has "q8", the session was saved with "f32"/],
      [open(tales, { ...settings, kv: "f16" }), /kv: this model has "f16"/],
      [open(tales, { ...settings, kv: "q8" }), /kv: this model has "q8"/],
      [open(tales, { ...settings, context: 16 }), /45 tokens do not fit in the context of 16/],
      [open(folder, { backend: "cpu", weights: "f32" }), /hidden_size: this model has 32/],
    ];
    for (const [opening, message] of refusals) {
      const other = await opening;
      await expect(other.restore(bytes)).rejects.toThrow(message);
      await expect(other.restore(bytes)).rejects.toThrow(RequestError);
      expect(other.stats()).toMatchObject({ sessions: 0 });
      await other.close();
    }
  });

  it("cannot be made of a session that generates or is closed, and takes no room after a refusal", async () => {
    const model = await open(tales, { backend: "cpu", weights: "q8", context: 128, ram: 2 ** 28 });
    const session = model.session();
    const running = session.generate(prompt, greedy(4));
    await running.next();
    await expect(session.save()).rejects.toThrow(/generating/);
    await running.return?.();
    const saving = session.save();
    await expect(collect(session.generate(prompt))).rejects.toThrow(/generating already/);
    const bytes = await saving;
    await expect(model.restore(bytes, AbortSignal.abort(new Error("no")))).rejects.toThrow("no");
    session.close();
    await expect(session.save()).rejects.toThrow("closed");
    const { blocks, free, cached } = model.stats().blocks;
    expect(free + cached).toBe(blocks);
    await model.close();
  });
});
