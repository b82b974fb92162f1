import { describe, expect, it } from "vitest";
import { hotset, tales } from "../support/cli.ts";

const SMALL = ["--backend", "cpu", "--prompt-tokens", "8", "--decode-tokens", "4", "--repeats", "2"];

describe("hotset bench", () => {
  it("--json prints one object with every measurement and what ran", async () => {
    const { code, stdout, stderr } = await hotset(["bench", tales, ...SMALL, "--weights", "q8", "--json"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const report = JSON.parse(stdout);
    expect(report).toEqual({
      model: tales,
      backend: expect.objectContaining({ backend: "cpu", device: expect.any(String), threads: expect.any(Number) }),
      weights: "q8",
      kv: "f32",
      promptTokens: 8,
      decodeTokens: 4,
      repeats: 2,
      seed: 1,
      prefillTps: expect.any(Number),
      decodeTps: expect.any(Number),
      samples: { prefillTps: expect.any(Array), decodeTps: expect.any(Array) },
      loadMs: expect.any(Number),
      peakRssBytes: expect.any(Number),
      memory: { weights: expect.any(Number), kv: expect.any(Number), scratch: expect.any(Number) },
      node: process.version,
      platform: expect.any(String),
      cpu: expect.any(String),
    });
    const { prefillTps, decodeTps, samples, memory, peakRssBytes } = report;
    for (const [median, values] of [
      [prefillTps, samples.prefillTps],
      [decodeTps, samples.decodeTps],
    ]) {
      expect(values).toHaveLength(2);
      expect(median).toBeCloseTo((values[0] + values[1]) / 2, 6);
      expect(median).toBeGreaterThan(0);
    }
    expect(peakRssBytes).toBeGreaterThan(memory.weights);
  });

  it("gives each repeat a prompt of its own: the keys of one that was computed before are cached", async () => {
    // It fails where a token of a prompt is cached.
    const { code, stderr } = await hotset(["bench", tales, ...SMALL, "--prompt-tokens", "100", "--repeats", "3"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  });

  it("prints a table without --json, and a dash for what was not measured", async () => {
    const { code, stdout } = await hotset(["bench", tales, ...SMALL, "--decode-tokens", "1"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^model +models\/tales\nbackend +cpu .+\n/);
    expect(stdout).toMatch(/\nprefill 8 +[\d.]+ tok\/s\ndecode 1 +-\n/);
  });

  it("refuses lengths that do not fit in the context", async () => {
    const { code, stderr } = await hotset(["bench", tales, ...SMALL, "--prompt-tokens", "2045"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^hotset: bench: 2045 prompt and 4 decoded tokens do not fit in the context of 2048[^\n]*\n$/,
    );
  });
});
