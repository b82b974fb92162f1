// WGSL kernels against their plain twins, with the files of kernels/lib that this adapter would not
// take by itself.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FORMATS, type FormatName } from "../../kernels/formats/index.ts";
import { type RowForms, usualForms } from "../../src/backend/webgpu/tuning/rows.ts";
import { takesInt8Tile } from "../../src/backend/webgpu/tuning/tiles.ts";
import type { WebGpuOps, WebGpuOptions } from "../../src/backend/webgpu/webgpu.ts";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { ALL } from "../support/level.ts";
import { few, MAX_TOKENS, TWINS, type Twin, twins } from "./twins.ts";
import { checkKernels } from "./ways.ts";

const [adapter] = adapters;
const f16 = adapter?.features.has("shader-f16") ?? false;

interface Way {
  readonly way: string;
  readonly options: Omit<WebGpuOptions, "maxTokens">;
  readonly of: readonly Twin[];
  /** Kernels that it takes beside a twin's own. */
  readonly beside?: readonly string[];
  /** Kernels that it does without. */
  readonly without?: readonly string[];
}

/** Twins of one of these kernels, with weights in formats that show what differs. */
const through = (kernels: readonly string[], formats: readonly string[]): Twin[] =>
  TWINS.filter((twin) => formats.includes(twin.format.name) && kernels.some((kernel) => twin.kernels.includes(kernel)));
const EVERY = ALL ? Object.keys(FORMATS) : null;
const MANY = ["matmul", "expert_up"];
const FEW = ["matmul_vec", "expert_up_vec"];

/** Formats of each kind of levels, zero point and offset; or all. */
const INT8 = EVERY?.filter((name) => takesInt8Tile(FORMATS[name as FormatName])) ?? [
  "q8",
  "q4",
  "q4_k",
  "q5_1",
  "iq4_nl",
  "mxfp4",
];
const WIDE = EVERY ?? ["iq4_xs", "q3_k", "q5_k"];

/** The twins of one or two rows, with the kernels for a few instead of those for one. */
const ofFew = (kernels: readonly string[], formats: readonly string[]): Twin[] =>
  through(kernels, formats).map((twin) => ({
    ...twin,
    kernels: twin.kernels.map((kernel) => kernel.replace(/_vec$/, "_few")),
  }));
const forms = usualForms(false);
const fewRegisters = usualForms(false, false, true);
/** Whatever the rows, row by row. */
const VEC: RowForms = {
  matrices: [[Number.POSITIVE_INFINITY, "vec"]],
  experts: [[Number.POSITIVE_INFINITY, "vec"]],
  alone: false,
};

const WAYS: readonly Way[] = [
  {
    way: "without subgroups and f16",
    options: { optionalFeatures: false, tile: "registers" },
    of: TWINS.filter(({ format }) => format.name === "f32"),
  },
  { way: "tile shared64", options: { tile: "shared64" }, of: through(MANY, ["q4"]) },
  { way: "tile int8", options: { tile: "int8" }, of: through(MANY, INT8), beside: ["quantize"] },
  { way: "products in f32", options: { arithmetics: ["f32"], forms: VEC }, of: through(FEW, ["f16", "q8", "q4"]) },
  {
    way: "products of a few rows",
    options: { forms },
    of: [
      ...ofFew(["matmul_vec"], EVERY ?? ["f16", "f8", "q6_k", "q2_k"]),
      ...ofFew(["qkv_vec"], ["f32"]),
      ...through(["heads"], ["f32"]),
    ],
  },
  {
    way: "products of a few rows without subgroups",
    options: { forms, optionalFeatures: false },
    of: ofFew(["matmul_vec"], ["q4"]),
  },
  {
    way: "products of a few rows, alone",
    options: { forms: { ...forms, alone: true } },
    of: ofFew(["matmul_vec", "expert_up_vec"], ["q4"]),
  },
  {
    way: "products of a few rows on few registers",
    options: { forms: fewRegisters },
    of: ofFew(["matmul_vec", "expert_up_vec"], ["q4"]),
  },
  {
    way: "products of a few rows in int8 on few registers",
    options: { forms: fewRegisters, arithmetics: ["int8"] },
    of: ofFew(["expert_up_vec"], ["q4_k"]),
    without: ["quantize"],
  },
  {
    way: "products of a few rows in int8",
    options: { forms, arithmetics: ["int8"] },
    of: ofFew(["expert_up_vec"], ["q4_k", "iq4_nl"]),
    without: ["quantize"],
  },
  {
    way: "products in int8",
    options: { arithmetics: ["int8"], forms: VEC },
    of: through(["expert_up_vec"], ["q4", "q4_k", "iq4_nl"]),
  },
];
const F16_WAYS: readonly Way[] = [
  { way: "tile half64", options: { tile: "half64" }, of: through(MANY, ["q4"]) },
  { way: "products in f16", options: { arithmetics: ["f16"], forms: VEC }, of: through(FEW, ["f16", "q4", ...WIDE]) },
];

describe.skipIf(noAdapter)(`webgpu ${adapter?.name ?? NO_ADAPTER}: as the plain kernels`, () => {
  it("there is an adapter", () => expect(adapter).toBeDefined());

  const ways = [...WAYS, ...(f16 ? F16_WAYS : [])].map((way) => ({ ...way, of: few(way.of, 1) }));
  describe.each(ways.filter(({ of }) => of.length > 0))("$way", ({ options, of, beside = [], without }) => {
    let ops: WebGpuOps;
    beforeAll(async () => {
      ops = await adapter!.open({ maxTokens: MAX_TOKENS, ...options });
    });
    afterAll(() => ops?.close());

    twins(
      () => ops,
      ({ kernels }, run) => checkKernels(ops, [...kernels, ...beside], run, without),
      of,
    );
  });
});
