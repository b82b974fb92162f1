// How many tokens of a prompt a step takes by default.

import { describe, expect, it } from "vitest";
import { bindSources, readArchitecture } from "../../src/model/families/index.ts";
import { parseSynthetic } from "../../src/weights/synthetic.ts";
import { planOpening } from "../../src/wiring/plan.ts";

const GIB = 2 ** 30;
/** About 5 million parameters a token. */
const SMALL = "&hidden_size=256&intermediate_size=448&vocab_size=4096&num_attention_heads=8&num_key_value_heads=4";

describe("the largest chunk of a prompt", () => {
  it.each([
    { model: "mixtral-8x7b", of: "2 of 8 experts", cpu: 256 },
    { model: "gpt-oss-20b", of: "4 of 32", cpu: 256 },
    { model: "mixtral-8x7b", of: "2 of 8 experts, but small", shape: SMALL, cpu: 512 },
    { model: "qwen3-30b-a3b", of: "8 of 128", cpu: 512 },
    { model: "qwen3.6-35b-a3b", of: "8 of 256", cpu: 512 },
  ])("$model, $of: $cpu tokens on the CPU", ({ model, cpu, shape = "" }) => {
    const url = `synthetic:${model}?layers=4${shape}`;
    const { config, source } = parseSynthetic(url);
    const architecture = readArchitecture(config, url, {});
    const sources = bindSources(architecture, source);
    const chunkOn = (computes: { software: boolean } | null, options = {}) =>
      planOpening(architecture, sources, options, computes, 64 * GIB).chunk;
    expect(chunkOn(null)).toBe(cpu);
    expect(chunkOn(null, { chunk: 7 })).toBe(7);
    expect(chunkOn(null, { context: 100 })).toBe(100);
    expect(chunkOn({ software: false }, { gpuMemory: 64 * GIB })).toBe(1024);
    expect(chunkOn({ software: true })).toBe(512);
  });

  it.each([
    { ram: 46e6, chunk: 256, why: "the usual one where the larger one's scratch memory does not fit" },
    { ram: 56e6, chunk: 512, why: "the larger one where it does" },
  ])("of a small model within $ram bytes is $chunk: $why", ({ ram, chunk }) => {
    const url = `synthetic:mixtral-8x7b?layers=4${SMALL}`;
    const { config, source } = parseSynthetic(url);
    const architecture = readArchitecture(config, url, {});
    const sources = bindSources(architecture, source);
    expect(planOpening(architecture, sources, { weights: "q4", ram }, null, 0)).toMatchObject({ chunk });
  });

  it.each([
    // 294 kB of values a token: a 32nd of the budget has room for 301 MB, 1,024 tokens, not for 602
    { ram: 12, chunk: 1024, why: "as its part of the budget has scratch memory for" },
    { ram: 24, chunk: 2048, why: "more where the budget is larger" },
    { ram: 64, chunk: 256, why: "the usual one where all experts fit" },
  ])("of an 8x7B within $ram GiB is $chunk: $why", ({ ram, chunk }) => {
    const url = "synthetic:mixtral-8x7b";
    const { config, source } = parseSynthetic(url);
    const architecture = readArchitecture(config, url, {});
    const sources = bindSources(architecture, source);
    const opening = (options = {}) =>
      planOpening(architecture, sources, { weights: "q4", ram: ram * GIB, ...options }, null, 0);
    expect(opening()).toMatchObject({ chunk, usualChunk: 256 });
    expect(opening({ chunk: 7 })).toMatchObject({ chunk: 7, usualChunk: 7 });
    // A chunk is no longer than the positions of the cache.
    expect(opening({ context: 600 }).chunk).toBe(Math.min(chunk, 512));
  });
});
