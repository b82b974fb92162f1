// Log probabilities at the joined server: of bytes, of what a stop text cuts away, and the same
// streamed and whole.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Model } from "../../src/engine/model.ts";
import { legacyLogprobs } from "../../src/server/legacy_logprobs.ts";
import { eventsOf } from "./fake_model.ts";
import { openTales, type RealServer, serveReal } from "./real.ts";

interface ChatToken {
  readonly token: string;
  readonly bytes: readonly number[];
  readonly top_logprobs: readonly ChatToken[];
}
interface Legacy {
  readonly tokens: readonly string[];
  readonly token_logprobs: readonly number[];
  readonly top_logprobs: readonly Readonly<Record<string, number>>[];
  readonly text_offset: readonly number[];
}

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

const MESSAGES = [{ role: "user", content: "Tell me a story." }];
const WANTED = { logprobs: true, top_logprobs: 2 };
const GREEDY = { temperature: 0, max_tokens: 24 };

async function chat(body: object): Promise<{ text: string; tokens: readonly ChatToken[] }> {
  const { status, json, text } = await server.ask("/v1/chat/completions", { messages: MESSAGES, ...WANTED, ...body });
  expect(status, text).toBe(200);
  const [choice] = json.choices;
  return { text: choice!.message.content!, tokens: choice!.logprobs.content as unknown as ChatToken[] };
}

async function streamedChat(body: object): Promise<{ text: string; tokens: readonly ChatToken[] }> {
  const all = { messages: MESSAGES, ...WANTED, ...body, stream: true };
  const events = eventsOf((await server.ask("/v1/chat/completions", all)).text);
  const choices = events.flatMap(({ data }) =>
    data === "[DONE]"
      ? []
      : (data as { choices: { delta: { content?: string }; logprobs: { content: ChatToken[] } | null }[] }).choices,
  );
  return {
    text: choices.map(({ delta }) => delta.content ?? "").join(""),
    tokens: choices.flatMap(({ logprobs }) => logprobs?.content ?? []),
  };
}

async function legacy(body: object): Promise<{ text: string; logprobs: Legacy }> {
  const { status, json, text } = await server.ask("/v1/completions", { prompt: "Once", logprobs: 2, ...body });
  expect(status, text).toBe(200);
  return json.choices[0] as unknown as { text: string; logprobs: Legacy };
}

async function streamedLegacy(body: object): Promise<{ text: string; logprobs: Legacy }> {
  const { text } = await server.ask("/v1/completions", { prompt: "Once", logprobs: 2, ...body, stream: true });
  const choices = eventsOf(text).flatMap(({ data }) =>
    data === "[DONE]" ? [] : (data as { choices: { text: string; logprobs: Legacy | null }[] }).choices,
  );
  const parts = choices.flatMap(({ logprobs }) => (logprobs === null ? [] : [logprobs]));
  return {
    text: choices.map((choice) => choice.text).join(""),
    logprobs: {
      tokens: parts.flatMap(({ tokens }) => tokens),
      token_logprobs: parts.flatMap(({ token_logprobs }) => token_logprobs),
      top_logprobs: parts.flatMap(({ top_logprobs }) => top_logprobs),
      text_offset: parts.flatMap(({ text_offset }) => text_offset),
    },
  };
}

const textOf = (tokens: readonly ChatToken[]): string =>
  new TextDecoder().decode(Uint8Array.from(tokens.flatMap(({ bytes }) => bytes)));
const ODD = "\u{1f60a}\u00e9\u6f22";
const odd = { ...GREEDY, response_format: { type: "regex", pattern: ODD } };

describe("chat completions", () => {
  it.each<[string, object]>([
    ["an answer", GREEDY],
    ["one drawn at random", { temperature: 1.5, seed: 3, max_tokens: 40 }],
    ["characters that are several tokens", odd],
    ["an answer cut by a stop text", { ...GREEDY, stop: ["e"] }],
    ["one cut at once", { ...GREEDY, stop: ["O", "A", "T", "I", "o", "a", "t", "e"] }],
  ])("bytes are those of the text, streamed or not: %s", async (_, body) => {
    const { text, tokens } = await chat(body);
    if ("stop" in body) expect(textOf(tokens).startsWith(text)).toBe(true);
    else expect(textOf(tokens)).toBe(text);
    if ("stop" in body) expect(textOf(tokens.slice(0, -1)).length).toBeLessThan(Math.max(1, text.length));
    expect(await streamedChat(body)).toEqual({ text, tokens });
    for (const { token, bytes, top_logprobs } of tokens) {
      expect(top_logprobs.length).toBe(2);
      if (bytes.length > 0 && !token.startsWith("\\x")) expect(textOf([{ token, bytes, top_logprobs }])).toBe(token);
    }
  });

  it("tokens that are no characters are spelled", async () => {
    const { tokens } = await chat(odd);
    expect(tokens.slice(0, 4).map(({ token }) => token)).toEqual(["\\xf0", "\\x9f", "\\x98", "\\x8a"]);
  });
});

describe("completions", () => {
  it("bytes have names of their own, offsets count characters of the text", async () => {
    const { text, logprobs } = await legacy(odd);
    expect(text).toBe(ODD);
    expect(logprobs.tokens.slice(0, 4)).toEqual(["bytes:\\xf0", "bytes:\\x9f", "bytes:\\x98", "bytes:\\x8a"]);
    expect(logprobs.text_offset.slice(0, 4)).toEqual([0, 0, 0, 0]);
    expect(Math.max(...logprobs.text_offset)).toBeLessThanOrEqual(3);
    expect(await streamedLegacy(odd)).toEqual({ text, logprobs });
  });

  it.each<[string, object]>([
    ["an answer", GREEDY],
    ["an echo", { ...GREEDY, prompt: "A naïve fox \u{1f60a} said", echo: true }],
    ["an echo alone", { prompt: "A naïve fox \u{1f60a} said", echo: true, max_tokens: 0 }],
    ["an answer cut by a stop text", { ...GREEDY, stop: ["e"] }],
  ])("each token stands where its offset says, streamed or not: %s", async (_, body) => {
    const { text, logprobs } = await legacy(body);
    const characters = [...text];
    let next = 0;
    for (const [i, token] of logprobs.tokens.entries()) {
      const offset = logprobs.text_offset[i]!;
      if (token.startsWith("bytes:") || token === "<s>" || token === "</s>") continue;
      expect(offset).toBeGreaterThanOrEqual(next);
      const rest = characters.slice(offset).join("");
      expect(rest.startsWith(token) || ("stop" in body && token.startsWith(rest)), `${token} at ${offset}`).toBe(true);
      next = offset + [...token].length;
    }
    expect(await streamedLegacy(body)).toEqual({ text, logprobs });
  });

  it("tokens that read alike have keys of their own; the plain one is the token's", () => {
    const one = (id: number, logprob: number, text = "A", bytes = [65]) => ({ id, text, bytes, logprob });
    const token = { ...one(7, -3), offset: 0, top: [one(5, -1), one(6, -2, "\uFFFD", [0xf0])] };
    expect(legacyLogprobs([token])).toEqual({
      tokens: ["A"],
      token_logprobs: [-3],
      top_logprobs: [{ "token_id:5": -1, "bytes:\\xf0": -2, A: -3 }],
      text_offset: [0],
    });
  });
});
