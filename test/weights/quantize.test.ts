// What quantize() writes: its bytes by the definition of records, its files for other readers, and
// the model that it is.

import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SafeTensor } from "safetensors";
import { describe, expect, it, onTestFinished } from "vitest";
import { AUTOMATIC, FORMATS, type PackableName } from "../../kernels/formats/index.ts";
import type { Ops } from "../../src/backend/ops.ts";
import { open, quantize, verifyQuantized } from "../../src/index.ts";
import { bindSources, readArchitecture } from "../../src/model/families/index.ts";
import { expertShape, keep } from "../../src/model/formats.ts";
import { RECORD_ALIGN } from "../../src/tensor/record.ts";
import type { ExpertSource } from "../../src/tensor/types.ts";
import { openFolder } from "../../src/weights/folder.ts";
import { nodeFiles } from "../../src/weights/node_files.ts";
import { readSafetensorsHeader } from "../../src/weights/safetensors.ts";
import { NO_ADAPTER, noAdapter, usualAdapters } from "../support/adapters.ts";
import { cpuOps } from "../support/cpu.ts";
import { inRepo, titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { loadFolder } from "../support/model.ts";
import { recordOf } from "../support/records.ts";
import { some } from "../support/some.ts";

const FIXTURES = ["bf16-odd-window-shards", "f16-fused-v5-tied", "f32-all-experts"].map((name) =>
  inRepo(`test/fixtures/mixtral/${name}`),
);
const tales = inRepo("models/tales");

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "hotset-quantize-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "out");
}

async function quantized(from: string, weights: PackableName): Promise<string> {
  const to = temporary();
  await quantize(from, to, { weights, threads: 2 });
  return to;
}

const ids = [1, 9, 30, 4, 55, 17, 2, 40, 63, 8, 21];

async function logits(folder: string, ops: Ops, weights: PackableName): Promise<Float32Array> {
  const model = await loadFolder(folder, ops, weights, "f32");
  try {
    return (await model.run(ids)).logits;
  } finally {
    model.close();
  }
}

function expectSame(got: Float32Array, want: Float32Array): void {
  expect(got.length).toBe(want.length);
  expect(got.some((value) => value !== 0 && Number.isFinite(value))).toBe(true);
  expect(Buffer.compare(new Uint8Array(got.buffer), new Uint8Array(want.buffer))).toBe(0);
}

const onAdapters = usualAdapters().map((adapter) => ({ ...adapter, title: `webgpu ${adapter.name}` }));

describe.each(some([...AUTOMATIC].reverse(), 1))("%s", (weights) => {
  describe.each(some([...FIXTURES, tales], 1))("of %s", (from) => {
    it("is the model that the original is at that precision, bit for bit, on the CPU backend", async () => {
      const to = await quantized(from, weights);
      for (const instructions of [undefined, "plain"] as const) {
        const make = () => cpuOps({ maxTokens: 8, ...(instructions && { instructions }) });
        expectSame(await logits(to, await make(), weights), await logits(from, await make(), weights));
      }
    });

    it("holds experts as the definition of a record has them, each at a multiple of a page of its file", async () => {
      const to = await quantized(from, weights);
      const original = await openFolder(await nodeFiles(from));
      onTestFinished(() => original.close());
      const { layers } = bindSources(readArchitecture(original.config, from), original.source);
      const shape = expertShape(layers[0]!, keep(FORMATS[weights]), 0);
      const files = await nodeFiles(to);
      onTestFinished(() => files.close());
      const shards = readdirSync(to)
        .filter((name) => name.endsWith(".safetensors"))
        .sort();
      expect(shards).toHaveLength(layers.length + 1);
      for (const [i, { experts }] of layers.entries()) {
        const { tensors } = await readSafetensorsHeader(files, shards[i]!);
        for (const [e, expert] of [...experts.entries()].slice(0, 2)) {
          const { begin, end } = tensors.get(`model.layers.${i}.block_sparse_moe.experts.${e}.record`)!;
          expect(begin % RECORD_ALIGN).toBe(0);
          const bytes = new Uint8Array(end - begin);
          await files.read(shards[i]!, begin, bytes);
          const want = recordOf(shape, await valuesOf(expert));
          expect(Buffer.compare(bytes, want), `layer ${i}, expert ${e}`).toBe(0);
        }
      }
    });
  });

  const none = noAdapter ? [] : [{ title: "webgpu (no adapter on this machine: with CI=true that is a failure)" }];
  for (const { title, open } of onAdapters.length > 0 ? onAdapters : (none as typeof onAdapters)) {
    const left = weights === "q4" ? null : leftToCi;
    it.skipIf(left)(
      titled(`is the same model on ${title}, also where a matrix takes several bindings`, left),
      async () => {
        for (const [from, limits] of [
          [FIXTURES[0]!, [undefined, 20_000]],
          ...(weights === "q4" && leftToCi === null ? ([[tales, [undefined]]] as const) : []),
        ] as const) {
          const to = await quantized(from, weights);
          for (const maxWeightBytes of limits) {
            const make = () => open({ maxTokens: 16, ...(maxWeightBytes && { maxWeightBytes }) });
            expectSame(await logits(to, await make(), weights), await logits(from, await make(), weights));
          }
        }
      },
    );
  }
});

