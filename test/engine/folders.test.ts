// Folders as people have them: what ends a text, defaults for sampling, templates in several files.

import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import type { ChatMessage } from "../../src/chat/types.ts";
import type { Model } from "../../src/engine/model.ts";
import { open, quantize, verifyQuantized } from "../../src/index.ts";
import { CONTROL_FILES } from "../chat/support.ts";
import { writeTinyFolder } from "../support/tiny_folder.ts";

type Files = Parameters<typeof writeTinyFolder>[0];
const V = 4105;
const TOKENIZER = JSON.parse(JSON.stringify(CONTROL_FILES["tokenizer.json"])) as { added_tokens: object[] };
const user = (content: string): ChatMessage => ({ role: "user", content });

function folderWith(files: Files): string {
  const folder = writeTinyFolder({ ...CONTROL_FILES, ...files }, V);
  onTestFinished(() => folder.remove());
  return folder.path;
}

async function opened(files: Files): Promise<Model> {
  const model = await open(folderWith(files), { backend: "cpu", threads: 1 });
  onTestFinished(() => model.close());
  return model;
}

async function greedy(model: Model, count: number): Promise<number[]> {
  const ids: number[] = [];
  for await (const piece of model.session().generate([1, 5, 9], { maxTokens: count, temperature: 0 }))
    ids.push(...piece.ids);
  return ids;
}

describe("what ends a text", async () => {
  const folder = writeTinyFolder(CONTROL_FILES, V);
  const config = JSON.parse(readFileSync(join(folder.path, "config.json"), "utf8")) as object;
  const free = await open(folder.path, { backend: "cpu", threads: 1 });
  const text = await greedy(free, 40);
  await free.close();
  folder.remove();
  // A token that the model writes of its own accord, in the role of an end.
  const end = text[12]!;
  const upTo = text.slice(0, text.indexOf(end) + 1);

  const eot = { id: end, content: "<|eot_id|>", special: true, normalized: false };
  const named = { id: end, content: "[OWN]", special: true, normalized: false };
  const withToken = (token: object) => ({ ...TOKENIZER, added_tokens: [...TOKENIZER.added_tokens, token] });
  it.each<[string, Files]>([
    ["config.json", { "config.json": { ...config, eos_token_id: end } }],
    [
      "a list in config.json, with another in generation_config.json",
      { "config.json": { ...config, eos_token_id: [2, end] }, "generation_config.json": { eos_token_id: 2 } },
    ],
    [
      "config.json, generation_config.json has an empty list",
      { "config.json": { ...config, eos_token_id: end }, "generation_config.json": { eos_token_id: [] } },
    ],
    [
      "config.json, generation_config.json says -1",
      { "config.json": { ...config, eos_token_id: end }, "generation_config.json": { eos_token_id: -1 } },
    ],
    ["a list in generation_config.json", { "generation_config.json": { eos_token_id: [2, -1, null, end] } }],
    ["text_config of a model of several kinds", { "config.json": { ...config, text_config: { eos_token_id: [end] } } }],
    ["eom_token_id", { "generation_config.json": { eos_token_id: 2, eom_token_id: end } }],
    [
      "tokenizer_config.json",
      {
        "tokenizer.json": withToken(named),
        "tokenizer_config.json": { bos_token: "<s>", eos_token: "[OWN]" },
        "generation_config.json": { eos_token_id: 2 },
      },
    ],
    [
      "special_tokens_map.json",
      { "tokenizer.json": withToken(named), "special_tokens_map.json": { eos_token: { content: "[OWN]" } } },
    ],
    ["a well-known name", { "tokenizer.json": withToken(eot) }],
    [
      "the chat template",
      {
        "tokenizer.json": withToken(named),
        "chat_template.jinja": "{% for m in messages %}{{ m.content }}[OWN]{% endfor %}",
      },
    ],
  ])("%s", async (_, files) => {
    const model = await opened(files);
    expect(await greedy(model, 40)).toEqual(upTo);
  });
});

it("a stop text that is a control token's name ends the answer there, and is told", async () => {
  const free = await opened({});
  const text = await greedy(free, 40);
  const named = { id: text[12]!, content: "[OWN]", special: true, normalized: false };
  const model = await opened({ "tokenizer.json": { ...TOKENIZER, added_tokens: [...TOKENIZER.added_tokens, named] } });
  const ids: number[] = [];
  let stop: string | undefined;
  const options = { maxTokens: 40, temperature: 0, stop: ["unseen", "[OWN]"] };
  for await (const piece of model.session().generate([1, 5, 9], options)) {
    ids.push(...piece.ids);
    if (piece.finish) ({ stop } = piece.finish);
  }
  expect(ids).toEqual(text.slice(0, text.indexOf(named.id) + 1));
  expect(stop).toBe("[OWN]");
});

