// The table of kernels against the WGSL itself: every binding, param and override constant, in
// order; and what is imported.

import { describe, expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { KERNELS, LIBS } from "../../kernels/wgsl.ts";
import type { KernelLine } from "../../src/backend/webgpu/dispatch/line.ts";
import { type Arithmetic, assemble, type Variant } from "../../src/backend/webgpu/dispatch/shader.ts";
import {
  BIASED,
  FLOAT_PARAMS,
  type KernelName,
  TABLE,
  variantOverrides,
} from "../../src/backend/webgpu/dispatch/table.ts";

type Full = Required<Omit<Variant, "activation" | "biases" | "second" | "third" | "registers">>;

const EXPERTS = [
  "expert_up",
  "expert_up_few",
  "expert_up_vec",
  "expert_down",
  "expert_down_few",
  "expert_down_vec",
] as const;
const ACTIVATIONS = ["silu", "gelu", "gelu_tanh", "relu2", "swiglu_oai"] as const;

const CORE = { kv: "f32", reduce: "tree", few: "8x4", tile_size: 64, cell: "f32" } as const;
const WIDE = { ...CORE, tile_size: "64x128" } as const;
const MORE = { kv: "f16", reduce: "subgroups", few: "4x16", tile_size: 128, cell: "f16" } as const;
/** Every format in every arithmetic that it has, with features of the device and without. */
const VARIANTS: readonly Full[] = Object.values(FORMATS).flatMap(({ name: weights, arithmetics }) =>
  arithmetics.flatMap((arithmetic: Arithmetic): Full[] => [
    { weights, arithmetic, ...CORE, tile: arithmetic === "int8" ? "int8" : "registers" },
    { weights, arithmetic, ...MORE, tile: arithmetic === "int8" ? "int8" : "shared" },
    { weights, arithmetic, ...CORE, tile: arithmetic === "int8" ? "int8" : "shared" },
  ]),
);

/** WGSL without its comments. */
function code(name: string, variant: Variant): string {
  return assemble(name, variant).code.replace(/\/\/.*$/gm, "");
}

function bindings(wgsl: string): [string, string][] {
  const found = [...wgsl.matchAll(/@group\(0\) @binding\((\d+)\) var<([^>]+)> (\w+)/g)];
  found.sort((a, b) => Number(a[1]) - Number(b[1]));
  expect(found.map((m) => Number(m[1]))).toEqual(found.map((_, i) => i));
  const access = new Map([
    ["uniform", "uniform"],
    ["storage, read", "read"],
    ["storage, read_write", "write"],
  ]);
  return found.map((m) => [m[3]!, access.get(m[2]!) ?? m[2]!]);
}

function params(wgsl: string): string[] {
  const struct = /struct Params \{([^}]*)\}/.exec(wgsl)?.[1] ?? "";
  return [...struct.matchAll(/(\w+): (\w+)/g)].map((m) => {
    expect(m[2]).toBe(FLOAT_PARAMS.has(m[1]!) ? "f32" : "u32");
    return m[1]!;
  });
}

const names = Object.keys(TABLE) as KernelName[];

