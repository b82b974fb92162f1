// WGSL kernels against their plain twins, reduced by subgroups of 16, 32 and 64 invocations, as
// GPUs have them: written out over workgroup memory, since software adapters have 4 or 8.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { createPlainOps } from "../../src/backend/cpu/plain/plain.ts";
import { assemble } from "../../src/backend/webgpu/dispatch/shader.ts";
import { type RowForms, usualForms } from "../../src/backend/webgpu/tuning/rows.ts";
import type { WebGpuOps, WebGpuOptions } from "../../src/backend/webgpu/webgpu.ts";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { expectClose } from "../support/reference.ts";
import { openWithSubgroups, withSubgroups } from "../support/subgroups.ts";
import { MAX_TOKENS, TWINS, type Twin, twins, wanted } from "./twins.ts";
import { checkKernels } from "./ways.ts";

const adapter = adapters.find(({ features }) => features.has("subgroups"));

/** Row by row, whatever the rows; and a few at once, as on a GPU. */
const VEC: RowForms = {
  matrices: [[Number.POSITIVE_INFINITY, "vec"]],
  experts: [[Number.POSITIVE_INFINITY, "vec"]],
  alone: false,
};
const FEW = usualForms(false);

/** The first twin that goes through all of these kernels, in other words `as`. */
function through(kernels: readonly string[], as: readonly string[] = kernels): Twin {
  const twin = TWINS.find((one) => kernels.every((kernel) => one.kernels.includes(kernel)))!;
  return { ...twin, kernels: as };
}

interface Way {
  readonly way: string;
  readonly options: Omit<WebGpuOptions, "maxTokens">;
  readonly of: readonly Twin[];
}

/** Reductions of routers and experts are the same; written out, those compile for minutes. */
const WAYS: readonly Way[] = [
  {
    way: "single rows",
    options: { arithmetics: ["f32"], forms: VEC },
    of: [
      ...["rms_norm", "layer_norm", "gated_norm", "matmul_vec"].map((name) => through([name])),
      through(["qkv_turn", "attention_split"]),
    ],
  },
  {
    way: "a few rows",
    options: { arithmetics: ["f32"], forms: FEW },
    of: [
      through(["matmul_vec"], ["matmul_few"]), // two rows, and many
      through(["matmul"], ["matmul_few"]),
    ],
  },
];

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

  const ways = WAYS.map((way) => ({ ...way, of: wanted(way.of) })).filter(({ of }) => of.length > 0);
  describe.each([16, 32, 64])("subgroups of %i", (size) => {
    describe.each(ways)("$way", ({ options, of }) => {
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

      if (options.forms !== VEC) return;
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