it("generation_config.json's stop_strings end an answer, texts and control tokens alike, and are not told as the caller's", async () => {
  const free = await opened({});
  const text = await greedy(free, 40);
  const named = { id: text[12]!, content: "[OWN]", special: true, normalized: false };
  const shown = free.tokenizer.decode(text);
  for (const [stop, files, length] of [
    [
      "[OWN]",
      { "tokenizer.json": { ...TOKENIZER, added_tokens: [...TOKENIZER.added_tokens, named] } },
      text.indexOf(named.id) + 1,
    ],
    [shown.slice(6, 10), {}, 40],
  ] as const) {
    const model = await opened({ ...files, "generation_config.json": { stop_strings: [stop, ""] } });
    const ids: number[] = [];
    let written = "";
    let finish: unknown;
    for await (const piece of model.session().generate([1, 5, 9], { maxTokens: 40, temperature: 0 })) {
      ids.push(...piece.ids);
      written += piece.text;
      finish ??= piece.finish;
    }
    expect(ids.length).toBeLessThanOrEqual(length);
    expect(ids.length).toBeLessThan(40);
    expect(written).not.toContain(stop);
    expect(finish).not.toHaveProperty("stop");
  }
});

describe("defaults for sampling", () => {
  it.each([
    ["top_k -1", { do_sample: true, top_k: -1 }],
    ["a top_k that is no integer", { do_sample: true, top_k: 2.5 }],
    ["top_p above 1", { do_sample: true, top_p: 1.5 }],
    ["a temperature below 0", { do_sample: true, temperature: -1 }],
    ["repetition_penalty 0", { repetition_penalty: 0 }],
    ["null", { do_sample: true, top_k: null, top_p: null }],
  ])('that mean "off" are no reason to refuse the folder: %s', async (_, generation) => {
    const model = await opened({ "generation_config.json": generation });
    const ids: number[] = [];
    for await (const { ids: more } of model.session().generate([1, 5], { maxTokens: 4, ignoreEos: true }))
      ids.push(...more);
    expect(ids).toHaveLength(4);
  });

  it("NaN and Infinity of Python's JSON", async () => {
    const model = await opened({
      "generation_config.json": '{"do_sample": true, "top_p": NaN, "length_penalty": -Infinity}',
    });
    expect(await greedy(model, 2)).toHaveLength(2);
  });
});

describe("templates in several files", () => {
  const plain = "{{ bos_token }}{% for m in messages %}[INST] {{ m.content }}[/INST]{% endfor %}";
  const toolUse = `[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]${plain}`;
  const list = [
    { name: "default", template: plain },
    { name: "tool_use", template: toolUse },
  ];
  const tools = [{ name: "weather", parameters: { type: "object", properties: {} } }];
  const config = { bos_token: "<s>", eos_token: "</s>" };
  async function counts(path: string): Promise<number[]> {
    const model = await open(path, { backend: "cpu", threads: 1 });
    onTestFinished(() => model.close());
    const serving = model.serving();
    return [serving.countTokens([user("Hi")]), serving.countTokens([user("Hi")], { tools })];
  }

  it.each<[string, Files]>([
    [
      "chat_template.jinja and additional_chat_templates",
      { "chat_template.jinja": plain, "additional_chat_templates/tool_use.jinja": toolUse },
    ],
    [
      "chat_template.jinja in place of a list's default",
      {
        "chat_template.jinja": plain,
        "tokenizer_config.json": { ...config, chat_template: [{ name: "default", template: "{{ 1/0 }}" }, list[1]] },
      },
    ],
    [
      "all in additional_chat_templates",
      { "additional_chat_templates/default.jinja": plain, "additional_chat_templates/tool_use.jinja": toolUse },
    ],
    [
      "an empty list beside them",
      {
        "chat_template.jinja": plain,
        "additional_chat_templates/tool_use.jinja": toolUse,
        "tokenizer_config.json": { ...config, chat_template: [] },
      },
    ],
    ["a map in chat_template.json", { "chat_template.json": { chat_template: { default: plain, tool_use: toolUse } } }],
  ])("%s", async (_, files) => {
    const wanted = await counts(folderWith({ "tokenizer_config.json": { ...config, chat_template: list } }));
    expect(wanted[1]).toBeGreaterThan(wanted[0]!);
    expect(await counts(folderWith(files))).toEqual(wanted);
  });

  it("both go into a quantized folder", async () => {
    const files = { "chat_template.jinja": plain, "additional_chat_templates/tool_use.jinja": toolUse };
    const from = folderWith(files);
    const to = `${from}-q8`;
    onTestFinished(() => rmSync(to, { recursive: true, force: true }));
    await quantize(from, to, { weights: "q8", threads: 1 });
    expect(await counts(to)).toEqual(await counts(from));
    await verifyQuantized(to);
  });
});
