// What fields of other servers do to the answers of a real model, at every endpoint that writes.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Model } from "../../src/engine/model.ts";
import { open } from "../../src/index.ts";
import { CONTROL_FILES } from "../chat/support.ts";
import { writeTinyFolder } from "../support/tiny_folder.ts";
import { type Answered, openTales, type RealServer, serveReal } from "./real.ts";

let model: Model;
let server: RealServer;
beforeAll(async () => {
  model = await openTales();
  server = await serveReal(model);
});
afterAll(async () => {
  await server?.close();
  await model?.close();
});

const messages = [{ role: "user", content: "Tell me a story." }];
const PATHS: Readonly<Record<string, object>> = {
  "/v1/chat/completions": { messages },
  "/v1/completions": { prompt: "Once upon a time there was" },
  "/v1/messages": { messages },
};

/** The text of an answer, why it ended and how long it is, whichever endpoint. */
async function write(path: string, fields: object) {
  const body = { ...PATHS[path], temperature: 0, max_tokens: 24, ...fields };
  const { status, json, text } = await server.ask(path, body);
  expect(status, text).toBe(200);
  const { choices, content, usage, stop_reason } = json as Answered & { usage: { output_tokens: number } };
  return {
    text: path === "/v1/messages" ? (content[0]?.text ?? "") : (choices[0]!.message?.content ?? choices[0]!.text),
    reason: path === "/v1/messages" ? stop_reason : choices[0]!.finish_reason,
    tokens: usage.completion_tokens ?? usage.output_tokens,
  };
}

const idOf = (text: string): number => model.tokenizer.encode(text, { addBos: false }).at(-1)!;
const schema = {
  type: "object",
  properties: { answer: { const: 42 } },
  required: ["answer"],
  additionalProperties: false,
};

describe.each(Object.keys(PATHS))("%s", (path) => {
  const isAnswer = (text: string): void => expect(JSON.parse(text)).toEqual({ answer: 42 });
  const isYesOrNo = (text: string): void => expect(text).toMatch(/^(yes|no)$/);

  it.each<[object, (text: string) => void]>([
    [{ response_format: { type: "json_object", schema } }, isAnswer],
    [{ json_schema: schema, response_format: { type: "json_object" } }, isAnswer],
    [{ guided_json: schema }, isAnswer],
    [{ structured_outputs: { json: schema } }, isAnswer],
    [{ format: schema }, isAnswer],
    [{ grammar: 'root ::= "yes" | "no"' }, isYesOrNo],
    [{ grammar: 'root ::= x{2} "."\nx ::= .' }, (text) => expect(text).toMatch(/^..\.$/su)],
    [{ guided_grammar: 'root ::= "yes" | "no"' }, isYesOrNo],
    [{ guided_choice: ["yes", "no"] }, isYesOrNo],
    [{ structured_outputs: { choice: ["yes", "no"] } }, isYesOrNo],
    [{ guided_regex: "yes|no" }, isYesOrNo],
    [{ regex: "yes|no" }, isYesOrNo],
    [{ guided_choice: ["yes", "no"], min_tokens: 20 }, isYesOrNo],
  ])("%j holds", async (fields, check) => {
    check((await write(path, { max_tokens: 64, ...fields })).text);
  });

  it("stop_token_ids end the answer in front of the token", async () => {
    const free = await write(path, {});
    const word = / (\w+)/.exec(free.text.slice(10))![1]!;
    const stopped = await write(path, { stop_token_ids: [idOf(word)] });
    expect(stopped.tokens).toBeLessThan(free.tokens);
    expect(free.text.startsWith(stopped.text)).toBe(true);
    expect(stopped.text).not.toContain(` ${word}`);
    expect(stopped.reason).toMatch(/^(stop|end_turn)$/);
  });

  it("min_tokens holds off the end, and stop texts", async () => {
    const eos = [...model.tokenizer.eosIds];
    const ends = { logit_bias: Object.fromEntries(eos.map((id) => [id, 100])) };
    expect(await write(path, ends)).toMatchObject({ text: "", tokens: 1 });
    expect((await write(path, { ...ends, min_tokens: 7 })).tokens).toBe(8);
    const free = await write(path, {});
    const early = [...free.text.trim()][0]!;
    expect((await write(path, { stop: undefined, stop_sequences: undefined, ...stopAt(early) })).tokens).toBeLessThan(
      10,
    );
    expect((await write(path, { ...stopAt(early), min_tokens: 10 })).tokens).toBeGreaterThanOrEqual(10);
  });
  const stopAt = (text: string) => (path === "/v1/messages" ? { stop_sequences: [text] } : { stop: [text] });

  it("bad_words are not written, nor are tokens that are forbidden or not allowed", async () => {
    const free = await write(path, {});
    const word = /\w{3,}/.exec(free.text)![0];
    const others = await write(path, { bad_words: [word] });
    expect(others.text.split(/\W+/)).not.toContain(word);
    expect(others.tokens).toBe(24);
    expect((await write(path, { logit_bias: [[idOf(word), false]] })).text).not.toContain(` ${word} `);
    const [a, b] = [idOf("and"), idOf("the")];
    const only = await write(path, { allowed_token_ids: [a, b] });
    expect(only.text.trim()).toMatch(/^((and|the) ?){24}$/);
  });

  it("what cannot be is refused by name", async () => {
    for (const [fields, message] of [
      [{ min_tokens: 25 }, /^min_tokens: expected at most max_tokens, 24/],
      [{ allowed_token_ids: [1e8] }, /^allowed_token_ids: expected ids/],
      [{ logit_bias: { 99999999: 1 } }, /^logit_bias: expected a token id/],
      [{ ignore_eos: true, guided_regex: "a" }, /^ignore_eos: has no meaning/],
      [{ grammar: "root ::= missing" }, /^grammar: .*`missing`/],
      [{ grammar: 'root ::= root "a"' }, /^grammar: .*left recursion/],
      [{ guided_json: { $ref: "#/nowhere" } }, /^guided_json: keyword `\$ref`/],
      [{ guided_regex: "(" }, /^guided_regex: the pattern is not a regular expression of ECMAScript: "\("$/],
      [
        { chat_template_kwargs: { enable_thinking: true } },
        /^chat_template_kwargs: enable_thinking: .*no chat template/,
      ],
    ] as const) {
      if ("chat_template_kwargs" in fields && path === "/v1/completions") continue;
      const { status, json } = await server.ask(path, { ...PATHS[path], max_tokens: 24, ...fields });
      expect([status, json.error.message]).toEqual([400, expect.stringMatching(message)]);
    }
  });
});

