import { describe, expect, it } from "vitest";
import type { CreateOptions, PromptInput, PromptOptions } from "../../src/adapters/prompt.ts";
import { promptApi } from "../../src/adapters/prompt.ts";
import { DeviceError, RequestError } from "../../src/errors.ts";
import { type Act, type Fake, fakeModel, type Script } from "../server/fake_model.ts";

/** Answers each prompt with its number: a1, a2, ... */
function counting(before: (n: number) => Act[] = () => []): Fake {
  let n = 0;
  return fakeModel({ acts: () => [...before(++n), { say: "a" }, { say: String(n) }] });
}

const acting = (acts: Script["acts"] & {}): Fake => fakeModel({ acts });
const create = (model: Fake, options?: CreateOptions) => promptApi(model).create(options);
const texts = (model: Fake, i: number) => model.asked[i]!.messages!.map(({ role, content }) => `${role[0]}:${content}`);

async function chunksOf(stream: ReadableStream<string>): Promise<string[]> {
  const chunks: string[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

describe("a session of the Prompt API", () => {
  it("holds a conversation", async () => {
    const model = counting();
    const session = await create(model, { initialPrompts: [{ role: "system", content: "Be brief." }] });
    expect(await session.prompt("one")).toBe("a1");
    expect(
      await chunksOf(
        session.promptStreaming([
          {
            role: "user",
            content: [
              { type: "text", value: "t" },
              { type: "text", value: "wo" },
            ],
          },
        ]),
      ),
    ).toEqual(["a", "2"]);
    await session.append([
      { role: "user", content: "three" },
      { role: "assistant", content: "a3" },
    ]);
    expect(await session.prompt([])).toBe("a3");
    expect(texts(model, 2)).toEqual(["s:Be brief.", "u:one", "a:a1", "u:two", "a:a2", "u:three", "a:a3", "u:"]);
  });

  it("continues a prefix", async () => {
    const model = counting();
    const session = await create(model);
    const prefix: PromptInput = [
      { role: "user", content: "one" },
      { role: "assistant", content: "```", prefix: true },
    ];
    expect(await session.prompt(prefix)).toBe("a1");
    expect(model.asked[0]!.options.continueAssistant).toBe(true);
    await session.prompt("two");
    expect(texts(model, 1)).toEqual(["u:one", "a:```a1", "u:two"]);
  });

  it.each<[string, CreateOptions, object]>([
    ["nothing", {}, {}],
    ["topK and temperature", { topK: 3.7, temperature: 0.5 }, { topK: 3, temperature: 0.5 }],
    ["more than the most", { topK: Number.POSITIVE_INFINITY, temperature: 9 }, { topK: 1000, temperature: 2 }],
    ["a sampling mode", { samplingMode: "most-predictable" }, { temperature: 0 }],
    ["the default mode", { samplingMode: "default", topK: 2 }, { topK: 2 }],
  ])("samples as asked for: %s", async (_, options, expected) => {
    const model = counting();
    await (await create(model, options)).prompt("one");
    const { signal: _signal, ...rest } = model.asked[0]!.options;
    expect(rest).toEqual(expected);
  });

  it("says how it samples", async () => {
    const session = await create(counting(), { topK: 3, temperature: 0.5 });
    expect([session.topK, session.temperature, session.samplingMode]).toEqual([3, 0.5, "default"]);
    const other = await create(counting(), { samplingMode: "creative" });
    expect([other.topK, other.temperature, other.samplingMode]).toEqual([undefined, undefined, "creative"]);
    expect(await promptApi(counting()).params()).toMatchObject({ maxTopK: 1000, maxTemperature: 2 });
  });

  it.each<[string, PromptOptions, object]>([
    [
      "a schema",
      { responseConstraint: { type: "number" } },
      { type: "json_schema", schema: { type: "number" }, strict: true },
    ],
    ["a pattern", { responseConstraint: /a|b/u, omitResponseConstraintInput: true }, { type: "regex", pattern: "a|b" }],
  ])("holds answers to %s", async (_, options, responseFormat) => {
    const model = counting();
    await (await create(model)).prompt("one", options);
    expect(model.asked[0]!.options).toMatchObject({ responseFormat });
  });

  it("calls tools until there is an answer", async () => {
    const called: unknown[] = [];
    const model = acting((messages) =>
      messages.at(-1)?.role === "tool"
        ? [{ say: "sunny" }]
        : [{ say: "I look. " }, { call: "weather", args: ['{"city":', '"Paris"}'] }, { call: "time", args: [] }],
    );
    const session = await create(model, {
      tools: [
        {
          name: "weather",
          description: "w",
          inputSchema: { type: "object" },
          async execute({ city }: { city: string }) {
            called.push(city);
            return "21";
          },
        },
        { name: "time", description: "t", inputSchema: {}, execute: async () => ({ h: 3 }) as unknown as string },
      ],
    });
    expect(await session.prompt("weather?")).toBe("I look. sunny");
    expect(called).toEqual(["Paris"]);
    expect(model.asked[0]!.options.tools).toEqual([
      { name: "weather", description: "w", parameters: { type: "object" } },
      { name: "time", description: "t", parameters: {} },
    ]);
    expect(model.asked[1]!.messages!.slice(1)).toEqual([
      {
        role: "assistant",
        content: "I look. ",
        toolCalls: [
          { id: "call00000", name: "weather", arguments: '{"city":"Paris"}' },
          { id: "call00001", name: "time", arguments: "{}" },
        ],
      },
      { role: "tool", content: "21", toolCallId: "call00000", name: "weather" },
      { role: "tool", content: '{"h":3}', toolCallId: "call00001", name: "time" },
    ]);
  });

  it("leaves out a call that was cut off, and runs one without arguments before it", async () => {
    const called: string[] = [];
    const model = fakeModel({
      acts: (messages) =>
        messages.at(-1)?.role === "tool"
          ? [{ say: "noon" }]
          : [
              { call: "time", args: [] },
              { call: "weather", args: ['{"city":'] },
            ],
      finish: { reason: "length" },
    });
    const tools = ["time", "weather"].map((name) => ({
      ...{ name, description: name, inputSchema: {} },
      execute: async () => String(called.push(name)),
    }));
    const session = await create(model, { tools });
    expect(await session.prompt("when?")).toBe("noon");
    expect(called).toEqual(["time"]);
  });

  it("ends where a tool fails, or is called without end", async () => {
    const model = acting(() => [{ call: "t", args: [] }]);
    const base = { name: "t", description: "t", inputSchema: {} };
    const failing = await create(model, { tools: [{ ...base, execute: () => Promise.reject(new Error("offline")) }] });
    await expect(failing.prompt("one")).rejects.toThrow("offline");
    const endless = await create(model, { tools: [{ ...base, execute: async () => "again" }] });
    await expect(endless.prompt("one")).rejects.toMatchObject({ name: "OperationError" });
    const unknown = await create(acting(() => [{ call: "other", args: [] }]));
    await expect(unknown.prompt("one")).rejects.toThrow("other, which is no tool");
  });

  it("counts tokens", async () => {
    const session = await create(counting(), { initialPrompts: [{ role: "system", content: "abc" }] });
    expect(session.contextWindow).toBe(4096);
    expect(session.contextUsage).toBe(6); // the fake model counts letters, and three more
    expect(await session.measureContextUsage("hello")).toBe(5);
    expect(session.contextUsage).toBe(6);
    await session.append("hello");
    expect([session.contextUsage, session.inputUsage, session.inputQuota]).toEqual([11, 11, 4096]);
    await session.prompt("one");
    expect(session.contextUsage).toBe(7); // as the answer says: 5 and 2
  });

  it("drops the oldest turns when the context is full, and says so", async () => {
    const model = { ...counting(), context: 60 };
    const session = await create(model, { initialPrompts: [{ role: "system", content: "12345" }] });
    let events = 0;
    session.oncontextoverflow = () => events++;
    session.addEventListener("quotaoverflow", () => events++);
    await session.prompt("a".repeat(20));
    await session.prompt("b".repeat(20));
    expect(events).toBe(0);
    await session.prompt("c".repeat(20));
    expect(events).toBe(2);
    expect(texts(model, 2)).toEqual(["s:12345", `u:${"b".repeat(20)}`, "a:a2", `u:${"c".repeat(20)}`]);
    const long = session.prompt("d".repeat(70));
    await expect(long).rejects.toMatchObject({ name: "QuotaExceededError", requested: 70 });
    expect(events).toBe(2);
    await session.prompt("e");
    expect(texts(model, 3).at(-3)).toBe(`u:${"c".repeat(20)}`);
    const initial: CreateOptions = { initialPrompts: [{ role: "user", content: "f".repeat(70) }] };
    await expect(create(model, initial)).rejects.toMatchObject({ name: "QuotaExceededError" });
  });

  it("answers one prompt after the other", async () => {
    const model = counting();
    const session = await create(model);
    const [one, two] = await Promise.all([session.prompt("one"), session.prompt("two")]);
    expect([one, two]).toEqual(["a1", "a2"]);
    expect(texts(model, 1)).toEqual(["u:one", "a:a1", "u:two"]);
  });

  it("forgets a prompt that is aborted, also one that waits", async () => {
    const model = counting((n) => (n === 1 ? [{ say: "I" }, { wait: null }] : []));
    const session = await create(model);
    const [first, second] = [new AbortController(), new AbortController()];
    const running = session.prompt("one", { signal: first.signal });
    const waiting = session.prompt("two", { signal: second.signal });
    const last = session.prompt("three");
    await expect.poll(() => model.running()).toBe(1);
    second.abort();
    await expect(waiting).rejects.toMatchObject({ name: "AbortError" });
    first.abort(new Error("enough"));
    await expect(running).rejects.toThrow("enough");
    expect(await last).toBe("a2");
    expect(texts(model, 1)).toEqual(["u:three"]);
    await expect(session.prompt("four", { signal: AbortSignal.abort() })).rejects.toMatchObject({ name: "AbortError" });
  });

  it("stops an answer whose stream is left", async () => {
    const model = counting(() => [{ say: "I" }, { wait: null }]);
    const session = await create(model);
    const reader = session.promptStreaming("one").getReader();
    expect(await reader.read()).toEqual({ done: false, value: "I" });
    await reader.cancel();
    await expect.poll(() => model.running()).toBe(0);
  });

  it("is copied with its conversation", async () => {
    const model = counting();
    const session = await create(model, { temperature: 0.5 });
    await session.prompt("one");
    const copy = await session.clone();
    await session.prompt("two");
    await copy.prompt("three");
    expect(texts(model, 2)).toEqual(["u:one", "a:a1", "u:three"]);
    expect(copy.temperature).toBe(0.5);
    session.destroy();
    expect(await copy.prompt("four")).toBe("a4");
  });

  it("ends all with destroy, or its signal", async () => {
    const model = counting(() => [{ wait: null }]);
    const session = await create(model);
    const running = session.prompt("one");
    const stream = chunksOf(session.promptStreaming("two"));
    await expect.poll(() => model.running()).toBe(1);
    session.destroy();
    await expect(running).rejects.toMatchObject({ name: "AbortError" });
    await expect(stream).rejects.toMatchObject({ name: "AbortError" });
    await expect(session.prompt("three")).rejects.toMatchObject({ name: "AbortError" });
    await expect(session.clone()).rejects.toMatchObject({ name: "AbortError" });
    expect(model.running()).toBe(0);
    const controller = new AbortController();
    const signalled = await create(model, { signal: controller.signal });
    controller.abort(new Error("leaving"));
    await expect(signalled.prompt("one")).rejects.toThrow("leaving");
  });

  it.each<[string, PromptInput, PromptOptions, string]>([
    ["a late system message", [{ role: "system", content: "a" }], {}, "TypeError"],
    ["an image", [{ role: "user", content: [{ type: "image", value: {} }] }], {}, "NotSupportedError"],
    ["a value that is no text", [{ role: "user", content: [{ type: "text", value: 1 }] }], {}, "TypeError"],
    ["a prefix of the user", [{ role: "user", content: "a", prefix: true }], {}, "SyntaxError"],
    [
      "a prefix in the middle",
      [
        { role: "assistant", content: "a", prefix: true },
        { role: "user", content: "a" },
      ],
      {},
      "SyntaxError",
    ],
    ["another role", [{ role: "tool" as "user", content: "a" }], {}, "TypeError"],
    ["no text", 1 as unknown as string, {}, "TypeError"],
    ["a pattern's flag", "a", { responseConstraint: /a/i }, "NotSupportedError"],
    ["an omitted constraint that is none", "a", { omitResponseConstraintInput: true }, "TypeError"],
  ])("refuses %s", async (_, input, options, name) => {
    const session = await create(counting());
    await session.prompt("one");
    await expect(session.prompt(input, options)).rejects.toMatchObject({ name });
    expect(await session.prompt("two")).toBe("a2");
  });

  it.each<[string, Error, object]>([
    ["of a request", new RequestError("no such keyword"), { name: "NotSupportedError", message: "no such keyword" }],
    ["of a device", new DeviceError("device lost"), { name: "DeviceError" }],
  ])("hands on errors: %s", async (_, fail, expected) => {
    const session = await create(acting(() => [{ fail }]));
    await expect(session.prompt("one")).rejects.toMatchObject(expected);
    await expect(chunksOf(session.promptStreaming("one"))).rejects.toMatchObject(expected);
  });
});

describe("the Prompt API", () => {
  it.each<[string, CreateOptions, string]>([
    ["images", { expectedInputs: [{ type: "text" }, { type: "image" }] }, "NotSupportedError"],
    ["both ways to sample", { samplingMode: "creative", topK: 3 }, "TypeError"],
    ["a mode that is none", { samplingMode: "wild" as "creative" }, "TypeError"],
    ["topK of 0", { topK: 0 }, "RangeError"],
    ["a temperature below 0", { temperature: -1 }, "RangeError"],
    ["no language", { expectedOutputs: [{ type: "text", languages: ["no language"] }] }, "RangeError"],
    [
      "a second system message",
      {
        initialPrompts: [
          { role: "user", content: "a" },
          { role: "system", content: "a" },
        ],
      },
      "TypeError",
    ],
    ["a prefix to begin with", { initialPrompts: [{ role: "assistant", content: "a", prefix: true }] }, "SyntaxError"],
  ])("refuses to create a session with %s", async (_, options, name) => {
    await expect(create(counting(), options)).rejects.toMatchObject({ name });
  });

  it("tells what is available", async () => {
    const api = promptApi(counting());
    expect(await api.availability()).toBe("available");
    expect(await api.availability({ expectedInputs: [{ type: "text", languages: ["en", "ja"] }] })).toBe("available");
    expect(await api.availability({ expectedOutputs: [{ type: "audio" }] })).toBe("unavailable");
  });

  it("opens the model when it is first needed, once, and again after a failure", async () => {
    let openings = 0;
    let release = (_: Fake): void => {};
    const api = promptApi({
      async open(onProgress) {
        if (++openings === 1) throw new Error("offline");
        onProgress(5, 10);
        return new Promise<Fake>((resolve) => {
          release = resolve;
        });
      },
    });
    expect(await api.availability()).toBe("downloadable");
    await expect(api.create()).rejects.toThrow("offline");
    expect(await api.availability()).toBe("downloadable");

    const loaded: number[] = [];
    const monitor = (target: EventTarget) =>
      target.addEventListener("downloadprogress", (event) => loaded.push((event as ProgressEvent).loaded));
    const controller = new AbortController();
    const first = api.create({ monitor });
    const left = api.create({ signal: controller.signal });
    expect(await api.availability()).toBe("downloading");
    controller.abort();
    await expect(left).rejects.toMatchObject({ name: "AbortError" });
    release(counting());
    expect(await (await first).prompt("one")).toBe("a1");
    expect(await (await api.create()).prompt("two")).toBe("a2");
    expect(loaded).toEqual([0, 0.5, 1]);
    expect(openings).toBe(2);
    expect(await api.availability()).toBe("available");
  });
});
