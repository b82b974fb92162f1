import { describe, expect, it } from "vitest";
import { MemoryError, open, shareBudget, WeightsError } from "../../src/index.ts";
import { inRepo } from "../support/fixtures.ts";

const TALES = inRepo("models/tales");
const CPU = { backend: "cpu", threads: 1 } as const;
const MIB = 2 ** 20;

describe("a budget of several models", () => {
  it.each<[object, { readonly ram: number }]>([
    [{ weights: "q4" }, { ram: 512 * MIB }],
    [{}, { ram: 512 * MIB }],
    [{ weights: "q4", context: 256 }, { ram: 512 * MIB }],
  ])("%j: a model opened with what it takes keeps to it", async (more, { ram }) => {
    const options = { ...CPU, ...more, ram };
    const budget = await shareBudget(options);
    expect([budget.ram, budget.gpu]).toEqual([ram, 0]);
    const need = await budget.measure(TALES);
    expect(need.ram).toBeLessThan(ram);
    const model = await open(TALES, { ...options, ...need.options });
    try {
      const { memory, blocks, context } = model.stats();
      expect(context).toBe(need.context);
      expect(memory.weights).toBeLessThanOrEqual(need.weights);
      // Room for the whole context, and no more memory than was counted.
      expect(blocks.most * blocks.blockSize).toBeGreaterThanOrEqual(need.context);
      expect(memory.weights + memory.kv + memory.scratch).toBeLessThanOrEqual(need.ram);
    } finally {
      await model.close();
    }
  });

  it("one whose experts are offloaded takes all", async () => {
    const ram = 44 * MIB;
    const need = await (await shareBudget({ ...CPU, weights: "q8", ram })).measure(TALES);
    expect(need.ram).toBe(ram);
  });

  it("a context is the most of each model", async () => {
    const need = await (await shareBudget({ ...CPU, context: 10_000_000 })).measure(TALES);
    expect(need.options.context).toBe(need.context);
    expect(need.context).toBeLessThan(10_000_000);
  });

  it("a model that the budget cannot hold, and one that is none", async () => {
    const budget = await shareBudget({ ...CPU, ram: 4 * MIB });
    await expect(budget.measure(TALES)).rejects.toThrow(MemoryError);
    await expect(budget.measure(TALES)).rejects.toThrow(/budget of 4 MiB .* is too small: the smallest that works/);
    await expect(budget.measure(inRepo("src"))).rejects.toThrow(WeightsError);
  });
});