describe("chat_template_kwargs", () => {
  it.each([{}, { enable_thinking: false }, { thinking: false, note: null, tags: [], more: {}, text: "" }])(
    "%j ask for nothing where there is no template",
    async (chat_template_kwargs) => {
      const { status, text } = await server.ask("/v1/chat/completions", {
        messages,
        max_tokens: 1,
        chat_template_kwargs,
      });
      expect(status, text).toBe(200);
    },
  );

  const TEMPLATE = `{{ bos_token }}{%- for message in messages -%}[INST] {{ message.content }} [/INST]{%- endfor -%}
{%- if enable_thinking is defined and enable_thinking -%}<think>{%- endif -%}{%- if note is defined -%}{{ note }}{%- endif -%}`;
  let folder: ReturnType<typeof writeTinyFolder>;
  let tiny: Model;
  let other: RealServer;
  beforeAll(async () => {
    folder = writeTinyFolder({ ...CONTROL_FILES, "chat_template.jinja": TEMPLATE }, 4105);
    tiny = await open(folder.path, { backend: "cpu", weights: "f32", threads: 1 });
    other = await serveReal(tiny);
  });
  afterAll(async () => {
    await other?.close();
    await tiny?.close();
    folder?.remove();
  });

  const count = async (chat_template_kwargs: object, path = "/v1/chat/completions"): Promise<number> => {
    const { status, json, text } = await other.ask(path, { messages, max_tokens: 1, chat_template_kwargs });
    expect(status, text).toBe(200);
    const { usage, input_tokens } = json as Answered & { input_tokens?: number };
    return input_tokens ?? usage.prompt_tokens ?? (usage as unknown as { input_tokens: number }).input_tokens;
  };

  it("reach the template, at every endpoint that has one", async () => {
    for (const path of ["/v1/chat/completions", "/v1/messages", "/v1/messages/count_tokens"]) {
      const plain = await count({}, path);
      expect(await count({ enable_thinking: false, unknown: [1] }, path)).toBe(plain);
      expect(await count({ enable_thinking: true }, path)).toBeGreaterThan(plain);
    }
  });

  it("make no control token of a text", async () => {
    const [text, control] = [await count({ note: "[INST" }), await count({ note: "[INST]" })];
    // One token, were it the template's own.
    expect(control).toBeGreaterThan(text);
  });

  it.each(["messages", "tools", "bos_token", "chat_template", "tokenize", "add_generation_prompt"])(
    "%s is not the request's to set",
    async (name) => {
      const { status, json } = await other.ask("/v1/chat/completions", {
        messages,
        chat_template_kwargs: { [name]: "x" },
      });
      expect([status, json.error]).toMatchObject([400, { param: "chat_template_kwargs" }]);
    },
  );
});
