// Sessions as bytes: what comes back is what was saved, on the same model only, and damage is told from a session.

import { describe, expect, it } from "vitest";
import type { Session } from "../../src/engine/api.ts";
import { crc32 } from "../../src/engine/crc32.ts";
import type { Model } from "../../src/engine/model.ts";
import { readSaved, type SavedShape, writeSaved } from "../../src/engine/saved.ts";
import { HotsetError, RequestError } from "../../src/errors.ts";
import { open } from "../../src/index.ts";
import { backends } from "../support/backends.ts";
import { collect } from "../support/fake_backend.ts";
import { inRepo } from "../support/fixtures.ts";
import { generator } from "../support/random.ts";

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
  it.each([
    { name: "in an f16 cache", folder: tales, kv: "f16", first: prompt, more: [400, 401] },
    {
      name: "where heads are padded",
      folder: inRepo("test/fixtures/mixtral/bf16-odd-window-shards"), // heads of 10
      kv: "f32",
      first: prompt.map((_, i) => (7 * i) % 97),
      more: [3],
    },
  ] as const)("on every backend, whichever it was saved on, $name", async ({ folder, kv, first, more }) => {
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
        expect(model.stats().blocks.cached).toBe(cached); // what came from outside serves nobody else
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

describe("the bytes of a session", () => {
  const shape: SavedShape = { fingerprint: { model: "a", size: 3 }, blockSize: 4, planes: 2, blockBytes: 32 };
  const tokens = [1, 2, 3, 4, 5, 6];
  const save = () => writeSaved(shape, tokens, async () => new Uint8Array(32).fill(7));
  const read = (bytes: Uint8Array) => readSaved(bytes, shape, 10, 100);

  it("hold nothing of places that no token has", async () => {
    const found = read(await save());
    expect(found.tokens).toEqual(tokens);
    const half = [...new Array<number>(8).fill(7), ...new Array<number>(8).fill(0)];
    expect(found.blocks.map((block) => [...block])).toEqual([new Array<number>(32).fill(7), [...half, ...half]]);
  });

  it("have the checksum that zip has", () => {
    expect(crc32(new TextEncoder().encode("123456789"))).toBe(0xcbf43926);
  });

  it("are refused cut off at any place", async () => {
    const bytes = await save();
    for (let length = 0; length < bytes.length; length++)
      expect(() => read(bytes.slice(0, length))).toThrow(RequestError);
    expect(() => read(new Uint8Array([...bytes, 0]))).toThrow(/expected \d+ bytes/);
  });

  it("are refused with any bit changed", async () => {
    const bytes = await save();
    for (let bit = 0; bit < 8 * bytes.length; bit++) {
      const changed = bytes.slice();
      changed[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => read(changed)).toThrow(RequestError);
    }
  });

  it("are refused, whatever they are, with an error of ours, and allocate nothing large", async () => {
    const random = generator(3);
    const good = await save();
    for (let i = 0; i < 2000; i++) {
      const bytes = good.slice();
      const from = Math.floor(random() * bytes.length);
      for (let at = from; at < Math.min(bytes.length, from + 8); at++) bytes[at] = Math.floor(256 * random());
      expect(() => read(bytes)).toThrow(HotsetError);
    }
  });

  it.each([
    [{ tokens: 1e12 }, /do not fit in the context/],
    [{ tokens: -1 }, /expected a count/],
    [{ tokens: "6" }, /expected a count/],
    [{ size: undefined }, /size: this model has 3/],
    [{ model: "b" }, /model: this model has "a", the session was saved with "b"/],
  ])("with a header that says %j are refused", (change, message) => {
    const header = { model: "a", size: 3, blockSize: 4, blockBytes: 32, tokens: 6, ...change };
    const text = new TextEncoder().encode(JSON.stringify(header));
    const bytes = new Uint8Array(16 + text.length + 24 + 64 + 4);
    bytes.set(new TextEncoder().encode("HOTSETKV"));
    const view = new DataView(bytes.buffer);
    view.setUint32(8, 1, true);
    view.setUint32(12, text.length, true);
    bytes.set(text, 16);
    view.setUint32(bytes.length - 4, crc32(bytes.subarray(0, -4)), true);
    expect(() => read(bytes)).toThrow(message);
  });
});
