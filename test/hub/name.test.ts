import { describe, expect, it } from "vitest";
import { nameText, parseName } from "../../src/hub/name.ts";
import { SHORT_NAMES } from "../../src/hub/short_names.ts";

describe("names of models", () => {
  it.each([
    ["mistralai/Mixtral-8x7B-Instruct-v0.1", { repo: "mistralai/Mixtral-8x7B-Instruct-v0.1" }],
    ["hf:a/b", { repo: "a/b" }],
    ["hf.co/a/b:Q8_0", { repo: "a/b", tag: "Q8_0" }],
    ["https://huggingface.co/a/b", { repo: "a/b" }],
    ["a/b-GGUF:UD-Q4_K_XL", { repo: "a/b-GGUF", tag: "UD-Q4_K_XL" }],
    ["hf:a/b@v1.0", { repo: "a/b", revision: "v1.0" }],
    ["hf:a/b@refs/pr/7", { repo: "a/b", revision: "refs/pr/7" }],
    [
      "hf:a/b@main/Q4_K_M/x-00001-of-00002.gguf",
      { repo: "a/b", revision: "main", file: "Q4_K_M/x-00001-of-00002.gguf" },
    ],
    ["hf:a/b/x.gguf", { repo: "a/b", file: "x.gguf" }],
    ["a/b@main:Q4_0", { repo: "a/b", revision: "main", tag: "Q4_0" }],
    ["https://huggingface.co/a/b/", { repo: "a/b" }],
    ["HTTP://www.huggingface.co/a/b?show_file_info=x.gguf", { repo: "a/b" }],
    ["https://hf.co/a/b/tree/v1.0", { repo: "a/b", revision: "v1.0" }],
    ["https://huggingface.co/a/b/tree/refs%2Fpr%2F7", { repo: "a/b", revision: "refs/pr/7" }],
    ["https://huggingface.co/a/b/blob/main/x.gguf", { repo: "a/b", revision: "main", file: "x.gguf" }],
    [
      "https://huggingface.co/a/b/resolve/refs/pr/7/Q8_0/x%20y-00001-of-00002.gguf?download=true",
      { repo: "a/b", revision: "refs/pr/7", file: "Q8_0/x y-00001-of-00002.gguf" },
    ],
    ["huggingface.co/a/b/resolve/main/x.gguf#top", { repo: "a/b", revision: "main", file: "x.gguf" }],
    ["hf:a/b/resolve/main/x.gguf", { repo: "a/b", file: "resolve/main/x.gguf" }],
    ["mixtral", SHORT_NAMES.mixtral],
    ["Mixtral:Q8_0", { ...SHORT_NAMES.mixtral, tag: "Q8_0" }],
  ])("%s", (text, name) => expect(parseName(text)).toEqual(name));

  it.each([
    "a",
    "./a/b",
    "../b",
    "/a/b",
    "a/b/c",
    "a\\b",
    "C:\\models\\x",
    "~/a/b/c",
    "x.gguf",
    "",
    "a/",
    "/a",
    "a b/c",
  ])("%j is no name", (text) => expect(parseName(text)).toBeNull());

  it.each([
    "hf:a",
    "hf:",
    "hf:a/b/../../c.gguf",
    "hf:a/b/x.gguf:Q4_0",
    "hf:a/b/c.bin",
    "https://huggingface.co/a/b/blob/main/c.bin",
    "https://huggingface.co/a/b/resolve/main/%2E%2E/c.gguf",
    "https://huggingface.co/a/b/blob/main/%FF.gguf/x",
    "https://huggingface.co/datasets/a/b",
  ])("%j is a wrong name", (text) => expect(() => parseName(text)).toThrow(/expected hf:owner\/name/));

  it("reads what nameText() writes", () => {
    for (const name of [{ repo: "a/b" }, { repo: "a/b", tag: "Q4_0" }, { repo: "a/b", file: "c/d.gguf" }])
      expect(parseName(nameText(name))).toEqual(name);
  });
});
