// Which GGUF file a path, URL or choice of files means, and which files a split model has.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { type Model, type OpenOptions, open } from "../../../src/browser.ts";
import { inspect } from "../../../src/cli/inspect.ts";
import type { Files } from "../../../src/weights/files.ts";
import { ggufName, openFolder } from "../../../src/weights/folder.ts";
import { openGgufModel } from "../../../src/weights/gguf/folder.ts";
import { inspectGguf } from "../../../src/weights/gguf/inspect.ts";
import { readParts } from "../../../src/weights/gguf/split.ts";
import { httpFolderOrFile } from "../../../src/weights/http_files.ts";
import { nodeFiles } from "../../../src/weights/node_files.ts";
import { pickedFiles } from "../../../src/weights/web_files.ts";
import { inShared, titled } from "../../support/fixtures.ts";
import { writeSparseMixtral } from "../../support/sparse_gguf.ts";
import { memoryFiles } from "../memory_files.ts";
import { type Given, ggufFile, type MadeTensor } from "./make_gguf.ts";
import { checkpoint, convert, keysOf, modelFile } from "./make_model.ts";

const model = modelFile();
const names = ["m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"];

/** One part; `changes` are keys that replace the right ones. */
function part(
  no: number,
  tensors: readonly MadeTensor[],
  total: number,
  changes: Record<string, Given | undefined> = {},
) {
  const split: Record<string, Given | undefined> = {
    "split.no": ["u16", no],
    "split.count": ["u16", 3],
    "split.tensors.count": ["i32", total],
    ...changes,
  };
  const keys = Object.entries(split).flatMap(([key, given]) => (given ? [[key, given] as const] : []));
  return ggufFile({ keys: no === 0 ? [...keysOf(), ...keys] : keys, tensors });
}

/** The model in three parts, the first without tensors. */
function parts(changes: readonly Record<string, Given | undefined>[] = []): Record<string, Uint8Array> {
  const tensors = convert(checkpoint());
  const cut = [[], tensors.slice(0, 5), tensors.slice(5)];
  return Object.fromEntries(names.map((name, no) => [name, part(no, cut[no]!, tensors.length, changes[no])]));
}

const read = (contents: Record<string, Uint8Array>, name: string) => readParts(memoryFiles(contents), name);

describe("a split model", () => {
  it.each(names)("is opened by any part: %s", async (name) => {
    const folder = await openFolder(memoryFiles(parts()), name);
    expect(folder.headers.map(({ file }) => file)).toEqual(names);
    expect(folder.label).toBe(`folder/${names[0]}`);
    const values = new Float32Array(32);
    await folder.source.matrix("model.norm.weight").readRows(0, 1, values);
    expect(values).toEqual(checkpoint().get("model.norm.weight")!.data);
  });

  it("is one model in a folder", async () => {
    expect(await ggufName(memoryFiles({ ...parts(), "README.md": "" }), null)).toBe(names[0]);
  });

  it.each<[string, Record<string, Uint8Array>, string, RegExp]>([
    [
      "a part is missing",
      { [names[1]!]: parts()[names[1]!]! },
      names[1]!,
      /m-00001-of-00003\.gguf, m-00003-of-00003\.gguf are missing/,
    ],
    [
      "a part has another name",
      { "x.gguf": parts()[names[1]!]! },
      "x.gguf",
      /one of 3 parts .* names must end in -00001-of-00003/,
    ],
    [
      "a part is in another place",
      { ...parts(), [names[2]!]: parts()[names[1]!]! },
      names[0]!,
      /split\.no: expected 2, found 1/,
    ],
    [
      "a part is of another model",
      parts([{}, { "split.count": ["u16", 4] }]),
      names[0]!,
      /split\.count: expected 3, found 4/,
    ],
    [
      "a part has no number",
      parts([{}, { "split.no": undefined }]),
      names[0]!,
      /m-00002-of-00003\.gguf: metadata split\.no is missing/,
    ],
    [
      "tensors are missing",
      parts([{ "split.tensors.count": ["i32", 99] }]),
      names[0]!,
      /expected 13 tensors, as the parts hold, found 99/,
    ],
    ["too many parts are claimed", parts([{ "split.count": ["u16", 65535] }]), names[0]!, /expected at most 4096/],
  ])("is refused if %s", async (_, contents, name, problem) => {
    await expect(read(contents, name)).rejects.toThrow(problem);
  });

  it("is refused if two parts hold a tensor", async () => {
    const tensors = convert(checkpoint());
    const contents = { ...parts(), [names[2]!]: part(2, tensors.slice(4), tensors.length) };
    await expect(read(contents, names[0]!)).rejects.toThrow(/tensor blk\.0\.ffn_norm\.weight is both in/);
  });

  it("has keys: a name alone makes no part", async () => {
    expect(await read({ [names[1]!]: model }, names[1]!)).toHaveLength(1);
    expect(await ggufName(memoryFiles({ [names[1]!]: model }), null)).toBe(names[1]);
  });
});