if (noAdapter) console.warn(`tests on WebGPU ${NO_ADAPTER}`);

async function valuesOf({ w1, w3, w2 }: ExpertSource) {
  const read = async ({ rows, cols, readRows }: ExpertSource["w1"], of: ExpertSource["w1"]) => {
    const values = new Float32Array(rows * cols);
    await readRows.call(of, 0, rows, values);
    return values;
  };
  return { w1: await read(w1, w1), w3: await read(w3, w3), w2: await read(w2, w2) };
}

describe("a quantized folder", () => {
  it("is read by the npm package safetensors: every tensor, with the bytes that the checksums are of", async () => {
    const to = await quantized(FIXTURES[0]!, "q4");
    const { files } = JSON.parse(readFileSync(join(to, "hotset-checksums.json"), "utf8")) as {
      files: Record<string, { tensor: string | null; begin: number; end: number; sha256: string }[]>;
    };
    expect(Object.keys(files).sort()).toEqual(
      readdirSync(to)
        .filter((name) => name !== "hotset-checksums.json")
        .sort(),
    );
    const { weight_map } = JSON.parse(readFileSync(join(to, "model.safetensors.index.json"), "utf8")) as {
      weight_map: Record<string, string>;
    };
    const seen = new Map<string, string>();
    for (const name of new Set(Object.values(weight_map))) {
      // That package throws on __metadata__ and looks from the start of the ArrayBuffer: blank the
      // one, copy for the other.
      const bytes = readFileSync(join(to, name));
      const start = bytes.indexOf('"__metadata__":{');
      bytes.fill(" ", start, bytes.indexOf("},", start) + 2);
      const read = new SafeTensor(new Uint8Array(bytes));
      for (const { tensor, sha256 } of files[name]!) {
        if (tensor === null) continue;
        seen.set(tensor, name);
        expect(createHash("sha256").update(read.getTensor(tensor)).digest("hex"), tensor).toBe(sha256);
      }
    }
    expect(Object.fromEntries(seen)).toEqual(weight_map);
  });

  it("has the small files of the original as they were, and its configuration", async () => {
    const to = await quantized(tales, "q8");
    const copied = ["tokenizer.json", "tokenizer.model", "tokenizer_config.json", "generation_config.json"];
    for (const name of copied) expect(readFileSync(join(to, name))).toEqual(readFileSync(join(tales, name)));
    expect(readdirSync(to).filter((name) => name.startsWith("hotset-quantize"))).toEqual([]);
    expect(statSync(join(to, "model-00007-of-00007.safetensors")).size).toBeGreaterThan(0);
    expect(JSON.parse(readFileSync(join(to, "config.json"), "utf8"))).toEqual({
      ...(JSON.parse(readFileSync(join(tales, "config.json"), "utf8")) as object),
      quantization_config: { quant_method: "hotset", format: 1, weights: "q8" },
    });
    expect(await verifyQuantized(to)).toBeGreaterThan(20e6);
  });

  it("is opened at its precision, and at no other", async () => {
    const to = await quantized(tales, "q8");
    const model = await open(to, { backend: "cpu" });
    onTestFinished(() => model.close());
    expect(model.stats().weights).toBe("q8");
    const original = await open(tales, { backend: "cpu", weights: "q8" });
    onTestFinished(() => original.close());
    expectSame(await model.logits(ids), await original.logits(ids));
    await expect(open(to, { backend: "cpu", weights: "q4" })).rejects.toThrow(/holds q8 weights, q4 was asked for/);
    await expect(open(to, { backend: "cpu", ram: 1000 })).rejects.toThrow(/too small: .* q8 weights [^,]*is \d+ MiB$/);
    await expect(quantize(to, temporary())).rejects.toThrow(/quantized already \(q8/);
  });

  it("is the same model where its records come and go", async () => {
    const to = await quantized(tales, "q4");
    const model = await open(to, { backend: "cpu", expertSlots: 2 });
    onTestFinished(() => model.close());
    const original = await open(tales, { backend: "cpu", weights: "q4" });
    onTestFinished(() => original.close());
    // A token's experts are added up, with one rounding a product and sum, in the order in which
    // they arrive.
    const want = await original.logits(ids);
    const off = (await model.logits(ids)).reduce((most, value, i) => Math.max(most, Math.abs(value - want[i]!)), 0);
    expect(off).toBeLessThan(1e-4);
    const { experts } = model.stats();
    expect(experts?.recordBytes).toBe(196_608);
    expect(experts!.main.bytes.demand).toBeGreaterThan(0);
  });

  it("of a synthetic model is that model", async () => {
    const url =
      "synthetic:mixtral-8x7b?layers=2&hidden_size=64&intermediate_size=96&vocab_size=100&num_attention_heads=8";
    const to = await quantized(url, "q4");
    const [model, original] = [await open(to, { backend: "cpu" }), await open(url, { backend: "cpu", weights: "q4" })];
    onTestFinished(() => Promise.all([model.close(), original.close()]).then(() => {}));
    expectSame(await model.logits(ids), await original.logits(ids));
  });
});
