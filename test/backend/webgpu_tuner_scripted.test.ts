// The tuner on a GPU whose times and faults a script says: what it takes, what it never takes, what
// it remembers, and that it ends.

import { afterEach, describe, expect, it, vi } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import type { TuningStore } from "../../src/backend/webgpu/tuning/autotune.ts";
import type { Solved } from "../../src/backend/webgpu/tuning/problem.ts";
import type { GpuMatrix } from "../../src/backend/webgpu/weights/space.ts";
import type { Format } from "../../src/tensor/format.ts";
import { SOFTMAX } from "../../src/tensor/route_rule.ts";
import { titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { expertSource, memorySource } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";
import {
  type Dispatched,
  type MatrixShape,
  type Script,
  type ScriptedGpu,
  scriptedGpu,
} from "../support/scripted_gpu.ts";
import { some } from "../support/some.ts";
import { attentionOf } from "../support/steps.ts";

const [D, F, E] = [256, 128, 8];
const T = 64;

afterEach(() => vi.restoreAllMocks());

/** A GPU that was tuned for projections, matrices, a router and experts. */
interface Tuned {
  readonly scripted: ScriptedGpu;
  readonly solved: readonly Solved[];
  /** Of the matrices. */
  readonly o: GpuMatrix;
  readonly up: GpuMatrix;
  readonly head: GpuMatrix;
}

/** @param everything products of several rows, projections and routers too */
async function tuned(
  script: Script,
  {
    store = null,
    driver = "550.54",
    everything = false,
    budget,
    units = [],
  }: {
    store?: TuningStore | null;
    driver?: string;
    everything?: boolean;
    budget?: number;
    units?: readonly MatrixShape[];
  } = {},
): Promise<Tuned> {
  const scripted = await scriptedGpu(script, { maxTokens: T, driver, units });
  const { ops } = scripted;
  vi.spyOn(performance, "now").mockImplementation(() => scripted.now);
  const matrix = async (name: string, rows: number, format: Format, seed: number) =>
    (await ops.loadMatrix(memorySource(name, uniform(rows * D, seed), rows, D), format)) as GpuMatrix;
  const qkv = await matrix("qkv", 8 * 32, FORMATS.q4, 1);
  const o = await matrix("o", D, FORMATS.q4, 2);
  const up = await matrix("up", 2 * D, FORMATS.q4, 3);
  const head = await matrix("head", 2 * D, FORMATS.q8, 4);
  const gate = await matrix("gate", E, FORMATS.f32, 5);
  const data = { w1: uniform(F * D, 6), w3: uniform(F * D, 7), w2: uniform(D * F, 8) };
  const sources = Array.from({ length: E }, (_, e) => expertSource(`expert ${e}`, data, D, F));
  await ops.loadExperts(sources, FORMATS.q4, FORMATS.q4);
  const router = { gate, k: 2, rule: SOFTMAX, bias: null };
  const layers = [{ qkv: [qkv], attention: attentionOf(4, 2, 32), router }];
  const solved = await ops.tune(store, { layers, everything, ...(budget !== undefined && { budget }) });
  return { scripted, solved, o, up, head };
}

function memory() {
  const texts = new Map<string, string>();
  const store: TuningStore = {
    read: async (name) => texts.get(name) ?? null,
    write: async (name, text) => void texts.set(name, text),
  };
  return { texts, store };
}

const MS = 0.5;
const PRODUCT = /^(matmul|qkv|route|expert)/;
const shapeOf = ({ constants: { THREADS, TEAM } }: Dispatched): string => `${THREADS}x${THREADS! / TEAM!}`;
/** Rows of weights times rows of activations that a matrix-vector dispatch makes. */
const made = ({ groups, constants: { THREADS, TEAM } }: Dispatched): number => (groups * 8 * THREADS!) / TEAM!;
/** Everything takes as long, but for matmul_vec in f32 in one shape. */
const inShape = (shape: string, share: number, wrong: Script["wrong"] = () => false): Script => ({
  ms: (one) => (/^matmul_vec q4 f32/.test(one.kernel) && shapeOf(one) === shape ? MS * share : MS),
  wrong,
});
const of = (solved: readonly Solved[], key: string): Solved => solved.find((one) => one.key === key)!;

describe("the tuner", () => {
  it.skipIf(leftToCi)(
    titled("takes a shape that is faster by more than the margin, and no other", leftToCi),
    async () => {
      const less = await tuned(inShape("128x4", 0.98));
      const { usual, found } = of(less.solved, "matrix q4 8 256");
      expect(found).toBe(usual);
      expect(shapeInWords(less)).not.toBe("128x4");
      const more = await tuned(inShape("128x4", 0.96));
      expect(of(more.solved, "matrix q4 8 256").found).toBe("matmul_vec q4 f32 subgroups 128x4");
      expect(shapeInWords(more)).toBe("128x4");
      expect(more.scripted.ops.info.leftOut).toBeUndefined();
    },
  );

  it.skipIf(leftToCi)(titled("finds what is fastest of each number of rows and format", leftToCi), async () => {
    const best = (one: Dispatched): string => (/ q8 /.test(one.kernel) ? "64x2" : made(one) > D ? "256x8" : "128x4");
    const { solved, ...t } = await tuned(
      {
        ms: (one) => (/^matmul_vec/.test(one.kernel) && shapeOf(one) === best(one) ? MS / 2 : MS),
      },
      { everything: true },
    );
    expect([shapeInWords(t), shapeInWords(t, t.up), shapeInWords(t, t.head)]).toEqual(["128x4", "256x8", "64x2"]);
    const keys = solved.map(({ key }) => key);
    expect(keys).toEqual(expect.arrayContaining(["matrix q4 8 256", "matrix q4 8 512", "matrix q8 8 512"]));
    expect(keys).toEqual(expect.arrayContaining(["qkv q4 8 256", "route 8 8", "experts q4 8 q4 4 1"]));
  });

  it("finds the forms that are fastest by the rows", async () => {
    // A pass over the weights is of one row, of four, of sixteen or of a tile's 64.
    const { scripted } = await tuned(
      {
        ms: (one) => {
          const { kernel } = one;
          if (/^matmul_vec/.test(kernel)) return made(one) / 1000;
          if (/^matmul_few .*8x4/.test(kernel)) return (1.5 * made(one)) / 1000;
          if (/^matmul_few .*4x16/.test(kernel)) return (3.5 * made(one)) / 2 / 1000;
          if (/^matmul .*shared 64 f32/.test(kernel)) return (6 * 64 * one.groups) / 1000;
          return /^matmul /.test(kernel) ? 100 : 0.01;
        },
      },
      { everything: true },
    );
    const { tuning } = scripted.ops;
    const forms = [1, 2, 8, 9, 32, 33, 64].map((n) => tuning.form(n));
    expect(forms).toEqual(["vec", "8x4", "8x4", "4x16", "4x16", "tile", "tile"]);
    expect(tuning.tileName(FORMATS.q4, "matrices", 64)).toBe("shared64");
  });

  const shape = (size: number, componentType: string): MatrixShape => ({
    ...{ componentType, resultComponentType: "f32" },
    ...{ M: size, N: size, K: size },
  });
  it.each(
    some(
      [
        { tile: "matrix", units: [shape(8, "f32"), shape(16, "f16")] },
        { tile: "matrix8", units: [shape(8, "f32"), { ...shape(8, "f16"), resultComponentType: "f16" }] },
      ] as const,
      1,
    ),
  )("takes the tile of the adapter's matrix units where it is the fastest: $tile", async ({ tile, units }) => {
    const onUnits = ({ kernel }: Dispatched): boolean => /^matmul q4/.test(kernel) && kernel.split(" ").includes(tile);
    const ms = (one: Dispatched): number => (/^to_f16/.test(one.kernel) || onUnits(one) ? MS / 4 : MS);
    const right = await tuned({ ms }, { everything: true, units });
    expect(right.scripted.ops.tuning.tileName(FORMATS.q4, "matrices", 64)).toBe(tile);
    const wrong = await tuned({ ms, wrong: onUnits }, { everything: true, units });
    expect(wrong.scripted.ops.tuning.tileName(FORMATS.q4, "matrices", 64)).not.toBe(tile);
    const without = await scriptedGpu({ ms }, { maxTokens: T });
    expect(without.ops.tuning.tilesFor(FORMATS.q4)).not.toContain(tile);
  });

  describe("holds every candidate against a form without subgroups", () => {
    it("throws out one that is wrong, however fast it is", async () => {
      const { solved, scripted } = await tuned(
        inShape("128x4", 0.1, (one) => /^matmul_vec q4 f32/.test(one.kernel) && shapeOf(one) === "128x4"),
      );
      const { usual, found, tried } = of(solved, "matrix q4 8 256");
      expect(found).toBe(usual);
      expect(tried).toContainEqual({ name: "matmul_vec q4 f32 subgroups 128x4", ms: null });
      const why = /^matmul_vec q4 f32 subgroups 128x4: its results are not the plain variant's/;
      expect(scripted.ops.info.leftOut).toEqual(expect.arrayContaining([expect.stringMatching(why)]));
    });

    it.each(some(["subgroups", "tree"], 1))(
      "takes none with subgroups where they and trees differ: %s",
      async (reduce) => {
        const { solved, scripted } = await tuned(
          {
            ms: ({ kernel }) => (kernel.includes("subgroups") ? MS / 2 : MS),
            wrong: ({ kernel }) => PRODUCT.test(kernel) && kernel.split(" ").includes(reduce),
          },
          { everything: true },
        );
        expect(solved.length).toBeGreaterThan(10);
        for (const { found, tried } of solved) {
          // Of experts what ends the first product is not seen in the second's results.
          const last = (name: string): string => name.slice(name.indexOf(",") + 1);
          expect(last(found)).not.toContain("subgroups");
          for (const { name, ms } of tried) if (last(name).includes("subgroups")) expect(ms, name).toBeNull();
        }
        // What they were compared with: a readback of each problem, without any.
        const plain = scripted.reads.filter(
          (all) =>
            all.some(({ kernel }) => PRODUCT.test(kernel)) && all.every(({ kernel }) => !/subgroups/.test(kernel)),
        );
        expect(plain.length).toBeGreaterThanOrEqual(solved.length);
      },
    );
  });

  it("remembers by the driver's version", async () => {
    const { texts, store } = memory();
    const script = inShape("128x4", 0.5);
    const first = await tuned(script, { store });
    expect([...texts.keys()]).toEqual([expect.stringContaining("550.54")]);
    const again = await tuned(script, { store });
    expect(again.solved).toEqual([]);
    expect(shapeInWords(again)).toBe(shapeInWords(first));
    expect(
      [...again.scripted.reads.flat(), ...again.scripted.since].filter(({ kernel }) => PRODUCT.test(kernel)),
    ).toEqual([]);
    const other = await tuned(inShape("256x8", 0.5), { store, driver: "570.86" });
    expect(other.solved.length).toBe(first.solved.length);
    expect(shapeInWords(other)).toBe("256x8");
    expect([...texts.keys()]).toEqual([expect.stringContaining("550.54"), expect.stringContaining("570.86")]);
  });

  it.each([
    { budget: 20_000, slow: 300 },
    { budget: 500, slow: 40 },
  ])("ends after $budget ms where a dispatch takes $slow", async ({ budget, slow }) => {
    let [now, after] = [0, 0];
    const ms = (): number => {
      if (now > budget) after++;
      now += slow;
      return slow;
    };
    const { scripted, solved } = await tuned({ ms }, { everything: true, budget });
    // A candidate that was begun is timed to its end; then what is usual for a row is compared.
    const compared = 2 * solved.length * 4;
    expect(after).toBeLessThanOrEqual(compared);
    expect(scripted.now).toBeLessThanOrEqual(budget + compared * slow);
    const left = solved.filter(({ tried }) => tried.every((one) => one.ms === null));
    expect(left.length).toBeGreaterThan(0);
    for (const { usual, found } of left) expect(found).toBe(usual);
  });
});

/** The shape of a matrix's workgroups. */
function shapeInWords({ scripted, o }: Pick<Tuned, "scripted" | "o">, w = o): string {
  const { threads, teams } = scripted.ops.tuning.matvec(w);
  return `${threads}x${teams}`;
}