describe("a path", () => {
  it("may be a folder with one model, beside other files", async () => {
    const folder = await openFolder(memoryFiles({ "config.json": "{}", "Model.GGUF": model }));
    expect(folder.config).toMatchObject({ model_type: "mixtral" });
    expect(await folder.files.list()).toContain("config.json");
    expect(await folder.files.list("additional_chat_templates")).toEqual([]);
    const bytes = new Uint8Array((await folder.files.size("config.json"))!);
    await folder.files.read("config.json", 0, bytes);
    expect(JSON.parse(new TextDecoder().decode(bytes))).toEqual(folder.config);
    await expect(folder.files.read("config.json", 1, bytes)).rejects.toThrow(/bytes expected at byte 1/);
    expect(await folder.files.size("gone")).toBeNull();
  });

  it("is refused if the folder holds several models", async () => {
    const files = memoryFiles({ "a.gguf": model, "b.gguf": model });
    await expect(openFolder(files)).rejects.toThrow(
      "folder holds several GGUF models; open one of them: a.gguf, b.gguf",
    );
  });

  it("may be a file of any name that begins as GGUF files do, and of no other kind", async () => {
    const files = memoryFiles({ "sha256-1": model, "x.txt": "text" });
    expect((await openFolder(files, "sha256-1")).config).toMatchObject({ hidden_size: 32 });
    await expect(openFolder(files, "x.txt")).rejects.toThrow(/folder\/x\.txt: expected a folder .* or a GGUF file/);
    const pointer = "version https://git-lfs.github.com/spec/v1\nsize 26\n";
    await expect(openFolder(memoryFiles({ "p.gguf": pointer }))).rejects.toThrow(/Git LFS.*26 bytes/);
  });

  it("on disk may be a file, or a folder that holds one", async () => {
    const folder = mkdtempSync(join(tmpdir(), "hotset-gguf-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, "m.gguf"), model);
    for (const path of [folder, join(folder, "m.gguf")]) {
      const report = await inspect(path);
      expect(report).toMatchObject({ kind: "gguf", path: join(folder, "m.gguf"), problem: null });
    }
  });
});

/** A server of files below https://host/models/. `asked` collects the paths with their queries. */
function server(contents: Readonly<Record<string, Uint8Array>>, asked: string[] = []): typeof fetch {
  return async (input, init) => {
    const { pathname, search } = new URL(String(input));
    asked.push(pathname + search);
    const file = contents[decodeURIComponent(pathname.replace("/models/", ""))];
    if (!file) return new Response(null, { status: 404 });
    const range = /bytes=(\d+)-(\d+)/.exec(new Headers(init?.headers).get("range") ?? "");
    if (!range) return new Response(file.slice());
    const body = file.slice(Number(range[1]), Number(range[2]) + 1);
    const headers = { "content-range": `bytes ${range[1]}-${Number(range[1]) + body.length - 1}/${file.length}` };
    return new Response(body, { status: 206, headers });
  };
}

describe("a URL", () => {
  const opened = async (url: string, contents: Record<string, Uint8Array>, asked?: string[]): Promise<unknown> => {
    const { files, file } = await httpFolderOrFile(url, server(contents, asked));
    return (await openFolder(files, file)).config;
  };

  it("of a GGUF file, with a query for all its parts", async () => {
    const asked: string[] = [];
    const url = `https://host/models/my%20m-00002-of-00003.gguf?download=true`;
    const contents = Object.fromEntries(Object.entries(parts()).map(([name, bytes]) => [`my ${name}`, bytes]));
    expect(await opened(url, contents, asked)).toMatchObject({ hidden_size: 32 });
    expect(new Set(asked)).toEqual(new Set(names.map((name) => `/models/my%20${name}?download=true`)));
    expect(asked.length).toBe(3);
  });

  it("of a file of any name that begins as GGUF files do", async () => {
    expect(await opened("https://host/models/blob?x=1", { blob: model })).toMatchObject({ hidden_size: 32 });
  });

  it("of a folder", async () => {
    const { files, file } = await httpFolderOrFile(
      "https://host/models/m/",
      server({ "m/config.json": new Uint8Array(2) }),
    );
    expect([files.label, file]).toEqual(["https://host/models/m/", null]);
    const other = await httpFolderOrFile("https://host/models/m", server({}));
    expect([other.files.label, other.file]).toEqual(["https://host/models/m", null]);
  });
});

describe("picked files", () => {
  const picked = (contents: Readonly<Record<string, Uint8Array>>): Files =>
    pickedFiles(Object.entries(contents).map(([name, bytes]) => new File([bytes.slice()], name)));

  it("may be one GGUF file, whatever its name, or all parts of a model", async () => {
    for (const contents of [{ "m.gguf": model }, { blob: model }, parts()])
      expect((await openFolder(picked(contents))).config).toMatchObject({ hidden_size: 32 });
  });

  it("are opened in a page", async () => {
    const { [names[0]!]: first } = parts();
    await expect(open([new File([first!.slice()], names[0]!)])).rejects.toThrow(
      /m-00002-of-00003\.gguf, .* are missing/,
    );
  });
});

const tales = inShared("fixtures/gguf/tales-Q4_K_M.gguf");

describe.skipIf(tales.skip !== null)(titled("models/tales as Q4_K_M in a page", tales.skip), () => {
  const options = { backend: "cpu", threads: 1, activations: "f32", context: 64 } as const satisfies OpenOptions;
  const bytes = (): Uint8Array<ArrayBuffer> => new Uint8Array(readFileSync(tales.path));

  async function storyOf(model: Model): Promise<readonly number[]> {
    const ids: number[] = [];
    const greedy = { maxTokens: 8, temperature: 0 };
    for await (const piece of model.session().generate("Once upon a time", greedy)) ids.push(...piece.ids);
    await model.close();
    return ids;
  }

  it("by URL: transformers' tokens, by few requests", async () => {
    const asked: string[] = [];
    vi.stubGlobal("fetch", server({ "tales.gguf": bytes() }, asked));
    onTestFinished(() => {
      vi.unstubAllGlobals();
    });
    const model = await open("https://host/models/tales.gguf", options);
    expect(await storyOf(model)).toEqual([439, 1161, 261, 664, 414, 345, 796, 2446]);
    expect(asked.length).toBeLessThan(12);
  });

  it("as a picked file", async () => {
    const model = await open([new File([bytes()], "tales.gguf")], options);
    expect(await storyOf(model)).toEqual([439, 1161, 261, 664, 414, 345, 796, 2446]);
  });
});

describe("inspecting", () => {
  it("lists tensors, types, parts and metadata of a model that runs", async () => {
    const report = await inspectGguf(memoryFiles(parts()), names[2]!, () => ({
      config: {},
      parameters: { total: 3, active: 2 },
      memory: { f32: 4, f16: 3, q8: 2, q4: 1 },
      kvPerPosition: 8,
      kv: { f16: { position: 8, windows: 0 } },
    }));
    expect(report).toMatchObject({ name: "llama", problem: null, parts: names, tokenizer: null, chatTemplates: [] });
    expect(report.types).toMatchObject([{ type: "F32", tensors: 13, bitsPerWeight: 32 }]);
    expect(report.tensors[0]).toMatchObject({ name: "token_embd.weight", file: names[1], shape: [5, 32] });
    expect(report.metadata).toMatchObject({ "llama.expert_count": "3", "split.count": "3" });
  });

  it("reads the front of a file of 28 GB, and nothing else", async () => {
    const folder = mkdtempSync(join(tmpdir(), "hotset-gguf-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const bytes = writeSparseMixtral(join(folder, "m.gguf"));
    expect(bytes).toBeGreaterThan(28e9);
    const report = await inspect(join(folder, "m.gguf"));
    expect(report).toMatchObject({ problem: null, bytes, architecture: { parameters: { total: 46_702_792_704 } } });
    let read = 0;
    const files = await nodeFiles(folder);
    const counted: Files = {
      label: files.label,
      list: () => files.list(),
      size: (name) => files.size(name),
      read: async (name, offset, into) => {
        read += into.length;
        await files.read(name, offset, into);
      },
      close: () => files.close(),
    };
    const opened = await openFolder(counted);
    await opened.close();
    expect(read).toBeLessThan(4 * 2 ** 20);
  });

  it("lists what is there of one that does not run, and says why", async () => {
    const describeNone = (): never => {
      throw new Error("not asked");
    };
    const keys = keysOf("other", {
      "tokenizer.ggml.model": ["string", "gpt2"],
      "tokenizer.ggml.pre": ["string", "qwen2"],
      "tokenizer.ggml.tokens": ["array", "string", ["a", "b"]],
      "tokenizer.chat_template": ["string", "x".repeat(300)],
      "tokenizer.chat_template.tool_use": ["string", "y"],
    });
    const tensors = [{ name: "t", type: 24, dims: [32] }];
    const report = await inspectGguf(memoryFiles({ "m.gguf": ggufFile({ keys, tensors }) }), "m.gguf", describeNone);
    expect(report).toMatchObject({
      name: "other",
      architecture: null,
      tokenizer: "gpt2 qwen2, 2 tokens",
      chatTemplates: ["default", "tool_use"],
      types: [{ type: "I8", bytes: 32, memory: null }],
    });
    expect(report.problem).toMatch(/"other" is not supported/);
    expect(report.metadata["tokenizer.chat_template"]).toMatch(/\.\.\. \(300 characters\)$/);
  });

  it("opens the small files of a model whose architecture is not read", async () => {
    const file = ggufFile({ keys: keysOf("other") });
    const { files } = await openGgufModel(memoryFiles({ "m.gguf": file }), "m.gguf");
    expect(await files.size("gone")).toBeNull();
    await expect(files.size("config.json")).rejects.toThrow(/"other" is not supported/);
  });
});
