// WGSL kernels against their plain twins, reduced by subgroups of 16, 32 and 64 invocations, as
// GPUs have them: written out over workgroup memory, since software adapters have 4 or 8.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { createPlainOps } from "../../src/backend/cpu/plain/plain.ts";
import { assemble } from "../../src/backend/webgpu/dispatch/shader.ts";
import { TABLE } from "../../src/backend/webgpu/dispatch/table.ts";
import type { RowForms } from "../../src/backend/webgpu/tuning/rows.ts";
import type { WebGpuOps, WebGpuOptions } from "../../src/backend/webgpu/webgpu.ts";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { type KernelBench, type KernelRun, openKernels } from "../support/kernels.ts";
import { integers, uniform } from "../support/random.ts";
import { expectClose } from "../support/reference.ts";
import { some } from "../support/some.ts";
import { openWithSubgroups, withSize, withSubgroups } from "../support/subgroups.ts";
import { few, MAX_TOKENS, TWINS, type Twin, twins } from "./twins.ts";
import { checkKernels } from "./ways.ts";

const EPS = 1e-5;
const adapter = adapters.find(({ features }) => features.has("subgroups"));

/** Every product in one form, whatever its rows. */
const always = (form: "vec" | "8x4"): RowForms => {
  const thresholds = [[Number.POSITIVE_INFINITY, form]] as const;
  return { matrices: thresholds, experts: thresholds, alone: false };
};

/** The first twin that goes through all of these kernels, in other words `as`. */
function through(kernels: readonly string[], as: readonly string[] = kernels): Twin {
  const twin = TWINS.find((one) => kernels.every((kernel) => one.kernels.includes(kernel)))!;
  return { ...twin, kernels: as };
}

interface Way {
  readonly way: string;
  readonly options: Omit<WebGpuOptions, "maxTokens">;
  readonly of: readonly Twin[];
  /** Twins whose kernels are compiled for long, with subgroups of 32 and CI=true. */
  readonly slow?: readonly Twin[];
}

const EXPERTS = ["route", "expert_up_vec", "expert_down_vec"];
const WAYS: readonly Way[] = [
  {
    way: "single rows",
    options: { arithmetics: ["f32"], forms: always("vec") },
    of: [
      ...["rms_norm", "layer_norm", "gated_norm", "matmul_vec", "qkv_vec", "qkv_mixed"].map((name) => through([name])),
      through(["qkv_turn", "attention_split"]),
      through(["latent_turn"]),
      through(EXPERTS),
    ],
  },
  {
    // Four rows of weights by sixteen of activations have the same sums, and more of them.
    way: "a few rows",
    options: { arithmetics: ["f32"], forms: always("8x4") },
    of: [through(["matmul_vec"], ["matmul_few"])],
    slow: [
      through(["qkv_vec"], ["qkv_few"]),
      through(["heads"]),
      through(EXPERTS, ["expert_up_few", "expert_down_few"]),
    ],
  },
];

/** Kernels that no small step goes through, by themselves: how to run one, and what it writes. */
const ALONE: Readonly<Record<string, () => { readonly run: KernelRun; readonly y: Float32Array | Uint32Array }>> = {
  quantize: () => rounding("quantize", 28),
  to_f16: () => rounding("to_f16", 50),
  attention_reduce() {
    const [T, H, Dv, splits] = [2, 3, 10, 40];
    const stride = H * Dv + 2 * H;
    const y = new Float32Array(T * H * Dv);
    const x = Float32Array.from(uniform(T * splits * stride, 3), Math.abs); // sums of weights are positive
    const params = { heads: H, pairs: Dv / 2, most: T * splits, unshared: 0, stride, y_stride: H * Dv };
    const buffers = { count: Uint32Array.of(T, 0, 0, 0), x, sinks: Float32Array.of(1, 0, -1, 0), y };
    return { run: { name: "attention_reduce", n: T, params, overrides: { SINKS: 1 }, buffers }, y };
  },
};

/** Two rows of integers, whose squares add up to the same in any order. */
function rounding(name: "quantize" | "to_f16", words: number) {
  const [T, groups, D] = [2, 3, 90];
  const x = new Float32Array(T * groups * 32);
  for (let t = 0; t < T; t++) x.set(integers(D, 5 + t, 9), t * groups * 32);
  const norm = Float32Array.from({ length: groups * 32 }, (_, i) => 1 + i);
  const y = new Uint32Array(T * words);
  const buffers = { count: Uint32Array.of(T, 0, 0, 0), x, norm, y };
  const params = { D, eps: EPS, groups, each: 1 };
  return { run: { name, n: T, params, overrides: { THREADS: 64, NORM: 1 }, buffers }, y };
}

