// hotset quantize of GGUF files: a packed folder of the same formats, whose values are the file's
// to the bit.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { open, quantize, verifyQuantized } from "../../src/index.ts";
import { bindSources, readArchitecture } from "../../src/model/families/index.ts";
import type { ModelSources } from "../../src/model/family.ts";
import { concatRows } from "../../src/model/sources.ts";
import type { MatrixSource } from "../../src/tensor/types.ts";
import { openFolder } from "../../src/weights/folder.ts";
import { nodeFolderOrFile } from "../../src/weights/node_files.ts";
import { inShared, titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "hotset-quantize-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "out");
}

async function sourcesOf(path: string): Promise<ModelSources> {
  const { files, file } = await nodeFolderOrFile(path);
  const folder = await openFolder(files, file);
  onTestFinished(() => folder.close());
  return bindSources(readArchitecture(folder.config, folder.label), folder.source);
}

async function values(matrix: MatrixSource): Promise<Uint8Array> {
  const all = new Float32Array(matrix.rows * matrix.cols);
  await matrix.readRows(0, matrix.rows, all);
  return new Uint8Array(all.buffer);
}

/** All matrices and vectors of a model, with names. */
function* matricesOf({ embed, head, norm, layers }: ModelSources): Generator<readonly [string, MatrixSource]> {
  yield ["embed", embed];
  yield ["norm", norm];
  if (head) yield ["head", head];
  for (const [i, layer] of layers.entries()) {
    yield [`qkv ${i}`, concatRows(`qkv ${i}`, layer.qkv)];
    yield [`wo ${i}`, layer.wo];
    yield [`gate ${i}`, layer.gate!];
    yield [`norms ${i}`, concatRows("norms", [layer.attnNorm, layer.ffnNorm])];
    for (const [e, expert] of layer.experts.entries())
      for (const name of ["w1", "w3", "w2"] as const) yield [`${name} of ${e} ${i}`, expert[name]];
  }
}

const FILES: readonly (readonly [name: string, weights: string, layer: object])[] = [
  ["k2-Q4_K_M", "q4_k (with q6_k)", { q: "q4_k", k: "q4_k", v: "q6_k", o: "q4_k", up: "q4_k", down: "q6_k" }],
  ["t2-MXFP4_MOE", "mxfp4 (with q8)", { q: "q8", k: "q8", v: "q8", o: "q8", up: "mxfp4", down: "mxfp4" }],
  ["t2-Q4_1-old-experts", "q4_1 (with q8)", { q: "q4_1", k: "q4_1", v: "q4_1", o: "q4_1", up: "q4_1", down: "q4_1" }],
  ["k1-Q3_K_M", "q3_k (with q4_k, q6_k, q5_k)", { q: "q3_k", k: "q3_k", v: "q5_k", o: "q4_k", up: "q3_k" }],
  ["t2-BF16", "bf16", { q: "bf16", up: "bf16", down: "bf16" }],
];

describe("a packed folder of a GGUF file", () => {
  for (const [name, weights, layer] of FILES) {
    const { path, skip } = inShared(`fixtures/gguf/${name}.gguf`);
    it.skipIf(skip)(titled(`of ${name} has its formats and its values, to the bit`, skip), async () => {
      const to = temporary();
      const made = await quantize(path, to, { threads: 2 });
      expect(made).toMatchObject({ weights, roundedAgain: [] });
      await verifyQuantized(to);
      const { quantization_config } = JSON.parse(readFileSync(join(to, "config.json"), "utf8"));
      if (quantization_config.format === 2) expect(quantization_config.formats.layers.at(-1)).toMatchObject(layer);
      const [before, after] = [await sourcesOf(path), await sourcesOf(to)];
      const packed = new Map(matricesOf(after));
      let compared = 0;
      for (const [what, matrix] of matricesOf(before)) {
        expect(Buffer.compare(await values(packed.get(what)!), await values(matrix)), what).toBe(0);
        compared++;
      }
      expect(compared).toBe(packed.size);
      expect((await quantize(path, to, { threads: 1 })).written).toBe(0);
    });
  }

  const { path, skip } = inShared("fixtures/gguf/k2-Q4_K_M.gguf");
  it.skipIf(skip)(titled("is written again only if another format is asked for", skip), async () => {
    const to = temporary();
    const made = await quantize(path, to, { weights: "q8", threads: 2 });
    expect(made).toMatchObject({ weights: "q8", roundedAgain: ["q4_k", "q6_k"] });
    await expect(quantize(path, to)).rejects.toThrow(/holds q8 weights .* to write q4_k \(with q6_k\) weights/);
  });

  it.skipIf(skip)(titled("takes a text to calibrate by only where weights are rounded", skip), async () => {
    const calibrate = `${temporary()}.txt`;
    writeFileSync(calibrate, "a short text");
    const to = temporary();
    await expect(quantize(path, to, { calibrate })).rejects.toThrow(/calibrate: all matrices of .* stay as they are/);
    await expect(quantize(path, to, { calibrate, mix: "q2_k" })).rejects.toThrow(/a text of at least 64 tokens/);
  });

  const ids = [1, 17, 60, 99, 200, 5, 31];
  const left = skip ?? leftToCi;
  it.skipIf(skip)(titled("generates the file's own tokens, whole and with two experts a layer", skip), async () => {
    const to = temporary();
    await quantize(path, to, { threads: 2 });
    const tokens: number[][] = [];
    const stats: (readonly [string, string | null])[] = [];
    for (const [where, expertSlots] of [
      [path, 4],
      [to, 4],
      [to, 2],
    ] as const) {
      const model = await open(where, { backend: "cpu", expertSlots, context: 64, threads: 2 });
      onTestFinished(() => model.close());
      const session = model.session();
      const out: number[] = [];
      for await (const piece of session.generate(ids, { temperature: 0, ignoreEos: true, maxTokens: 12 }))
        out.push(...piece.ids);
      tokens.push(out);
      const { weights, repacked } = model.stats();
      stats.push([weights, repacked]);
    }
    expect(tokens[1]).toEqual(tokens[0]);
    expect(tokens[2]).toEqual(tokens[0]);
    expect(new Set(stats.map(String))).toEqual(new Set(["q4_k (with q6_k),"]));
  });

  it.skipIf(left)(titled("a format that is asked for replaces the file's, and that is said", left), async () => {
    const model = await open(path, { backend: "cpu", weights: "q4", context: 64 });
    onTestFinished(() => model.close());
    expect(model.stats()).toMatchObject({ weights: "q4", repacked: "q4_k (with q6_k)" });
    const exact = await open(path, { backend: "cpu", weights: "f32", context: 64 });
    onTestFinished(() => exact.close());
    expect(exact.stats()).toMatchObject({ weights: "f32", repacked: null });
  });
});
