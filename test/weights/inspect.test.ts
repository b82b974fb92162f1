import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { inspect } from "../../src/cli/inspect.ts";
import { WeightsError } from "../../src/errors.ts";
import { type ArchitectureReport, inspectFile, inspectFolder } from "../../src/weights/inspect.ts";
import { f32, memoryFiles, rawFile, tensorFile } from "./memory_files.ts";

const tales = fileURLToPath(new URL("../../models/tales", import.meta.url));
const architecture: ArchitectureReport = {
  config: {},
  parameters: { total: 3, active: 2 },
  memory: { f32: 4, f16: 3, q8: 2, q4: 1 },
  kvPerPosition: 8,
  kv: { f16: { position: 8, windows: 0 } },
};
const contents = {
  "config.json": "{}",
  "model.safetensors": tensorFile({
    a: f32(1, 2, 3),
    b: { dtype: "BF16", shape: [2, 2], data: new Uint16Array(4) },
    c: { dtype: "BF16", shape: [1], data: new Uint16Array(1) },
  }),
};

describe("inspecting models/tales", () => {
  it("reports what its README says", async () => {
    const report = await inspect(tales);
    if (report.kind !== "folder") throw new Error("not a folder");
    expect(report.problem).toBeNull();
    expect(report.architecture?.parameters.total).toBe(19_807_488);
    // 6 layers, 4 heads of 32 numbers for keys and for values; in q8 with 8 bytes a head of scales.
    const numbers = 6 * 4 * 2 * 32;
    expect(report.architecture?.kv).toEqual({
      f32: { position: 4 * numbers, windows: 0 },
      f16: { position: 2 * numbers, windows: 0 },
      q8: { position: (40 / 32) * numbers, windows: 0 },
    });
    // "about 6.4 million used per token" there does not count the embedding table, a row of which
    // is used.
    const active = report.architecture!.parameters.active - 4096 * 256;
    expect((active / 1e6).toFixed(1)).toBe("6.4");
    expect(report.architecture?.config).toMatchObject({ hidden_size: 256, num_hidden_layers: 6, vocab_size: 4096 });
    expect(report.dtypes).toMatchObject([{ dtype: "BF16", elements: 19_807_488, bytes: 39_614_976 }]);
    expect(report.tokenizer).toBe("tokenizer.json (BPE)");
    expect(report.chatTemplate).toBeNull();
    const { memory } = report.architecture!;
    // All columns are multiples of 32; router and norms [6 * (8 + 2) + 1, 256] stay f32.
    const small = (6 * (8 + 2) + 1) * 256;
    const large = 19_807_488 - small;
    expect(memory).toEqual({
      f32: 4 * large + 4 * small,
      bf16: 2 * large + 4 * small,
      q8: 1.0625 * large + 4 * small,
      q4: 0.5625 * large + 4 * small,
    });
  });

  it("reports on its weights file alone", async () => {
    const report = await inspect(`${tales}/model.safetensors`);
    if (report.kind !== "file") throw new Error("not a file");
    expect(report.metadata).toEqual({ format: "pt" });
    expect(report.tensors.at(-1)?.end).toBe(report.bytes);
    expect(report.tensors.reduce((sum, t) => sum + t.shape.reduce((a, b) => a * b, 1), 0)).toBe(19_807_488);
  });

  it("refuses what is neither folder nor safetensors file", async () => {
    await expect(inspect(`${tales}/gone`)).rejects.toThrow("found nothing");
    await expect(inspect(`${tales}/config.json`)).rejects.toThrow(WeightsError);
  });
});

describe("a report", () => {
  it("totals tensors by dtype, the largest first", async () => {
    const { dtypes, files, bytes } = await inspectFolder(memoryFiles(contents), () => architecture);
    expect(dtypes).toEqual([
      { dtype: "F32", tensors: 1, elements: 3, bytes: 12 },
      { dtype: "BF16", tensors: 2, elements: 5, bytes: 10 },
    ]);
    expect([files, bytes]).toEqual([1, contents["model.safetensors"].length]);
  });

  it("says why a model cannot be run, beside what it holds", async () => {
    const report = await inspectFolder(memoryFiles(contents), (_config, where) => {
      throw new WeightsError(`${where}: model_type: not supported`);
    });
    expect(report.architecture).toBeNull();
    expect(report.problem).toBe("folder: config.json: model_type: not supported");
    expect(report.dtypes.length).toBe(2);
  });

  it.each([
    [{}, null, null],
    [{ "tokenizer.json": '{"model":{"type":"BPE"}}' }, "tokenizer.json (BPE)", null],
    [{ "tokenizer.json": "null" }, "tokenizer.json", null],
    [
      { "tokenizer.model": "", "tokenizer_config.json": '{"chat_template":"x"}' },
      "tokenizer.model (SentencePiece)",
      "tokenizer_config.json",
    ],
    [{ "tokenizer_config.json": '{"chat_template":null}' }, null, null],
    [{ "chat_template.jinja": "x" }, null, "chat_template.jinja"],
  ])("of %j finds the tokenizer %s and the template %s", async (more, tokenizer, template) => {
    const report = await inspectFolder(memoryFiles({ ...contents, ...more }), () => architecture);
    expect([report.tokenizer, report.chatTemplate]).toEqual([tokenizer, template]);
  });

  it("of a file keeps odd names, and can be written as JSON", async () => {
    const header =
      '{"__metadata__":{"__proto__":"m"},"__proto__":{"dtype":"U8","shape":[0,9223372036854775808],"data_offsets":[0,0]}}';
    const report = await inspectFile(memoryFiles({ x: rawFile(header) }), "x");
    expect(JSON.parse(JSON.stringify(report)).tensors).toEqual([
      { name: "__proto__", dtype: "U8", shape: [0, 2 ** 63], begin: 8 + header.length, end: 8 + header.length },
    ]);
    expect(Object.entries(report.metadata)).toEqual([["__proto__", "m"]]);
  });
});