it("every kernel with built-ins of subgroups is run here", () => {
  const variant = { weights: "f32", kv: "f32", arithmetic: "f32", reduce: "subgroups", few: "8x4" } as const;
  const own = Object.keys(TABLE).filter((name) =>
    assemble(name, { ...variant, tile: "registers" }).code.includes("enable subgroups;"),
  );
  const twinned = WAYS.flatMap(({ of, slow = [] }) => [...of, ...slow]).flatMap(({ kernels }) => kernels);
  const here = [...twinned, ...Object.keys(ALONE)];
  // The probe runs subgroup_places whenever a backend is opened.
  expect(own.filter((name) => !here.includes(name))).toEqual(["subgroup_places"]);
});

it.each([
  ["team_sum", "matmul_vec", { weights: "f32", arithmetic: "f32", reduce: "subgroups" }],
  ["put_sum", "matmul_few", { weights: "f32", arithmetic: "f32", reduce: "subgroups", few: "8x4" }],
  ["workgroup_max", "quantize", { reduce: "subgroups" }],
] as const)("no built-in of subgroups is left: %s", (name, kernel, variant) => {
  const { code } = assemble(kernel, variant);
  expect(code).toContain(`fn ${name}`);
  expect(code).toMatch(/subgroup_id[\s\S]*subgroup[A-Z]/);
  expect(withSubgroups(code, 16)).not.toMatch(/subgroup[A-Z_]|\blane\.(?!index)/);
});

describe.skipIf(noAdapter)(`webgpu ${adapter?.name ?? NO_ADAPTER}: as the plain kernels`, () => {
  it("there is an adapter with subgroups", () => expect(adapter).toBeDefined());

  let tree: KernelBench;
  beforeAll(async () => {
    tree = await openKernels(adapter!.name, false);
  });
  afterAll(() => tree?.close());

  describe.each(some([32, 16, 64], 1))("subgroups of %i", (size) => {
    const ways = WAYS.map(({ of, slow = [], ...way }) => ({
      ...way,
      of: few([...of, ...(size === 32 ? some(slow, 0) : [])], 3),
    })).filter(({ of }) => of.length > 0);

    it("in kernels by themselves", async () => {
      const by = await openKernels(adapter!.name, true, (found) => withSize(found, size));
      for (const [name, make] of Object.entries(ALONE)) {
        const [got, want] = [make(), make()];
        await by.run(got.run);
        await tree.run(want.run);
        if (want.y instanceof Float32Array) expectClose(got.y as Float32Array, want.y, want.y.length);
        else expect(got.y, name).toEqual(want.y);
        expect(want.y.some((word) => word !== 0)).toBe(true);
      }
      by.close();
    });

    describe.each(ways)("$way", ({ way, options, of }) => {
      let ops: WebGpuOps;
      beforeAll(async () => {
        ops = await openWithSubgroups(adapter!.name, size, { maxTokens: MAX_TOKENS, ...options });
      });
      afterAll(() => ops?.close());

      twins(
        () => ops,
        ({ kernels }, run) => checkKernels(ops, kernels, run),
        of,
      );

      if (way !== "single rows") return;
      it("in workgroups smaller than a subgroup, and of several teams", async () => {
        const twin = through(["matmul_vec"]);
        const kind = { format: FORMATS.f32, groups: 3 };
        const all = ops.tuning.candidates("f32", { ...kind, groups: 64 });
        for (const { reduce, threads, teams } of all)
          expect(reduce).toBe(teams > 1 && threads / teams < size ? "tree" : "subgroups");
        for (const [threads, teams] of [
          [32, 1],
          [256, 256 / size],
        ] as const) {
          ops.tuning.setMatvec(kind, { arithmetic: "f32", reduce: "subgroups", threads, teams, atOnce: 1 });
          const want = await twin.run(createPlainOps(MAX_TOKENS, "plain"));
          const got = await checkKernels(ops, twin.kernels, () => twin.run(ops));
          expectClose(got, want, want.length);
        }
      });
    });
  });
});
