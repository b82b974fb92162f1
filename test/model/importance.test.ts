// Calibration: what matrices are multiplied with, and the error that weights are packed with then.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { bindSources, readArchitecture } from "../../src/model/families/index.ts";
import type { LayerSources } from "../../src/model/family.ts";
import { Importance } from "../../src/model/importance.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { openFolder } from "../../src/weights/folder.ts";
import { nodeFiles } from "../../src/weights/node_files.ts";
import { type CalibrateOptions, calibrate, calibrationText } from "../../src/wiring/node_calibrate.ts";
import { quantize } from "../../src/wiring/node_quantize.ts";
import { inRepo } from "../support/fixtures.ts";

const fixture = inRepo("test/fixtures/mixtral/bf16-odd-window-shards");

async function bound() {
  const folder = await openFolder(await nodeFiles(fixture));
  onTestFinished(() => folder.close());
  const architecture = readArchitecture(folder.config, fixture);
  return { architecture, sources: bindSources(architecture, folder.source) };
}

const matricesOf = ({ qkv, wo, experts }: LayerSources) => [
  ...qkv,
  wo,
  ...experts.flatMap(({ w1, w3, w2 }) => [w1, w3, w2]),
];

/** Gives the same ids for every text. */
const tokenizerOf = (count: number) =>
  ({ encode: () => Array.from({ length: count }, (_, i) => (7 * i) % 90) }) as unknown as Tokenizer;

describe("Importance", () => {
  it("is the mean square of inputs, 1 on average; experts that few reach tend to the layer's", async () => {
    const { sources } = await bound();
    const { wo, experts } = sources.layers[0]!;
    const importance = new Importance();
    const rows = Float32Array.from({ length: 2 * wo.cols }, (_, i) => (i % wo.cols === 0 ? 3 : 1));
    importance.input(wo.name, wo.cols, rows);
    const D = experts[0]!.w1.cols;
    const F = experts[0]!.w2.cols;
    const row = (first: number, n: number) => Float32Array.from({ length: n }, (_, i) => (i === 0 ? first : 1));
    for (let t = 0; t < 500; t++) importance.expert(0, 0, row(5, D), row(2, F), Float32Array.of(1));
    importance.expert(0, 1, row(1, D), row(2, F), Float32Array.of(0.5));
    const [layer] = importance.apply(sources).layers;
    const ratio = (w: Float32Array | undefined) => w![0]! / w![1]!;
    expect(ratio(layer!.wo.importance)).toBeCloseTo(9, 4);
    expect(layer!.wo.importance!.reduce((a, b) => a + b, 0) / wo.cols).toBeCloseTo(1, 4);
    expect(ratio(layer!.experts[0]!.w1.importance)).toBeCloseTo(25, 0);
    expect(ratio(layer!.experts[1]!.w3.importance)).toBeGreaterThan(20); // one token of its own
    expect(ratio(layer!.experts[0]!.w2.importance)).toBeCloseTo(4, 1);
  });
});

describe("calibrate", () => {
  it("sees every matrix of every layer, whatever computes and on how many threads", async () => {
    const { architecture, sources } = await bound();
    const progress: number[] = [];
    const run = (options: CalibrateOptions) => calibrate(architecture, sources, tokenizerOf(300), "", options);
    const onProgress = (done: number) => progress.push(done);
    const one = (await run({ threads: 2, onProgress })).apply(sources);
    const two = (await run({ threads: 1 })).apply(sources);
    const plain = (await run({ instructions: "plain" })).apply(sources);
    expect(progress.slice(0, 2)).toEqual([256, 300]);
    for (const [i, layer] of one.layers.entries()) {
      const [found, expected] = [layer, plain.layers[i]!].map((of) => matricesOf(of));
      for (const [m, source] of found!.entries()) {
        expect(source.importance, source.name).toHaveLength(source.cols);
        expect(source.importance!.every((w) => w > 0 && Number.isFinite(w))).toBe(true);
        // SIMD sums in another order.
        for (const [c, w] of expected![m]!.importance!.entries())
          expect(source.importance![c]! / w, source.name).toBeCloseTo(1, 3);
      }
      const { w2 } = layer.experts[0]!;
      const row = new Float32Array(w2.cols);
      await w2.readRows(0, 1, row);
      expect(row.some((w) => w !== 0)).toBe(true);
      expect(matricesOf(two.layers[i]!).map((of) => of.importance)).toEqual(found!.map((of) => of.importance));
    }
  });

  it("refuses a text of a few words", async () => {
    const { architecture, sources } = await bound();
    await expect(calibrate(architecture, sources, tokenizerOf(20), "")).rejects.toThrow(/at least 64 tokens/);
  });

  it("reads UTF-8 text from a file, and says what else is there", async () => {
    const folder = mkdtempSync(join(tmpdir(), "hotset-text-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, "text");
    writeFileSync(path, "\u00e9".repeat(600_000)); // its first 2^20 bytes, whole characters
    expect(await calibrationText(path)).toBe("\u00e9".repeat(2 ** 19));
    writeFileSync(path, `x${"\u00e9".repeat(600_000)}`); // a character is cut
    expect(await calibrationText(path)).toBe(`x${"\u00e9".repeat(2 ** 19 - 1)}`);
    writeFileSync(path, Uint8Array.of(0x61, 0xff, 0x61));
    const message = (name: string) => calibrationText(name).catch((error: Error) => `${error.name}: ${error.message}`);
    expect(await message(path)).toMatch(/^RequestError: calibrate: .*text: expected UTF-8 text/);
    expect(await message(`${path}-none`)).toMatch(/^RequestError: calibrate: .*text-none cannot be read: ENOENT/);
    expect(await message(folder)).toMatch(/^RequestError: calibrate: .* cannot be read: EISDIR/);
  });

  it("is refused for a format without scales", async () => {
    const made = quantize("synthetic:mixtral-8x7b?layers=1", "/nowhere", { weights: "f16", calibrate: "x" });
    await expect(made).rejects.toThrow(/f16 has no scales to choose by a text/);
  });
});
