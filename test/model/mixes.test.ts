// Mixes: which format each matrix gets, and a packed folder in several of them.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { RequestError } from "../../src/errors.ts";
import { quantize, verifyQuantized } from "../../src/index.ts";
import { bindSources, readArchitecture } from "../../src/model/families/index.ts";
import type { ModelSources } from "../../src/model/family.ts";
import { bytesOf, type FormatPlan, heldMatrices, keep, type MatrixRole } from "../../src/model/formats.ts";
import { MIXES, type MixName, mixPlan } from "../../src/model/mixes.ts";
import { openFolder } from "../../src/weights/folder.ts";
import { nodeFiles } from "../../src/weights/node_files.ts";
import { parseSynthetic } from "../../src/weights/synthetic.ts";
import { cpuOps } from "../support/cpu.ts";
import { inRepo } from "../support/fixtures.ts";
import { loadFolder } from "../support/model.ts";

const tales = inRepo("models/tales");
/** What llama.cpp's mixes of these names take of models/tales, in bits a weight. */
const LLAMA_CPP = {
  q6_k: 7.16,
  q5_k_m: 6.007,
  q4_k_m: 5.286,
  q4_k_s: 5.008,
  iq4_xs: 4.573,
  mxfp4_moe: 4.975,
  q3_k_m: 4.34,
  q2_k: 3.551,
};

async function bound(path: string): Promise<ModelSources> {
  const folder = await openFolder(await nodeFiles(path));
  onTestFinished(() => folder.close());
  return bindSources(readArchitecture(folder.config, path), folder.source);
}

/** Sources of Mixtral 8x7B's shapes. */
function large(): ModelSources {
  const { config, source } = parseSynthetic("synthetic:mixtral-8x7b");
  return bindSources(readArchitecture(config, "synthetic"), source);
}

async function bits(name: MixName): Promise<number> {
  const sources = await bound(tales);
  const matrices = heldMatrices(sources, mixPlan(name, sources));
  const small = 6 * (8 + 2) * 256 + 256; // routers and norms, f32
  const bytes = matrices.reduce((sum, matrix) => sum + bytesOf(matrix), 4 * small);
  return (8 * bytes) / 19_807_488;
}

describe("mixPlan", () => {
  const matrix = (cols: number) => ({ name: "", rows: 8, cols, readRows: async () => {} });
  const named = (name: MixName, role: MatrixRole, layer: number, cols = 4096) =>
    mixPlan(name, large())(matrix(cols), role, layer).name;

  it("names formats by role and layer", () => {
    expect(named("q4_k_m", "up", 9)).toBe("q4_k");
    expect(named("q4_k_m", "v", 9)).toBe("q6_k");
    expect([named("q2_k", "up", 3), named("q2_k", "up", 4)]).toEqual(["q3_k", "q2_k"]);
  });

  it("takes the narrower format where padding would cost more", () => {
    expect([named("standard", "down", 9, 448), named("standard", "down", 9, 1536)]).toEqual(["iq4_nl", "iq4_xs"]);
    expect(named("q6_k", "down", 9, 448)).toBe("q6_k");
  });

  it.each(Object.entries(LLAMA_CPP))("%s takes at most llama.cpp's %f bits a weight", async (name, most) => {
    expect(await bits(name as MixName)).toBeLessThanOrEqual(most);
  });

  it("the standard mix takes at most 4.5 bits a weight, in small models from w1 and w3", async () => {
    expect(await bits("standard")).toBeLessThanOrEqual(4.5);
    const small = mixPlan("standard", await bound(tales));
    const up = (plan: FormatPlan) => [0, 1, 2, 3, 4, 12].map((layer) => plan(matrix(256), "up", layer).name);
    expect(up(small)).toEqual(["iq4_xs", "q3_k", "q3_k", "iq4_xs", "iq4_xs", "iq4_xs"]);
    expect(new Set(up(mixPlan("standard", large())))).toEqual(new Set(["iq4_xs"]));
  });
});

describe("quantize", () => {
  it.each(["standard", "q2_k"] as const)("writes the mix %s, whose folder opens as it says", async (mix) => {
    const to = join(mkdtempSync(join(tmpdir(), "hotset-mix-")), "out");
    onTestFinished(() => rmSync(join(to, ".."), { recursive: true, force: true }));
    const from = inRepo("test/fixtures/mixtral/bf16-odd-window-shards");
    await quantize(from, to, { threads: 1, ...(mix !== "standard" && { mix }) });
    await verifyQuantized(to);
    const { quantization_config } = JSON.parse(readFileSync(join(to, "config.json"), "utf8"));
    expect(quantization_config.format).toBe(2);
    expect(FORMATS).toHaveProperty(quantization_config.formats.layers[0].up);
    const ids = [1, 9, 30, 4];
    const logits = async (folder: string, plan: FormatPlan) => {
      const model = await loadFolder(folder, await cpuOps({ maxTokens: 8 }), plan, "f32");
      onTestFinished(() => model.close());
      return (await model.run(ids)).logits;
    };
    const want = await logits(from, mixPlan(mix, await bound(from)));
    expect(want.every(Number.isFinite)).toBe(true);
    expect(await logits(to, keep(FORMATS.f32))).toEqual(want);
  });

  it("takes one format or a mix, and only mixes that there are", async () => {
    await expect(quantize(tales, "out", { weights: "q8", mix: "q4_k_m" })).rejects.toThrow(RequestError);
    await expect(quantize(tales, "out", { mix: "q9" as MixName })).rejects.toThrow(Object.keys(MIXES).join(", "));
  });
});