describe("the table of kernels", () => {
  it("has a line for every kernels/*.wgsl and no other", () => {
    expect([...names].sort()).toEqual(Object.keys(KERNELS).sort());
  });

  describe.each(names)("%s", (name) => {
    const line: KernelLine = TABLE[name];

    it.each(VARIANTS)(
      "agrees with the WGSL: weights $weights, kv $kv, reduce $reduce, $arithmetic, tile $tile $tile_size $cell",
      (variant) => {
        const wgsl = code(name, variant);
        expect(bindings(wgsl)).toEqual(Object.entries(line.bindings));
        expect(params(wgsl)).toEqual([...line.params]);
        // Those that the WGSL computes of others are not the host's.
        expect([...wgsl.matchAll(/^override (\w+): \w+;/gm)].map((m) => m[1])).toEqual([...line.overrides]);
      },
    );

    it("binds at most the 8 storage buffers that every device has", () => {
      expect(Object.values(line.bindings).filter((access) => access !== "uniform").length).toBeLessThanOrEqual(8);
    });

    it("counts the matrices that it reads, but for rows of the embedding", () => {
      expect(line.weights !== undefined).toBe("part" in line.bindings && name !== "embed");
    });

    it("opens with what it computes, its shapes and its grid", () => {
      const header = KERNELS[name]!.slice(0, KERNELS[name]!.indexOf("#import"));
      expect(header).toMatch(/^(\/\/ .+\n)+\/\/\n/);
      expect(header).toContain("->");
      expect(header).toContain("grid");
    });
  });

  it.each(EXPERTS)("%s with biases binds them behind the rest", (name) => {
    const wgsl = code(name, { ...VARIANTS[0]!, activation: "swiglu_oai", biases: "added" });
    expect(bindings(wgsl)).toEqual(Object.entries({ ...TABLE[name].bindings, ...BIASED }));
    const own = variantOverrides({
      biases: "added",
      ...(name.startsWith("expert_up") && { activation: "swiglu_oai" }),
    });
    expect([...wgsl.matchAll(/^override (\w+): \w+ = \d+;/gm)].map((m) => m[1]).sort()).toEqual([...own].sort());
  });

  it("keeps no array of an invocation's own but over loops of constant length", () => {
    // Others a compiler does not unroll, and may hold in memory.
    const found = Object.entries({ ...KERNELS, ...LIBS }).flatMap(([file, wgsl]) =>
      [...wgsl.matchAll(/\b(?:var(?:<private>)?|let) \w+(?:: | = )(array<.*>)/g)].map(([, type]) => `${file}: ${type}`),
    );
    expect(found.sort()).toEqual(["delta_rule: array<vec4f, 12>", "lib/matrix/quantize_row: array<vec4f, 8>"]);
  });

  it("uses every helper of kernels/lib", () => {
    const used = new Set<string>();
    for (const name of names)
      for (const variant of [
        ...VARIANTS,
        { ...VARIANTS[0]!, ...WIDE, tile: "shared" as const },
        { ...VARIANTS[0]!, tile: "matrix" as const },
        { ...VARIANTS[0]!, kv: "q8" as const },
        { ...VARIANTS[0]!, tile: "matrix8" as const },
        { ...VARIANTS[0]!, few: "4x4" as const, registers: "few" as const },
        ...(["tree", "subgroups"] as const).map((reduce) => ({ ...VARIANTS[0]!, few: "alone" as const, reduce })),
        ...ACTIVATIONS.map((activation) => ({ ...VARIANTS[0]!, activation, biases: "added" as const })),
      ]) {
        const { code, origin } = assemble(name, variant);
        for (let line = code.split("\n").length; line > 0; line--) used.add(origin(line).split(".wgsl:")[0]!);
      }
    for (const lib of Object.keys(LIBS)) expect(used, lib).toContain(lib);
  });
});

describe("assemble", () => {
  it("takes a file again for other weights, under names of their own", () => {
    const wgsl = code("qkv_mixed", { weights: "q4", second: "q6_k", arithmetic: "f32", reduce: "tree" });
    for (const [zero, name] of [
      ["8", "ZERO"],
      ["32", "ZERO_second"],
      ["8", "ZERO_third"],
    ])
      expect(wgsl).toContain(`const ${name} = ${zero};`);
    expect(wgsl.match(/^struct Rows8 /gm)).toHaveLength(1);
    expect(wgsl).toContain("@binding(6) var<storage, read> w_second: array<vec4u>;");
  });

  it("puts directives first and maps lines to their files", () => {
    const { code: wgsl, origin } = assemble("rms_norm", { reduce: "subgroups" });
    const lines = wgsl.split("\n");
    expect(lines[0]).toBe("enable subgroups;");
    expect(origin(1)).toMatch(/^lib\/team\/reduce_subgroups\.wgsl:\d+$/);
    const main = lines.findIndex((line) => line.startsWith("fn main(")) + 1;
    const at = KERNELS.rms_norm!.split("\n").findIndex((line) => line.startsWith("fn main(")) + 1;
    expect(origin(main)).toBe(`rms_norm.wgsl:${at}`);
  });

  it("says which file is missing", () => {
    expect(() => assemble("nowhere", {})).toThrow("kernels/nowhere.wgsl does not exist");
  });
});

it("gives sizes that are formulas of overrides a name", () => {
  // wgpu (naga 29) panics over such a formula where one of its overrides is declared later.
  const files = Object.entries({ ...KERNELS, ...LIBS });
  const overrides = new Set(files.flatMap(([, source]) => [...source.matchAll(/^override (\w+)/gm)].map((m) => m[1])));
  const found = files.flatMap(([name, source]) =>
    [...source.matchAll(/: array<[^<>,]+, ([^;]*)>;/g)].flatMap(([, size]) => {
      const words = size!.match(/\w+/g) ?? [];
      return words.length > 1 && words.some((word) => overrides.has(word)) ? [`${name}: ${size}`] : [];
    }),
  );
  expect(found).toEqual([]);
});
