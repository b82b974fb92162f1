import type { LanguageModelV4CallOptions, LanguageModelV4Prompt, LanguageModelV4StreamPart } from "@ai-sdk/provider";
import { describe, expect, it } from "vitest";
import { hotset } from "../../src/adapters/ai.ts";
import { DeviceError, RequestError } from "../../src/errors.ts";
import { type Act, type Fake, fakeModel } from "../server/fake_model.ts";

const USER: LanguageModelV4Prompt = [{ role: "user", content: [{ type: "text", text: "hi" }] }];
const acting = (...acts: Act[]): Fake => fakeModel({ acts: () => acts });

async function partsOf(model: Fake, options: Partial<LanguageModelV4CallOptions> = {}) {
  const { stream } = await hotset(model).doStream({ prompt: USER, ...options });
  const parts: LanguageModelV4StreamPart[] = [];
  for await (const part of stream) parts.push(part);
  return parts;
}

const SETTINGS: Partial<LanguageModelV4CallOptions> = {
  maxOutputTokens: 9,
  temperature: 0.5,
  topP: 0.9,
  topK: 3,
  presencePenalty: 1,
  frequencyPenalty: 2,
  stopSequences: ["x"],
  seed: 4,
};
const TOOL = { type: "function", name: "get_weather", description: "w", inputSchema: { type: "object" } } as const;

