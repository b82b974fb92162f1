// What a page hears of a model in a worker, by messages alone.

import { afterEach, describe, expect, it } from "vitest";
import {
  BusyError,
  DeviceError,
  HotsetError,
  HubError,
  MemoryError,
  RequestError,
  WeightsError,
} from "../../src/errors.ts";
import { turn } from "../../src/turn.ts";
import { WINDOW } from "../../src/worker/protocol.ts";
import type { WorkerModel } from "../../src/worker/types.ts";
import { type Done, type Setup, setUp, standIn, texts } from "./stand_in.ts";

describe("a model in a worker", () => {
  let closing: WorkerModel | null = null;
  const opened = async (setup: Setup): Promise<WorkerModel> => {
    closing = await setup.model;
    return closing;
  };
  afterEach(async () => {
    await closing?.close();
    closing = null;
  });

  it("tells what it is, and answers calls", async () => {
    const model = await opened(setUp());
    expect(model).toMatchObject({
      config: { model_type: "stand-in" },
      context: 64,
      warnings: ["one thread"],
      sampling: { temperature: 0.5 },
    });
    expect(await model.tokenize("abc", true)).toEqual([1, 3]);
    expect(await model.detokenize([4, 5])).toBe("4 5");
    expect(await model.countTokens([{ role: "user", content: "x" }])).toBe(1);
    expect(await model.logits([1, 2])).toEqual(Float32Array.of(1, 2));
    expect(await model.stats()).toEqual({ context: 64 });
  });

  it("generates, and its sessions know their tokens", async () => {
    const model = await opened(setUp());
    const session = model.session();
    expect(await texts(session.generate("A", { maxTokens: 2 }))).toEqual(["0", "1"]);
    expect(session.tokens).toEqual([65, 0, 1]);
    expect(await texts(session.generate([65, 0, 7], { maxTokens: 1 }))).toEqual(["0"]);
    expect(session.tokens).toEqual([65, 0, 7, 0]);
    const again = await model.restore(await session.save());
    expect(again.tokens).toEqual([65, 0, 7, 0]);
  });

  it("tells warnings and turns, and sends a library's schemas as JSON Schema", async () => {
    const heard: unknown[] = [];
    const parameters = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: () => ({ value: 1 }),
        jsonSchema: { input: () => ({ a: 1 }) },
      },
    } as const;
    const chat = (await opened(setUp())).chat([], {
      tools: [{ name: "f", parameters }],
      onWarnings: (warnings) => heard.push(warnings),
      onTurn: () => heard.push("turn"),
    });
    expect((await chat.next()).value).toEqual({ type: "text", text: '{"a":1}' });
    expect(heard).toEqual([["it is only a stand-in"], "turn"]);
    await chat.return!();
  });

  it("makes no more pieces than fit the window for a reader that does not read", async () => {
    const setup = setUp();
    const model = await opened(setup);
    const pieces = model.session().generate("A", { maxTokens: 1000 });
    for (let i = 0; i < 3; i++) expect((await pieces.next()).value).toMatchObject({ text: String(i) });
    for (let i = 0; i < 20 * WINDOW; i++) await turn();
    expect(setup.done.pieces).toBeLessThanOrEqual(WINDOW + 1);
    expect(await texts(pieces)).toHaveLength(997); // and goes on when it is read
    expect(setup.done.ended).toEqual(["done"]);
  });

  it("frees what a reader leaves, before the reader goes on", async () => {
    const setup = setUp();
    const model = await opened(setup);
    for await (const _ of model.session().generate("A", { maxTokens: 1000 })) break;
    expect(setup.done.ended).toHaveLength(1);
    expect(setup.done.pieces).toBeLessThanOrEqual(WINDOW + 1);
  });

  it("aborts with the signal's own reason, read or unread", async () => {
    const setup = setUp();
    const model = await opened(setup);
    for (const read of [true, false]) {
      const controller = new AbortController();
      const pieces = model.session().generate("A", { maxTokens: 1000, signal: controller.signal });
      await pieces.next();
      const next = read ? texts(pieces) : null;
      const reason = new Error("enough");
      controller.abort(reason);
      await expect(next ?? texts(pieces)).rejects.toBe(reason);
    }
    expect(setup.done.ended).toHaveLength(2);
    const controller = new AbortController();
    const vector = model.embed([1], controller.signal);
    controller.abort();
    await expect(vector).rejects.toThrow(expect.objectContaining({ name: "AbortError" }));
  });

  const errors: readonly Error[] = [
    new RequestError("bad", { code: "context_length_exceeded", overflow: { tokens: 9, context: 8 }, param: "prompt" }),
    new HubError("gone", 404, {}, 3),
    new WeightsError("no config.json"),
    new MemoryError("too small"),
    new BusyError("full"),
    new DeviceError("no adapter"),
    new HotsetError("other"),
    new TypeError("a bug"),
    new DOMException("aborted", "AbortError"),
  ];
  it.each(errors.map((error) => [error.name, error] as const))(
    "%s keeps its class, message and details",
    async (_, error) => {
      const failing = setUp({}, () => Promise.reject(error));
      const found = await failing.model.catch((thrown: unknown) => thrown);
      expect(found).toBeInstanceOf(error.constructor);
      expect(found).toMatchObject({ name: error.name, message: error.message, stack: error.stack });
      if (error instanceof RequestError) expect(found).toMatchObject({ detail: error.detail });
      if (error instanceof HubError) expect(found).toMatchObject({ status: 404, retryAfter: 3 });
      expect(failing.stopped()).toBe(true);
    },
  );

  it("throws a generation's error, and answers others afterwards", async () => {
    const model = await opened(setUp());
    const session = model.session();
    await expect(texts(session.generate("fail"))).rejects.toThrow(new DeviceError("the device was lost"));
    expect(await texts(session.generate("A"))).toEqual(["0", "1", "2"]);
  });

  it("ends what computes with what the page's functions throw, and answers others afterwards", async () => {
    const no = new RangeError("enough seen");
    let calm = false;
    let tell = (): void => {};
    const onRoutes = (): void => {
      if (!calm) throw no;
    };
    const done: Done = { pieces: 0, ended: [], closed: false };
    const setup = setUp({ onRoutes }, async (_, watch) => {
      tell = () => watch.onRoutes!({ tokens: 1, sequences: 1, layers: [] });
      return standIn(done);
    });
    const model = await opened(setup);
    const session = model.session();
    const reading = texts(session.generate("a", { maxTokens: 1e6 }));
    const embedding = model.embed([1]);
    await expect.poll(() => done.pieces).toBeGreaterThan(0);
    tell();
    const rejected = { status: "rejected", reason: no };
    expect(await Promise.allSettled([reading, embedding])).toEqual([rejected, rejected]);
    expect(done.ended).toHaveLength(1); // the engine computes no more of it
    calm = true;
    tell();
    expect(await texts(session.generate("b"))).toEqual(["0", "1", "2"]);
    for (const event of ["onWarnings", "onTurn"])
      await expect(
        model.chat([{ role: "user", content: "?" }], { [event]: onRoutes }).next(),
        event,
      ).resolves.toBeDefined();
    calm = false;
    for (const event of ["onWarnings", "onTurn"]) {
      const answers = model.chat([{ role: "user", content: "?" }], { [event]: onRoutes });
      await expect(texts(answers as AsyncIterable<{ text: string }>), event).rejects.toBe(no);
    }
  });

  it("is not opened where the page's own progress throws", async () => {
    const no = new RangeError("not this one");
    const onProgress = (): void => {
      throw no;
    };
    const setup = setUp({ onProgress }, async (_, { onProgress }) => {
      onProgress!(1, 2);
      return new Promise(() => {});
    });
    await expect(setup.model).rejects.toBe(no);
    expect(setup.stopped()).toBe(true);
  });

  it("that dies rejects all that waits, and all that is asked later", async () => {
    const setup = setUp();
    const model = await opened(setup);
    const waiting = [texts(model.session().generate("A", { maxTokens: 1e6 })), model.embed([1]), model.stats()];
    const results = Promise.allSettled(waiting);
    setup.die();
    for (const result of await results)
      expect(result).toMatchObject({ status: "rejected", reason: expect.any(HotsetError) });
    await expect(model.stats()).rejects.toThrow(/has ended: the browser has ended it; open the model again/);
    expect(() => model.session()).toThrow(HotsetError);
    expect(setup.stopped()).toBe(true);
    await model.close();
  });

  it("rejects running generations when it is closed, and later calls", async () => {
    const setup = setUp();
    const model = await opened(setup);
    const session = model.session();
    const pieces = session.generate("A", { maxTokens: 1e6 });
    await pieces.next();
    const rest = texts(pieces).catch((error: unknown) => error);
    await Promise.all([model.close(), model.close()]);
    expect(await rest).toBeInstanceOf(RequestError);
    expect(setup.done.closed && setup.stopped()).toBe(true);
    await expect(model.stats()).rejects.toThrow(new RequestError("the model is closed"));
    await expect(texts(session.generate("A"))).rejects.toThrow(RequestError);
  });

  it("refuses what cannot be sent, and says why", async () => {
    const model = await opened(setUp());
    const session = model.session();
    const constraint = { mask: async () => null, accept: () => {}, ended: false, close: () => {} };
    await expect(texts(session.generate("A", { constraint }))).rejects.toThrow(/constraint: .*responseFormat instead/);
    const templateVariables = { f: () => 1 };
    await expect(model.chat([], { templateVariables }).next()).rejects.toThrow(/chat: an argument cannot be sent/);
    session.close();
    await expect(texts(session.generate("A"))).rejects.toThrow("the session was closed");
  });

  it("reports progress while it opens, and remembers what the worker learns", async () => {
    const steps: unknown[] = [];
    const setup = setUp({ onProgress: (...step) => steps.push(step) }, async (_, { onProgress, onTuning }, store) => {
      onProgress!(1, 2);
      expect(onTuning).toBeUndefined();
      await store.write("kernels", "fast");
      expect(await store.read("kernels")).toBe("fast");
      return standIn({ pieces: 0, ended: [], closed: false });
    });
    await opened(setup);
    expect(steps).toEqual([[1, 2]]);
  });

  it("stops opening when the signal says so", async () => {
    const controller = new AbortController();
    const setup = setUp({ signal: controller.signal }, () => new Promise(() => {}));
    const reason = new Error("enough");
    controller.abort(reason);
    await expect(setup.model).rejects.toBe(reason);
    expect(setup.stopped()).toBe(true);
  });

  it("that does not start is a DeviceError", async () => {
    const setup = setUp({}, () => new Promise(() => {}));
    setup.die();
    await expect(setup.model).rejects.toThrow(DeviceError);
  });
});
