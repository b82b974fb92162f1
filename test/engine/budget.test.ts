import { describe, expect, it } from "vitest";
import { formatBytes, planMemory } from "../../src/engine/budget.ts";
import { MemoryError } from "../../src/errors.ts";

const sizes = { f32: 3200, f16: 1600, q8: 850, q4: 450 };
const needs = { weights: (p: keyof typeof sizes) => sizes[p] * 1e6, kvPerPosition: 1e4, scratch: 1e7, context: 8192 };
const kv = 2048 * 1e4;

describe("memory plan", () => {
  it.each([
    ["everything", 1e10, "f32"],
    ["just f16", 1600e6 + 1e7 + kv, "f16"],
    ["a byte less than f16", 1600e6 + 1e7 + kv - 1, "q8"],
    ["just q4", 450e6 + 1e7 + kv, "q4"],
  ])("auto takes the most precise that fits: %s", (_name, budget, weights) => {
    const plan = planMemory(needs, "auto", budget, "ram");
    expect(plan).toEqual({ weights, kvBytes: budget - sizes[plan.weights] * 1e6 - 1e7 });
  });
  it("says the smallest budget that works, and that budget works", () => {
    expect(() => planMemory(needs, "auto", 4e8, "ram")).toThrow(MemoryError);
    expect(() => planMemory(needs, "f32", 4e8, "ram")).toThrow(/smallest that works with f32.*choose weights q4/);
    const message = (() => {
      try {
        planMemory(needs, "auto", 4e8, "ram");
        return "";
      } catch (error) {
        return String(error);
      }
    })();
    const mebibytes = Number(/is (\d+) MiB/.exec(message)?.[1]);
    expect(planMemory(needs, "auto", mebibytes * 2 ** 20, "ram").weights).toBe("q4");
  });
  it("needs no more KV than the context", () => {
    expect(planMemory({ ...needs, context: 10 }, "q4", 450e6 + 1e7 + 1e5, "ram").kvBytes).toBe(1e5);
  });
});

describe("bytes for a person", () => {
  it.each([
    [1, "1 KiB"],
    [1024 ** 2, "1 MiB"],
    [1024 ** 2 + 1, "2 MiB"],
    [26.25 * 2 ** 30, "26.3 GiB"],
  ])("%d is %s", (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });
});
