import { describe, expect, it } from "vitest";
import { WeightsError } from "../../src/errors.ts";
import { readJson, readText } from "../../src/weights/files.ts";
import { openFolder } from "../../src/weights/folder.ts";
import { f32, memoryFiles, tensorFile } from "./memory_files.ts";

const config = '{"model_type":"mixtral"}';
const index = (map: unknown): string => JSON.stringify({ metadata: { total_size: 1 }, weight_map: map });
const one = tensorFile({ a: f32(1, 2), b: f32(3) });
const two = tensorFile({ c: f32(4, 5, 6) });
const sharded = {
  "config.json": config,
  "generation_config.json": '{"eos_token_id":2}',
  "model.safetensors.index.json": index({ a: "s1", b: "s1", c: "s2" }),
  s1: one,
  s2: two,
};

describe("a folder of weights", () => {
  it("is one file", async () => {
    const folder = await openFolder(memoryFiles({ "config.json": config, "model.safetensors": one }));
    expect(folder.config).toEqual({ model_type: "mixtral" });
    expect(folder.generationConfig).toBeUndefined();
    expect([...folder.source.names()]).toEqual(["a", "b"]);
  });

  it("is several files with an index", async () => {
    const folder = await openFolder(memoryFiles(sharded));
    expect(folder.generationConfig).toEqual({ eos_token_id: 2 });
    const values = new Float32Array(3);
    await folder.source.matrix("c").readRows(0, 1, values);
    expect([...values]).toEqual([4, 5, 6]);
    expect(folder.source.has("a")).toBe(true);
    expect(folder.source.has("toString")).toBe(false);
    expect(folder.source.shape("a")).toEqual([2]);
  });

  it("prefers the one file to an index beside it, as transformers does", async () => {
    const folder = await openFolder(memoryFiles({ ...sharded, "model.safetensors": two }));
    expect([...folder.source.names()]).toEqual(["c"]);
  });

  it("takes a tensor that two files hold from the file that the index names", async () => {
    const s2 = tensorFile({ c: f32(4, 5, 6), a: f32(8, 9) });
    const folder = await openFolder(memoryFiles({ ...sharded, s2 }));
    const values = new Float32Array(2);
    await folder.source.matrix("a").readRows(0, 1, values);
    expect([...values]).toEqual([1, 2]);
  });

  it("reads NaN and Infinity in JSON, as Python writes them", async () => {
    const text = '{"a": NaN, "b": [Infinity, -Infinity], "c": "NaN \\" -Infinity", "d\\\\": NaN}';
    const folder = await openFolder(memoryFiles({ ...sharded, "config.json": text }));
    expect(folder.config).toEqual({
      a: null,
      b: [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
      c: 'NaN " -Infinity',
      "d\\": null,
    });
  });

  it("reads headers only", async () => {
    const reads: [string, number, number][] = [];
    await openFolder(memoryFiles(sharded, reads));
    const data = reads.filter(([name, offset, size]) => name === "s1" && offset + size > one.length - 12);
    expect(data).toEqual([]);
  });

  const { "config.json": _config, ...noConfig } = sharded;
  const { s1: _s1, ...noShard } = sharded;
  const { s1: _1, s2: _2, ...noShards } = sharded;
  it.each([
    ["no config.json", noConfig, "config.json is missing; the folder holds generation_config.json"],
    ["an empty folder", {}, "config.json is missing; no files are listed"],
    ["a config.json that is no JSON", { ...sharded, "config.json": "{" }, "config.json is not valid JSON"],
    [
      "a config.json that is no UTF-8",
      { ...sharded, "config.json": Uint8Array.of(0x22, 0xff, 0x22) },
      "not valid UTF-8",
    ],
    ["a huge config.json", { ...sharded, "config.json": new Uint8Array(5e6) }, "config.json is 5000000 bytes"],
    ["a broken generation_config.json", { ...sharded, "generation_config.json": "" }, "generation_config.json is not"],
    ["no weights", { "config.json": config, "model.bin": "" }, "safetensors; the folder holds config.json, model.bin"],
    ["an index that is no object", { ...sharded, "model.safetensors.index.json": "[]" }, '"weight_map"'],
    ["an index without weight_map", { ...sharded, "model.safetensors.index.json": "{}" }, '"weight_map"'],
    ["an empty weight_map", { ...sharded, "model.safetensors.index.json": index({}) }, "weight_map is empty"],
    ["a path that leaves", { ...sharded, "model.safetensors.index.json": index({ a: "../s1" }) }, "tensor a: expected"],
    ["an absolute path", { ...sharded, "model.safetensors.index.json": index({ a: "/etc/x" }) }, "tensor a: expected"],
    ["a number for a file", { ...sharded, "model.safetensors.index.json": index({ a: 5 }) }, "found 5"],
    ["one missing shard", noShard, "not there: s1;"],
    ["all shards missing", noShards, "not there: s1, s2;"],
    [
      "a thousand files that are not there",
      {
        ...sharded,
        "model.safetensors.index.json": index(
          Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`t${i}`, `f${1000 + i}`])),
        ),
      },
      "f1018, f1019 and others; download them",
    ],
    [
      "a tensor in the wrong shard",
      { ...sharded, "model.safetensors.index.json": index({ a: "s2", c: "s2" }) },
      "a (s2)",
    ],
    [
      "a tensor in two shards that the index does not name",
      { ...sharded, s1: tensorFile({ a: f32(1, 2), b: f32(3), z: f32(1) }), s2: tensorFile({ c: f32(1), z: f32(1) }) },
      "tensor z is both in s1 and in s2",
    ],
    ["a truncated shard", { ...sharded, s2: two.subarray(0, -3) }, "s2 is truncated"],
    ["a shard cut within the header", { ...sharded, s2: two.subarray(0, 20) }, "bytes are missing"],
    ...(
      [
        ["a shard", "s2"],
        ["config.json", "config.json"],
        ["the index", "model.safetensors.index.json"],
      ] as const
    ).flatMap(([what, name]): [string, Record<string, string | Uint8Array>, string][] => [
      [
        `a pointer of Git LFS instead of ${what}`,
        { ...sharded, [name]: "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4911\n" },
        `${name} is not the file itself but a pointer to it, as Git LFS leaves it (the file has 4911 bytes): run \`git lfs pull\``,
      ],
      [
        `a pointer of Xet instead of ${what}`,
        { ...sharded, [name]: "# xet version 0\nfilesize = 4911\nhash = '00'\n" },
        `${name} is not the file itself but a pointer to it, as Xet storage leaves it (the file has 4911 bytes): download`,
      ],
      [
        `a web page instead of ${what}`,
        { ...sharded, [name]: "<!DOCTYPE html>\n<html></html>" },
        `${name} is a web page`,
      ],
    ]),
  ])("refuses %s", async (_what, contents, text) => {
    let closed = 0;
    const files = { ...memoryFiles(contents), close: async () => void closed++ };
    const error = await openFolder(files).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(WeightsError);
    expect((error as Error).message).toContain(text);
    expect((error as Error).message).toContain("folder");
    expect(closed).toBe(1);
  });

  it("takes an index whose names are those of Object.prototype", async () => {
    const contents = {
      "config.json": config,
      "model.safetensors.index.json": '{"weight_map":{"__proto__":"s","constructor":"s"}}',
      s: tensorFile({ ["__proto__"]: f32(1), constructor: f32(2) }),
    };
    const folder = await openFolder(memoryFiles(contents));
    expect([...folder.source.names()].sort()).toEqual(["__proto__", "constructor"]);
  });
});

describe("small files", () => {
  const files = memoryFiles({ t: "héllo", j: '\ufeff{"a":1}', bad: Uint8Array.of(0xc3) });
  it("are read whole, within a limit", async () => {
    expect(await readText(files, "t", 6)).toBe("héllo");
    await expect(readText(files, "t", 5)).rejects.toThrow("t is 6 bytes");
    expect(await readText(files, "none", 5)).toBeNull();
    expect(await readJson(files, "j", 100)).toEqual({ a: 1 });
    expect(await readJson(files, "none", 100)).toBeUndefined();
    await expect(readText(files, "bad", 5)).rejects.toThrow("UTF-8");
  });
});
