// The bytes of a saved session: what comes back is what was saved, and damage is told
// from a session.

import { describe, expect, it } from "vitest";
import { crc32 } from "../../src/engine/crc32.ts";
import { readSaved, type SavedShape, writeSaved } from "../../src/engine/saved.ts";
import { HotsetError, RequestError } from "../../src/errors.ts";
import { generator } from "../support/random.ts";

describe("the bytes of a session", () => {
  const shape: SavedShape = { fingerprint: { model: "a", size: 3 }, blockSize: 4, planes: 2, blockBytes: 32 };
  const tokens = [1, 2, 3, 4, 5, 6];
  const save = () => writeSaved(shape, { tokens, anchor: 5 }, async () => new Uint8Array(32).fill(7));
  const read = (bytes: Uint8Array) => readSaved(bytes, shape, 10, 100);

  it("hold nothing of places that no token has", async () => {
    const found = read(await save());
    expect(found.tokens).toEqual(tokens);
    expect(found.anchor).toBe(5);
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
    [{ anchor: -1 }, /anchor: expected a count/],
    [{ seen: -4 }, /seen: expected a count, found -4/],
    [{ seen: 8 }, /seen: expected a position within its 6 tokens, found 8/],
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
