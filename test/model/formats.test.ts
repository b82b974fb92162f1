// Plans of formats: what is joined, what experts share, and what users are told.

import { describe, expect, it } from "vitest";
import { FORMATS, type FormatName } from "../../kernels/formats/index.ts";
import type { LayerSources, ModelSources } from "../../src/model/family.ts";
import { footprintOf } from "../../src/model/footprint.ts";
import { expertShape, formatsText, joinedQkv, keep, ownFormats, packAll } from "../../src/model/formats.ts";
import { plannedFormats, storedShards } from "../../src/model/stored.ts";
import { quantizationConfig, readStoredFormats } from "../../src/model/stored_formats.ts";
import { type Format, panelLayout } from "../../src/tensor/format.ts";
import type { MatrixSource } from "../../src/tensor/types.ts";

const [D, F, V] = [256, 512, 320];

function matrix(name: string, rows: number, cols: number, format?: FormatName): MatrixSource {
  return { name, rows, cols, readRows: async () => {}, ...(format && { format: FORMATS[format] as Format }) };
}

type Names = Partial<Record<"q" | "k" | "v" | "o" | "w1" | "w3" | "w2", FormatName>>;

function layer(names: Names): LayerSources {
  const expert = {
    w1: matrix("w1", F, D, names.w1),
    w3: matrix("w3", F, D, names.w3 ?? names.w1),
    w2: matrix("w2", D, F, names.w2),
  };
  return {
    attnNorm: matrix("n", 1, D),
    qkv: [matrix("q", 256, D, names.q), matrix("k", 64, D, names.k), matrix("v", 64, D, names.v)],
    qkNorm: null,
    wo: matrix("o", D, 256, names.o),
    ffnNorm: matrix("n", 1, D),
    gate: matrix("gate", 2, D),
    gateBias: null,
    experts: [expert, expert],
    ffn: null,
  };
}

function model(...layers: LayerSources[]): ModelSources {
  const [embed, head] = [matrix("embed", V, D, "q4_k"), matrix("head", V, D, "q6_k")];
  return { embed, norm: matrix("n", 1, D), head, layers };
}

const MIXED: Names = { q: "q4_k", k: "q8", v: "q6_k", o: "q4_k", w1: "q4_k", w2: "q6_k" };

describe("q, k and v", () => {
  it.each<[Names, string[]]>([
    [{}, ["q, k, v: q8"]],
    [{ q: "q4_k", k: "q4_k", v: "q6_k" }, ["q, k: q4_k", "v: q6_k"]],
    [{ q: "q5_k", k: "q8", v: "q8" }, ["q: q5_k", "k, v: q8"]],
    [MIXED, ["q: q4_k", "k: q8", "v: q6_k"]],
  ])("%j are %j", (names, want) => {
    const joined = joinedQkv(layer(names), keep(FORMATS.q8), 0);
    expect(joined.map(({ source, format }) => `${source.name}: ${format.name}`)).toEqual(want);
    expect(joined.reduce((sum, { source }) => sum + source.rows, 0)).toBe(384);
    expect(joinedQkv(layer(names), packAll(FORMATS.f16), 0).length).toBe(1);
  });
});

describe("experts", () => {
  it("have one format for w1 and w3, and one for w2: f32 where the file has two", () => {
    const named = (names: Names, plan = keep(FORMATS.q4)) => {
      const { up, down } = expertShape(layer(names), plan, 0);
      return [up.name, down.name];
    };
    expect(named({ w1: "q4_k", w2: "q6_k" })).toEqual(["q4_k", "q6_k"]);
    expect(named({ w1: "q4_k", w3: "q5_k", w2: "q6_k" })).toEqual(["f32", "q6_k"]);
    expect(named({ w1: "q4_k", w3: "q5_k", w2: "q6_k" }, packAll(FORMATS.q8))).toEqual(["q8", "q8"]);
    expect(named({ w2: "q6_k" })).toEqual(["q4", "q6_k"]);
  });
});

describe("a mixed model", () => {
  const sources = model(layer(MIXED), layer({ ...MIXED, w2: "q4_k" }));

  it("is told by its bytes, and counted as it is held", () => {
    expect(formatsText(sources, keep(FORMATS.f32))).toBe("q4_k (with q6_k, q8)");
    expect(formatsText(sources, packAll(FORMATS.q4))).toBe("q4");
    expect(ownFormats(sources).has(undefined)).toBe(false);
    expect(ownFormats(model(layer({ q: "q8" }))).has(undefined)).toBe(true);
    const bytes = (format: FormatName, rows: number, cols: number) => panelLayout(FORMATS[format], rows, cols).bytes;
    const up = 4 * bytes("q4_k", 2 * F, D);
    const down = 2 * bytes("q6_k", D, F) + 2 * bytes("q4_k", D, F);
    const qkv = bytes("q4_k", 256, D) + bytes("q8", 64, D) + bytes("q6_k", 64, D);
    const own = qkv + bytes("q4_k", D, 256) + bytes("f32", 2, D) + 2 * 4 * D;
    const outer = bytes("q4_k", V, D) + bytes("q6_k", V, D) + 4 * D;
    const dense = outer + 2 * own;
    expect(footprintOf(sources, keep(FORMATS.f32))).toEqual({ dense, weights: dense + up + down });
  });

  it("is written with the format of each matrix, which is read again", () => {
    const stored = plannedFormats(sources, keep(FORMATS.f32));
    const config = quantizationConfig(stored, 2);
    expect(config).toMatchObject({ format: 2, weights: "q4_k (with q6_k, q8)" });
    const again = readStoredFormats(JSON.parse(JSON.stringify(config)), "config.json", 2);
    expect({ ...again, layer: again.layer(1) }).toEqual({ ...stored, layer: stored.layer(1) });
    expect(again.layer(0).down).toBe(FORMATS.q6_k);
    expect(again.layer(1).down).toBe(FORMATS.q4_k);
    const tensors = storedShards(sources, again)[0]!;
    expect(tensors.flatMap(({ name, shape }) => (/_proj/.test(name) ? [[name, shape[0]]] : []))).toEqual([
      ["model.layers.0.self_attn.q_proj.blocks", panelLayout(FORMATS.q4_k, 256, D).bytes],
      ["model.layers.0.self_attn.k_proj.blocks", panelLayout(FORMATS.q8, 64, D).bytes],
      ["model.layers.0.self_attn.v_proj.blocks", panelLayout(FORMATS.q6_k, 64, D).bytes],
      ["model.layers.0.self_attn.o_proj.blocks", panelLayout(FORMATS.q4_k, D, 256).bytes],
    ]);
  });

  it("is written as version 1 where all have one format that weights are packed to", () => {
    const stored = plannedFormats(sources, packAll(FORMATS.q8));
    expect(quantizationConfig(stored, 2)).toEqual({ quant_method: "hotset", format: 1, weights: "q8" });
    expect(storedShards(sources, stored)[0]!.map(({ name }) => name)).toContain(
      "model.layers.0.self_attn.qkv_proj.blocks",
    );
  });
});
