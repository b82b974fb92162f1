import { describe, expect, it } from "vitest";
import { chooseFiles } from "../../src/hub/listing.ts";

const files = (...paths: string[]) => paths.map((path) => ({ path, size: 1 }));
const choose = async (paths: string[], name = {}, index = "{}") => {
  const { gguf, files: chosen } = await chooseFiles({ repo: "a/b", ...name }, files(...paths), async () => index);
  return { gguf, paths: chosen.map(({ path }) => path) };
};

const MIXTRAL = [
  ".gitattributes",
  "README.md",
  "config.json",
  "consolidated.00.pt",
  "consolidated.safetensors",
  "consolidated.safetensors.index.json",
  "generation_config.json",
  "model-00001-of-00002.safetensors",
  "model-00002-of-00002.safetensors",
  "model.safetensors.index.json",
  "original/model.safetensors",
  "pytorch_model.bin.index.json",
  "tokenizer.json",
  "tokenizer.model",
  "tokenizer_config.json",
  "additional_chat_templates/tool_use.jinja",
];
const INDEX = JSON.stringify({
  weight_map: { a: "model-00001-of-00002.safetensors", b: "model-00002-of-00002.safetensors" },
});
const QUANTS = [
  "README.md",
  "mmproj-F16.gguf",
  "m-Q4_0.gguf",
  "m-Q4_K_M.gguf",
  "m-UD-Q4_K_M.gguf",
  "Q8_0/m-Q8_0-00001-of-00002.gguf",
  "Q8_0/m-Q8_0-00002-of-00002.gguf",
  "m.q6_k.gguf",
];

describe("the files of a model", () => {
  it("are those that a folder is opened by, and no other weights", async () => {
    expect(await choose(MIXTRAL, {}, INDEX)).toEqual({
      gguf: null,
      paths: [
        "config.json",
        "generation_config.json",
        "model.safetensors.index.json",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "additional_chat_templates/tool_use.jinja",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
      ],
    });
  });

  it("one file of weights goes before an index", async () => {
    const paths = [
      "config.json",
      "model.safetensors",
      "model.safetensors.index.json",
      "model-00001-of-00002.safetensors",
    ];
    expect((await choose(paths)).paths).toEqual(["config.json", "model.safetensors.index.json", "model.safetensors"]);
  });

  it.each([
    [{}, "m-Q4_K_M.gguf", 1],
    [{ tag: "q4_0" }, "m-Q4_0.gguf", 1],
    [{ tag: "UD-Q4_K_M" }, "m-UD-Q4_K_M.gguf", 1],
    [{ tag: "Q6_K" }, "m.q6_k.gguf", 1],
    [{ tag: "Q8_0" }, "Q8_0/m-Q8_0-00001-of-00002.gguf", 2],
    [{ file: "Q8_0/m-Q8_0-00002-of-00002.gguf" }, "Q8_0/m-Q8_0-00001-of-00002.gguf", 2],
  ])("GGUF %j", async (name, gguf, parts) => {
    const found = await choose(QUANTS, name);
    expect({ gguf: found.gguf, parts: found.paths.length }).toEqual({ gguf, parts });
  });

  it("a repository with one GGUF model needs no tag", async () => {
    expect((await choose(["mmproj-F16.gguf", "x-mxfp4.gguf"])).gguf).toBe("x-mxfp4.gguf");
  });

  it.each([
    [["m-Q4_0.gguf", "m-Q8_0.gguf"], {}, /holds several GGUF models; name one of them; it holds m-Q4_0.gguf, m-Q8_0/],
    [QUANTS, { tag: "Q2_K" }, /no GGUF model for a\/b:Q2_K; it holds Q8_0\/m-Q8_0-00001-of-00002.gguf, m-Q4_0.gguf/],
    [QUANTS, { tag: "K_M" }, /no GGUF model for a\/b:K_M/],
    [QUANTS, { file: "n.gguf" }, /has no file n.gguf/],
    [["a.bin"], {}, /holds neither GGUF files nor model.safetensors; it holds a.bin/],
    [[], {}, /it is empty/],
    [["config.json", "model.safetensors.index.json"], {}, /expected an object "weight_map"/],
    [["x-00001-of-00002.gguf"], {}, /x-00002-of-00002.gguf is a part of the model and is not in the repository/],
  ])("%j %j", async (paths, name, message) => {
    await expect(choose(paths, name)).rejects.toThrow(message);
  });
});
