// The chunks of a prompt while experts are read, in virtual time; and on tales: one read a chunk.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished, vi } from "vitest";
import { StreamedChunks } from "../../src/engine/streamed_chunks.ts";
import { open } from "../../src/index.ts";

/** Sizes of a prompt's chunks where reading takes `read` ms and computing a token `token` ms. */
async function sizes(count: number, read: number, token: number): Promise<number[]> {
  let [now, stalled] = [0, 0];
  const chunks = new StreamedChunks({ usual: 256, most: 1500, stalledMs: () => stalled, clock: () => now });
  const taken: number[] = [];
  for (let i = 0; i < count; i++) {
    const { tokens } = chunks;
    taken.push(tokens);
    await chunks.step(tokens, async () => {
      now += Math.max(read, tokens * token);
      stalled += Math.max(0, read - tokens * token);
    });
  }
  return taken;
}

it.each([
  ["reads take no time", 0, 1, [256, 256, 256, 256]],
  ["computing 256 tokens takes as long as reads", 256, 1, [256, 256, 256, 256]],
  ["computing 512 tokens nearly does", 550, 1, [256, 512, 512, 512]],
  ["reads take longest: as many as there is memory for", 1e6, 1, [256, 512, 1024, 1500]],
] as const)("grow while computing waits: %s", async (_, read, token, expected) => {
  expect(await sizes(4, read, token)).toEqual(expected);
});

it("do not grow by steps of few tokens, and pass on errors", async () => {
  let stalled = 0;
  const chunks = new StreamedChunks({ usual: 256, most: 1024, stalledMs: () => (stalled += 50), clock: () => stalled });
  expect(await chunks.step(1, async () => "a token")).toBe("a token");
  expect(chunks.tokens).toBe(256);
  await expect(chunks.step(256, () => Promise.reject(new Error("disk")))).rejects.toThrow("disk");
  expect(chunks.tokens).toBe(256);
});

it("read each expert once a chunk", async () => {
  const cache = mkdtempSync(join(tmpdir(), "hotset-chunks-")); // nothing learned before
  vi.stubEnv("HOTSET_CACHE", cache);
  onTestFinished(() => {
    vi.unstubAllEnvs();
    rmSync(cache, { recursive: true });
  });
  const reads = async (chunk: number): Promise<number> => {
    const model = await open("models/tales", {
      ...{ backend: "cpu", weights: "q4", context: 640, expertSlots: 1, threads: 1, chunk },
    });
    onTestFinished(() => model.close());
    const session = model.session();
    const prompt = Array.from({ length: 512 }, (_, i) => 300 + ((i * 7919) % 3700));
    for await (const _ of session.generate(prompt, { maxTokens: 1, temperature: 0, ignoreEos: true }));
    const { main, recordBytes, experts } = model.stats().experts!;
    const { demand, prefetch } = main.bytes;
    return (demand + prefetch) / recordBytes / (experts * main.layers.length);
  };
  const [one, eight] = [await reads(512), await reads(64)];
  expect(one).toBeLessThanOrEqual(1);
  expect(eight).toBeGreaterThan(4);
  expect(eight).toBeLessThanOrEqual(8);
});
