// How many tokens of a prompt a step takes by default.

import { describe, expect, it } from "vitest";
import { bindSources, readArchitecture } from "../../src/model/families/index.ts";
import { parseSynthetic } from "../../src/weights/synthetic.ts";
import { planOpening } from "../../src/wiring/plan.ts";

const GIB = 2 ** 30;

describe("the largest chunk of a prompt", () => {
  it.each([
    { model: "mixtral-8x7b", of: "2 of 8 experts", cpu: 256 },
    { model: "gpt-oss-20b", of: "4 of 32", cpu: 256 },
    { model: "qwen3-30b-a3b", of: "8 of 128", cpu: 512 },
    { model: "qwen3.6-35b-a3b", of: "8 of 256", cpu: 512 },
  ])("$model, $of: $cpu tokens on the CPU", ({ model, cpu }) => {
    const url = `synthetic:${model}?layers=4`;
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
});
