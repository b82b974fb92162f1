// Embeddings against transformers' logits: the head is linear, so the head of the mean of hidden
// states is the mean of logits.

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { RequestError } from "../../src/errors.ts";
import { open } from "../../src/index.ts";
import { openFolder } from "../../src/weights/folder.ts";
import { nodeFiles } from "../../src/weights/node_files.ts";
import { backends } from "../support/backends.ts";
import { inRepo } from "../support/fixtures.ts";

const FOLDERS = [
  ["bf16-odd-window-shards", "lm_head.weight"],
  ["f16-fused-v5-tied", "model.embed_tokens.weight"],
] as const;

describe.each(backends)("embed() on $name", ({ options }) => {
  it.each(FOLDERS)("of %s is the mean of transformers' hidden states, at length 1", async (name, headName) => {
    const folder = inRepo(`test/fixtures/mixtral/${name}`);
    const { ids, logits } = JSON.parse(readFileSync(`${folder}/expected.json`, "utf8")) as {
      ids: number[];
      logits: number[][];
    };
    const files = await nodeFiles(folder);
    const { source, close } = await openFolder(files);
    const matrix = source.matrix(headName);
    const head = new Float32Array(matrix.rows * matrix.cols);
    await matrix.readRows(0, matrix.rows, head);
    await close();
    const mean = logits[0]!.map((_, v) => logits.reduce((sum, row) => sum + row[v]!, 0) / logits.length);

    for (const chunk of options.backend === "cpu" ? [8, 64] : [8]) {
      const model = await open(folder, { ...options, weights: "f32", kv: "f32", chunk });
      const found = await model.embed(ids);
      const before = model.stats().blocks;
      expect(found).toHaveLength(matrix.cols);
      expect(Math.hypot(...found)).toBeCloseTo(1, 5);
      const image = mean.map((_, v) => found.reduce((sum, x, d) => sum + x * head[v * matrix.cols + d]!, 0));
      const dot = image.reduce((sum, x, v) => sum + x * mean[v]!, 0);
      expect(dot / (Math.hypot(...image) * Math.hypot(...mean))).toBeGreaterThan(1 - 1e-6);
      expect(before.free).toBe(before.blocks);
      await model.close();
    }
  });
});

describe("embed()", () => {
  it("refuses what has no meaning, and stops for a signal", async () => {
    const model = await open(inRepo("models/tales"), { backend: "cpu", weights: "q8", context: 64 });
    await expect(model.embed([])).rejects.toThrow(RequestError);
    await expect(model.embed([4096])).rejects.toThrow(/embed: token 0/);
    await expect(model.embed(new Array<number>(65).fill(1))).rejects.toThrow(/65 tokens.*64/);
    await expect(model.embed([1], AbortSignal.abort(new Error("no")))).rejects.toThrow("no");
    expect(await model.embed([1, 300])).not.toEqual(await model.embed([1, 301]));
    await model.close();
  });
});
