// How much goes into a submit, and into a chunk of a prompt, on devices of any speed: with a clock
// that says what the device would have taken.

import { describe, expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import type { Batch } from "../../src/backend/ops.ts";
import type { Command } from "../../src/backend/webgpu/dispatch/commands.ts";
import { Pace } from "../../src/backend/webgpu/dispatch/pace.ts";
import { type KernelName, TABLE } from "../../src/backend/webgpu/dispatch/table.ts";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { memorySource } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";
import { batchOf, inputTable } from "../support/steps.ts";

const T = 40;

/** A pace whose device is so many times slower than is expected at first, and what it was given. */
function simulated(slowness: number, longest: number, during: (submits: number) => unknown = () => {}) {
  let clock = 0;
  const first = new Pace();
  const submits: { readonly commands: number; readonly ms: number }[] = [];
  class Simulated extends Pace {
    override begins(commands: readonly Command[], batch: Batch): (() => void) | null {
      const ms = slowness * first.expected(commands, batch);
      submits.push({ commands: commands.length, ms });
      during(submits.length);
      const ends = super.begins(commands, batch);
      return () => {
        clock += ms;
        ends?.();
      };
    }
  }
  return { pace: new Simulated({ longest, now: () => clock }), submits };
}

function command(kernel: KernelName, flops: number): Command {
  const call = { kernel, cost: () => ({ bytes: flops, flops }), weights: () => 0 };
  return { call, n: T, grid: [1, 1, 1] } as unknown as Command;
}

describe("the pace", () => {
  const batch = batchOf(T);

  it("fills submits up to 200 ms as it expects them to take, one command at least", () => {
    const pace = new Pace();
    const tiles = Array.from({ length: 9 }, () => command("expert_up", 45e9)); // 45 ms at 1 TFLOPS
    expect(pace.fits(tiles, batch)).toBe(4);
    expect(pace.fits([command("attention", 9e12), ...tiles], batch)).toBe(1);
    expect(pace.fits(tiles.slice(0, 4), batch)).toBe(4);
    // What moves bytes has a rate of its own: 100 GB/s.
    expect(pace.fits([...tiles.slice(0, 3), command("add", 7e9), command("add", 1)], batch)).toBe(3);
  });

  it("learns what a device takes: slower at once, faster step by step", () => {
    let clock = 0;
    const pace = new Pace({ now: () => clock });
    const tiles = [command("matmul", 100e9)];
    const took = (ms: number): void => {
      const ends = pace.begins(tiles, batch);
      clock += ms;
      ends!();
    };
    took(700);
    expect(pace.expected(tiles, batch)).toBeCloseTo(700);
    const seen: number[] = [];
    for (let i = 0; i < 4; i++) {
      took(0.1);
      seen.push(pace.expected(tiles, batch));
      if (seen.at(-1)! < 20) break; // too short to be measured
    }
    expect(seen.map(Math.round)).toEqual([175, 44, 11]);
    expect(pace.begins(tiles, batch)).toBeNull();
    // The other kinds of kernels are as they were.
    expect(pace.expected([command("attention", 100e9)], batch)).toBeCloseTo(100);
  });

  it.each(["conv", "delta_rule"] as const)("counts the rows of %s, which takes whole runs in a dispatch", (kernel) => {
    const o = { C: 96, taps: 4, GATED: 0, value_heads: 32, dv: 128, DK: 128 };
    const work = { rows: 0, groups: 0, bytes: 0, values: 0, kv: 2 };
    const of = (rows: number): number => {
      const cost = (n: number, batch: Batch) => TABLE[kernel].cost(n, o, work, batch);
      const one = { call: { kernel, cost, weights: () => 0 }, n: 1, grid: [1, 1, 1] } as unknown as Command;
      return new Pace().expected([one], batchOf(rows));
    };
    expect(of(1000) - of(500)).toBeGreaterThan(20 * of(1)); // and a state
  });

  it("does not lay the wait for earlier submits to a submit", () => {
    let clock = 0;
    const pace = new Pace({ now: () => clock });
    const one = [command("matmul", 100e9)];
    const ends = [pace.begins(one, batch)!, pace.begins(one, batch)!];
    for (const end of ends) {
      clock += 100;
      end();
    }
    expect(pace.expected(one, batch)).toBeCloseTo(100);
  });

  it("makes chunks whose largest dispatch, and which themselves, are not too long", () => {
    let clock = 0;
    const pace = new Pace({ now: () => clock });
    expect(pace.chunk(0, 1024)).toBe(1024); // nothing is known
    // As a layer of Mixtral 8x7B: 0.6 GFLOP a token in the largest dispatch, 25 in all.
    const layer = [command("expert_up", T * 0.6e9), command("matmul", T * 0.2e9)];
    const step = (slowness: number): void => {
      const batch = batchOf(T);
      for (let rest = Array<typeof layer>(32).fill(layer).flat(); rest.length > 0; ) {
        const submit = rest.slice(0, pace.fits(rest, batch));
        rest = rest.slice(submit.length);
        const ends = pace.begins(submit, batch);
        clock += slowness * new Pace().expected(submit, batch);
        ends?.();
      }
    };
    step(1);
    expect(pace.chunk(0, 1024)).toBe(128); // 3.3 s, and 77 ms the largest dispatch
    step(5);
    expect(pace.chunk(0, 1024)).toBe(32);
    for (let i = 0; i < 9; i++) step(0.04);
    expect(pace.chunk(0, 1024)).toBe(1024);
    expect(pace.chunk(0, 1000)).toBe(1000);
    // 4 H Dh operations a pair in each of 32 layers, at 1 TFLOPS.
    const pairs = (T * (T + 1)) / 2;
    const last = batchOf(T);
    for (let i = 0; i < 32; i++) pace.begins([command("attention", 4 * 4096 * pairs)], last);
    expect([0, 4096, 32_768].map((position) => pace.chunk(position, 1024))).toEqual([1024, 1024, 256]);
  });
});

describe.skipIf(noAdapter)(`webgpu pace${noAdapter ? `: ${NO_ADAPTER}` : ""}`, () => {
  if (adapters.length === 0) it("needs an adapter", () => Promise.reject(new Error(NO_ADAPTER)));
  const [D, LAYERS] = [64, 12];

  /** Steps of T tokens, a product in each of some layers. */
  async function steps(pace: Pace) {
    // A tile, which software adapters take only if asked: panels of so few rows are too short.
    const ops = await adapters[0]!.open({ maxTokens: T, pace, tile: "registers" });
    const input = await inputTable(ops, uniform(T * D, 1), D);
    const norm = await ops.loadVector(memorySource("norm", uniform(D, 2), 1, D));
    const w = await ops.loadMatrix(memorySource("w", uniform(D * D, 3), D, D), FORMATS.f32);
    const step = (signal?: AbortSignal): Promise<Float32Array> => {
      ops.begin(batchOf(T, signal && { signal }));
      let x = ops.embed(input);
      for (let i = 0; i < LAYERS; i++) x = ops.add(x, ops.matmul(ops.rmsNorm(x, norm, 1e-5), w));
      return ops.read(x);
    };
    return { ops, step };
  }

  it("cuts a chunk between its dispatches, with the same results, and ends it between submits", async () => {
    const whole = simulated(1, Number.POSITIVE_INFINITY);
    const { ops, step } = await steps(whole.pace);
    const want = await step();
    expect(whole.submits.length).toBe(1);
    const { commands, ms } = whole.submits[0]!;
    expect(commands).toBe(1 + 3 * LAYERS);
    ops.close();

    const abort = new AbortController();
    let stopAt = Number.POSITIVE_INFINITY;
    const longest = ms / 2;
    const cut = simulated(3, longest, (submits) => submits === stopAt && abort.abort(new Error("enough")));
    const other = await steps(cut.pace);
    for (let i = 0; i < 3; i++) {
      cut.submits.length = 0;
      const before = other.ops.counters();
      expect(await other.step()).toEqual(want);
      const after = other.ops.counters();
      expect(after.dispatches - before.dispatches).toBe(commands);
      expect(after.submits - before.submits).toBe(cut.submits.length);
    }
    // It has learnt that the device is three times slower: no submit is too long, and two that
    // follow each other would not have been one.
    for (const submit of cut.submits) expect(submit.ms).toBeLessThanOrEqual(1.1 * longest);
    expect(cut.submits.length).toBeGreaterThan(5);
    expect(cut.submits.length).toBeLessThanOrEqual((2 * 3 * ms) / longest + 1);

    cut.submits.length = 0;
    stopAt = 3;
    await expect(other.step(abort.signal)).rejects.toThrow("enough");
    expect(cut.submits.length).toBe(3);
    stopAt = Number.POSITIVE_INFINITY;
    const [first, second] = [other.step(), other.step()]; // in order, though each is many submits
    expect([await first, await second]).toEqual([want, want]);
    other.ops.close();
  });
});