describe("a language model of the AI SDK", () => {
  it("says what it is", () => {
    expect(hotset(fakeModel())).toMatchObject({
      specificationVersion: "v4",
      provider: "hotset",
      modelId: "fake-mixtral",
    });
    expect(hotset(fakeModel(), { modelId: "other" }).modelId).toBe("other");
    expect(hotset.languageModel(fakeModel()).supportedUrls).toEqual({});
  });

  it("asks a model for its serving interface once", () => {
    let asked = 0;
    const serving = (): Fake => {
      asked++;
      return fakeModel();
    };
    const model = { serving } as unknown as Parameters<typeof hotset>[0];
    for (let i = 0; i < 3; i++) expect(hotset(model).modelId).toBe("fake-mixtral");
    expect(asked).toBe(1);
  });

  it.each<[string, Partial<LanguageModelV4CallOptions>, object]>([
    [
      "settings",
      SETTINGS,
      {
        maxTokens: 9,
        temperature: 0.5,
        topP: 0.9,
        topK: 3,
        presencePenalty: 1,
        frequencyPenalty: 2,
        stop: ["x"],
        seed: 4,
      },
    ],
    ["no settings", {}, {}],
    ["a JSON format", { responseFormat: { type: "json" } }, { responseFormat: { type: "json" } }],
    [
      "a schema",
      { responseFormat: { type: "json", schema: { type: "object" }, name: "n" } },
      { responseFormat: { type: "json_schema", schema: { type: "object" }, strict: false } },
    ],
    ["a text format", { responseFormat: { type: "text" } }, {}],
    ["reasoning", { reasoning: "high" }, { reasoning: { enabled: true, effort: "high" } }],
    ["no reasoning", { reasoning: "none" }, { reasoning: { enabled: false } }],
    ["the model's own reasoning", { reasoning: "provider-default" }, {}],
    [
      "tools",
      { tools: [TOOL], toolChoice: { type: "required" } },
      { tools: [{ name: "get_weather", description: "w", parameters: { type: "object" } }], toolChoice: "required" },
    ],
    [
      "one tool",
      { tools: [TOOL], toolChoice: { type: "tool", toolName: "get_weather" } },
      { toolChoice: { name: "get_weather" } },
    ],
    [
      "options of the engine",
      { providerOptions: { hotset: { minP: 0.1, parallelToolCalls: false } } },
      { minP: 0.1, parallelToolCalls: false },
    ],
  ])("hands over %s", async (name, options, expected) => {
    const model = acting({ say: "Hi" });
    await hotset(model).doGenerate({ prompt: USER, ...options });
    if (name === "one tool") expect(model.asked[0]!.options).toMatchObject(expected);
    else expect(model.asked[0]!.options).toEqual(expected);
  });

  it("hands over conversations of every kind", async () => {
    const model = acting({ say: "Hi" });
    const { warnings } = await hotset(model).doGenerate({
      prompt: [
        { role: "system", content: "Be brief." },
        {
          role: "user",
          content: [
            { type: "text", text: "Read " },
            { type: "file", mediaType: "text/plain", data: { type: "data", data: btoa("this") } },
            {
              type: "file",
              mediaType: "application/json",
              data: { type: "data", data: new TextEncoder().encode("{}") },
            },
            { type: "file", mediaType: "text/markdown", data: { type: "text", text: "# a" } },
          ],
        },
        {
          role: "assistant",
          content: [
            { type: "reasoning", text: "Hm." },
            { type: "text", text: "I look." },
            { type: "tool-call", toolCallId: "1", toolName: "get_weather", input: { city: "Paris" } },
            { type: "tool-call", toolCallId: "2", toolName: "search", input: {}, providerExecuted: true },
          ],
        },
        {
          role: "tool",
          content: [
            {
              type: "tool-result",
              toolCallId: "1",
              toolName: "get_weather",
              output: { type: "json", value: { t: 3 } },
            },
          ],
        },
        { role: "assistant", content: [{ type: "text", text: "It is " }] },
      ],
    });
    expect(model.asked[0]!.messages).toEqual([
      { role: "system", content: "Be brief." },
      { role: "user", content: "Read this{}# a" },
      {
        role: "assistant",
        content: "I look.",
        reasoning: "Hm.",
        toolCalls: [{ id: "1", name: "get_weather", arguments: '{"city":"Paris"}' }],
      },
      { role: "tool", content: '{"t":3}', toolCallId: "1", name: "get_weather" },
      { role: "assistant", content: "It is " },
    ]);
    expect(model.asked[0]!.options).toEqual({ continueAssistant: true });
    expect(warnings).toEqual([
      {
        type: "unsupported",
        feature: "tool-call parts of the assistant",
        details: "prompt[2].content[3] is left out of the prompt",
      },
    ]);
  });

  it.each<[string, { type: string } & Record<string, unknown>, string]>([
    ["a text", { type: "text", value: "a" }, "a"],
    ["an error", { type: "error-text", value: "no" }, "no"],
    ["JSON of an error", { type: "error-json", value: { e: 1 } }, '{"e":1}'],
    ["a refusal", { type: "execution-denied", reason: "not now" }, "not now"],
    ["a refusal without a reason", { type: "execution-denied" }, "The user did not allow this call."],
    [
      "contents",
      {
        type: "content",
        value: [
          { type: "text", text: "a" },
          { type: "text", text: "b" },
        ],
      },
      "a\nb",
    ],
  ])("hands over a tool's result: %s", async (_, output, expected) => {
    const model = acting({ say: "Hi" });
    const call = { toolCallId: "1", toolName: "t" };
    await hotset(model).doGenerate({
      prompt: [
        ...USER,
        { role: "assistant", content: [{ type: "tool-call", ...call, input: {} }] },
        { role: "tool", content: [{ type: "tool-result", ...call, output: output as never }] },
      ],
    });
    expect(model.asked[0]!.messages?.at(-1)).toMatchObject({ role: "tool", content: expected });
  });

  it("rejects what the model cannot read, before an answer begins", async () => {
    const image = { type: "file", mediaType: "image/png", data: { type: "data", data: "" } } as const;
    const prompt: LanguageModelV4Prompt = [{ role: "user", content: [image] }];
    const message = "prompt[0].content[0]: expected a text, found a file of type image/png; the model reads only texts";
    await expect(hotset(fakeModel()).doGenerate({ prompt })).rejects.toThrow(message);
    await expect(hotset(fakeModel()).doStream({ prompt })).rejects.toThrow(message);
    const failing = acting({ fail: new RequestError("too long") });
    await expect(hotset(failing).doStream({ prompt: USER })).rejects.toThrow("too long");
  });

  it("warns of what has no meaning here", async () => {
    const search = { type: "provider", id: "openai.web_search", name: "search", args: {} } as const;
    const parts = await partsOf(acting({ say: "Hi" }), { tools: [search], providerOptions: { hotset: { minp: 1 } } });
    expect(parts[0]).toMatchObject({
      type: "stream-start",
      warnings: [
        { type: "unsupported", feature: "tool openai.web_search" },
        { type: "unsupported", feature: "providerOptions.hotset.minp", details: expect.stringMatching(/minP/) },
      ],
    });
  });

  it("answers with reasoning, text and calls", async () => {
    const model = acting(
      { think: "H" },
      { think: "m" },
      { say: "I " },
      { say: "look" },
      { call: "a", args: ['{"x":', "1}"] },
      { call: "b", args: [] },
    );
    const result = await hotset(model).doGenerate({ prompt: USER });
    expect(result).toMatchObject({
      content: [
        { type: "reasoning", text: "Hm" },
        { type: "text", text: "I look" },
        { type: "tool-call", toolCallId: "call00000", toolName: "a", input: '{"x":1}' },
        { type: "tool-call", toolCallId: "call00001", toolName: "b", input: "{}" },
      ],
      finishReason: { unified: "tool-calls", raw: "tool_calls" },
      usage: {
        inputTokens: { total: 5, noCache: 4, cacheRead: 1 },
        outputTokens: { total: 6, text: 4, reasoning: 2 },
      },
      warnings: [],
      response: { modelId: "fake-mixtral", timestamp: expect.any(Date), id: expect.stringMatching(/^hotset-/) },
      providerMetadata: { hotset: { seed: 7, stopSequence: null } },
    });
  });

  it("streams them as they come", async () => {
    const model = acting({ think: "Hm" }, { say: "I" }, { say: "!" }, { call: "a", args: ['{"x":', "1}"] });
    const parts = await partsOf(model);
    expect(parts).toMatchObject([
      { type: "stream-start", warnings: [] },
      { type: "response-metadata", modelId: "fake-mixtral" },
      { type: "reasoning-start", id: "0" },
      { type: "reasoning-delta", id: "0", delta: "Hm" },
      { type: "reasoning-end", id: "0" },
      { type: "text-start", id: "1" },
      { type: "text-delta", id: "1", delta: "I" },
      { type: "text-delta", id: "1", delta: "!" },
      { type: "text-end", id: "1" },
      { type: "tool-input-start", id: "call00000", toolName: "a" },
      { type: "tool-input-delta", id: "call00000", delta: '{"x":' },
      { type: "tool-input-delta", id: "call00000", delta: "1}" },
      { type: "tool-input-end", id: "call00000" },
      { type: "tool-call", toolCallId: "call00000", toolName: "a", input: '{"x":1}' },
      {
        type: "finish",
        finishReason: { unified: "tool-calls", raw: "tool_calls" },
        usage: { inputTokens: { total: 5 } },
      },
    ]);
    const raw = await partsOf(acting({ say: "I" }), { includeRawChunks: true });
    expect(raw.filter(({ type }) => type === "raw")).toMatchObject([
      { rawValue: { type: "text", text: "I" } },
      { rawValue: { type: "finish" } },
    ]);
  });

  it("leaves out a call that was cut off", async () => {
    const model = fakeModel({ acts: () => [{ call: "a", args: ['{"x":'] }], finish: { reason: "length" } });
    const parts = await partsOf(model);
    expect(parts.map(({ type }) => type)).toEqual([
      ...["stream-start", "response-metadata", "tool-input-start", "tool-input-delta", "tool-input-end", "finish"],
    ]);
    const { content, finishReason } = await hotset(model).doGenerate({ prompt: USER });
    expect({ content, finishReason }).toEqual({ content: [], finishReason: { unified: "length", raw: "length" } });
  });

  it("ends a stream with the error that broke it off", async () => {
    const parts = await partsOf(acting({ say: "I" }, { fail: new DeviceError("device lost") }));
    expect(parts.at(-1)).toMatchObject({ type: "error", error: { message: "device lost" } });
  });

  it("stops where it is aborted or left", async () => {
    const controller = new AbortController();
    const model = acting({ say: "I" }, { wait: null });
    const { stream } = await hotset(model).doStream({ prompt: USER, abortSignal: controller.signal });
    const reader = stream.getReader();
    await reader.read();
    controller.abort();
    await expect(
      (async () => {
        for (;;) await reader.read();
      })(),
    ).rejects.toThrow(/abort/i);
    expect(model.running()).toBe(0);
    await expect(hotset(model).doGenerate({ prompt: USER, abortSignal: AbortSignal.abort() })).rejects.toThrow(
      /abort/i,
    );

    const left = acting({ say: "I" }, { say: "!" });
    const other = await hotset(left).doStream({ prompt: USER });
    await other.stream.cancel();
    expect(left.running()).toBe(0);
  });
});

describe("an embedding model of the AI SDK", () => {
  it("embeds every text", async () => {
    const model = hotset.embeddingModel(fakeModel());
    expect(model).toMatchObject({ specificationVersion: "v4", provider: "hotset", modelId: "fake-mixtral" });
    expect(await model.doEmbed({ values: ["ab", "c"] })).toEqual({
      embeddings: [
        [0.5, -1, 2],
        [0.5, -1, 2],
      ],
      usage: { tokens: 3 },
      warnings: [],
    });
  });
});
