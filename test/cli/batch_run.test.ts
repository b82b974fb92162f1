import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { openDevice, openOutput } from "../../src/cli/batch_output.ts";
import { progressText } from "../../src/cli/batch_progress.ts";
import { type Counts, runBatch } from "../../src/cli/batch_run.ts";
import { linesOf } from "../../src/cli/line_reader.ts";
import { Seen } from "../../src/cli/seen.ts";
import type { ChatModel } from "../../src/engine/chat_api.ts";
import { DeviceError } from "../../src/errors.ts";
import { type Act, type Fake, fakeModel } from "../server/fake_model.ts";
import { titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";

const lineOf = (word: string, id = word): string =>
  JSON.stringify({
    custom_id: id,
    method: "POST",
    url: "/v1/chat/completions",
    body: { messages: [{ role: "user", content: word }] },
  });

/** Repeats the last message; does first what `acts` has for it. */
function echoModel(acts: Readonly<Record<string, Act>> = {}): Fake {
  return fakeModel({
    acts(messages) {
      const word = messages.at(-1)?.content ?? "";
      return [...(word in acts ? [acts[word]!] : []), { say: word }];
    },
  });
}

function folder() {
  const path = mkdtempSync(join(tmpdir(), "hotset-batch-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  const out = join(path, "out.jsonl");
  return { out, ahead: `${out}.ahead`, read: () => readFileSync(out, "utf8") };
}

interface Run {
  readonly parallel?: number;
  readonly signal?: AbortSignal;
  readonly lineLimit?: number;
}

/** Runs a batch over lines, which come in pieces that end anywhere. */
async function run(lines: readonly string[], out: string, model: ChatModel, options: Run = {}): Promise<Counts> {
  const { parallel = 3, signal = new AbortController().signal, lineLimit = 4096 } = options;
  async function* input() {
    const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""));
    for (let at = 0; at < bytes.length; at += 97) yield bytes.subarray(at, at + 97);
  }
  const output = await openOutput(out, "in.jsonl");
  let done = false;
  try {
    const options = { parallel, lineLimit, signal, onProgress: () => {}, log: () => {} };
    const counts = await runBatch(input(), output, model, options);
    done = true;
    return counts;
  } finally {
    await output.close(done);
  }
}

/** What a line says, without the ids and times of its answer. */
function said(text: string): unknown[] {
  return text
    .trimEnd()
    .split("\n")
    .map((line) => {
      const { id, custom_id, response, error } = JSON.parse(line);
      const { choices, usage } = response?.body ?? {};
      return { id, custom_id, status: response?.status_code, choices, usage, error: error?.code };
    });
}

const WORDS = Array.from({ length: 40 }, (_, i) => `word ${i} ${"é".repeat(i % 5)}`);
const LINES = [
  ...WORDS.map((word) => lineOf(word)),
  "not JSON",
  "",
  "  \r",
  lineOf("again", "word 3 ééé"),
  lineOf("last"),
];

describe("a batch", () => {
  it("answers in the order of the input, each line once, bad ones with an error", async () => {
    const { out, read, ahead } = folder();
    const model = echoModel();
    const counts = await run(LINES, out, model);
    expect(counts).toEqual({ done: 43, before: 0, errors: 2 });
    const lines = said(read()) as { custom_id: string; error?: string; choices?: [{ message: { content: string } }] }[];
    expect(lines.map((line) => line.custom_id)).toEqual([...WORDS, null, "word 3 ééé", "last"]);
    expect(lines.map((line) => line.choices?.[0].message.content)).toEqual([...WORDS, undefined, undefined, "last"]);
    expect(lines.slice(-3).map((line) => line.error)).toEqual(["invalid_json_line", "duplicate_custom_id", undefined]);
    expect(existsSync(ahead)).toBe(false);
    expect(existsSync(`${out}.lock`)).toBe(false);
  });

  it.skipIf(leftToCi)(titled("cut at any byte goes on there, and computes nothing twice", leftToCi), async () => {
    const { out, read } = folder();
    const lines = [LINES[1]!, LINES[0]!, "not JSON", LINES[4]!];
    await run(lines, out, echoModel());
    const whole = read();
    const bytes = Buffer.from(whole);
    const ends = [...bytes.keys()].filter((at) => bytes[at] === 0x0a);
    // Every byte of a line's head and around its end, and some of its body.
    const near = (at: number): boolean => at - ends[0]! < 90 && ends.some((end) => Math.abs(at - end) < 90);
    const cuts = Array.from({ length: bytes.length + 1 }, (_, at) => at).filter((at) => near(at) || at % 41 === 0);
    expect(cuts.length).toBeGreaterThan(200);
    for (const cut of cuts) {
      writeFileSync(out, bytes.subarray(0, cut));
      const model = echoModel();
      const complete = ends.filter((at) => at < cut).length;
      expect(await run(lines, out, model), `cut at ${cut}`).toMatchObject({ done: 4, before: complete });
      expect(model.asked.length).toBe([3, 2, 1, 1, 0][complete]);
      const kept = bytes.subarray(0, (ends[complete - 1] ?? -1) + 1).toString();
      expect(read().startsWith(kept)).toBe(true);
      expect(said(read())).toEqual(said(whole));
    }
  });

  it("keeps answers that are there before their turn", async () => {
    const { out, read, ahead } = folder();
    const controller = new AbortController();
    const stuck = echoModel({ [WORDS[2]!]: { wait: null } });
    const first = run(LINES, out, stuck, { signal: controller.signal });
    const behind = () => (existsSync(ahead) ? readFileSync(ahead, "utf8").split("\n").length - 1 : 0);
    await expect.poll(behind).toBeGreaterThan(30);
    controller.abort(new Error("enough"));
    await expect(first).rejects.toThrow("enough");
    expect(said(read()).length).toBe(2);
    const kept = readFileSync(ahead, "utf8").match(/"status_code":200/g)!.length; // the others are errors
    const model = echoModel();
    expect(await run(LINES, out, model)).toEqual({ done: 43, before: 2, errors: 2 });
    expect(model.asked.length).toBe(41 - 2 - kept);
    expect((said(read()) as { custom_id: string }[]).map((line) => line.custom_id).slice(0, 40)).toEqual(WORDS);
    expect(existsSync(ahead)).toBe(false);
  });

  it("tells a line that is there twice from the first, whose answer is there before its turn", async () => {
    const { out, read } = folder();
    let release = (): void => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const lines = ["a", "b", "b"].map((word) => lineOf(word));
    const answer = run(lines, out, echoModel({ a: { wait: released } }), { parallel: 2 });
    await expect.poll(() => readFileSync(`${out}.ahead`, "utf8").split("\n").length).toBe(3);
    release();
    expect(await answer).toEqual({ done: 3, before: 0, errors: 1 });
    expect(said(read())).toMatchObject([
      { custom_id: "a" },
      { custom_id: "b", status: 200 },
      { custom_id: "b", error: "duplicate_custom_id" },
    ]);
    expect(await run(lines, out, echoModel())).toMatchObject({ done: 3, before: 3 });
  });

  it("holds a bounded number of requests while one is not answered", async () => {
    const { out } = folder();
    let release = (): void => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const model = echoModel({ "word 0 ": { wait: released } });
    const many = Array.from({ length: 500 }, (_, i) => lineOf(`word ${i} `));
    const answer = run(many, out, model, { parallel: 2 });
    await expect.poll(() => model.asked.length).toBe(32);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(model.asked.length).toBe(32);
    release();
    expect(await answer).toMatchObject({ done: 500 });
  });

  it("ends with a lost device, and keeps what is done", async () => {
    const { out, read } = folder();
    const lost = echoModel({ [WORDS[9]!]: { fail: new DeviceError("device lost") } });
    await expect(run(LINES, out, lost, { parallel: 1 })).rejects.toThrow("device lost");
    expect(said(read()).length).toBe(9);
    expect(await run(LINES, out, echoModel())).toMatchObject({ done: 43, before: 9 });
  });

  it.each([
    ["a request that has changed", [lineOf("other", WORDS[0]), ...LINES.slice(1)], /out.jsonl:1 is not the answer/],
    ["other requests", LINES.slice(1), /out.jsonl:1 is not the answer to the request at its place in in.jsonl/],
    ["fewer requests", LINES.slice(0, 3), /out.jsonl:4 is not the answer/],
  ])("refuses an output of %s, and leaves it alone", async (_, lines, message) => {
    const { out, read } = folder();
    await run(LINES, out, echoModel());
    const before = read();
    await expect(run(lines, out, echoModel())).rejects.toThrow(message);
    expect(read()).toBe(before);
  });

  it("refuses an output of another model, another file, and one that is in use", async () => {
    const { out, read } = folder();
    await run(LINES, out, echoModel());
    await expect(run(LINES, out, { ...echoModel(), name: "other" })).rejects.toThrow(/the model have changed/);
    for (const text of ["my notes", "my notes\n", '{"id":"x"}\n']) {
      writeFileSync(out, text);
      await expect(run(LINES, out, echoModel())).rejects.toThrow(/out.jsonl:1 is not the answer/);
      expect(read()).toBe(text);
    }
    rmSync(out);
    const output = await openOutput(out, "in.jsonl");
    await expect(run(LINES, out, echoModel())).rejects.toThrow(/process \d+ .* is writing/);
    await output.close(false);
  });

  it.skipIf(!existsSync("/dev/full"))("ends where the output is full (needs /dev/full, which Linux has)", async () => {
    const output = await openDevice("/dev/full");
    await expect(output.write("a", "text")).rejects.toThrow(/^\/dev\/full cannot be written: the disk is full$/);
    await output.close(false);
  });

  it("goes on behind a finished batch where requests were added", async () => {
    const { out } = folder();
    await run(LINES, out, echoModel());
    const model = echoModel();
    expect(await run([...LINES, lineOf("new")], out, model)).toEqual({ done: 44, before: 43, errors: 0 });
    expect(model.asked.length).toBe(1);
  });
});

describe("the parts of a batch", () => {
  it("reads lines of any length in bounded memory", async () => {
    const text = `a\n${"b".repeat(100)}\n\nc`;
    const lines = [];
    for await (const line of linesOf(
      (async function* () {
        for (const byte of Buffer.from(text)) yield Uint8Array.of(byte);
      })(),
      { limit: 10, digests: true },
    ))
      lines.push(line);
    expect(
      lines.map(({ bytes, length, begin, end, number, ended }) => [
        Buffer.from(bytes).toString(),
        length,
        begin,
        end,
        number,
        ended,
      ]),
    ).toEqual([
      ["a", 1, 0, 2, 1, true],
      ["b".repeat(10), 100, 2, 103, 2, true],
      ["", 0, 103, 104, 3, true],
      ["c", 1, 104, 105, 4, false],
    ]);
    // printf a | sha256sum
    expect(lines[0]!.digest).toBe("ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb");
    expect(lines[1]!.digest).not.toBe(lines[0]!.digest);
  });

  it("remembers what it has seen", () => {
    const seen = new Seen();
    const texts = Array.from({ length: 5000 }, (_, i) => `id ${i}`);
    expect(texts.every((text) => seen.add(text))).toBe(true);
    expect(texts.some((text) => seen.add(text))).toBe(false);
  });

  it.each([
    [
      { done: 120, before: 20, errors: 2 },
      500,
      1000,
      100,
      50,
      "50 % (120 answered, 2 of them errors), 2.0 requests/s, 1 min 3 s left",
    ],
    [{ done: 5, before: 0, errors: 0 }, 500, null, 0, 0.5, "5 answered"],
    [{ done: 400, before: 0, errors: 0 }, 500, null, 0, 10, "400 answered, 40 requests/s"],
  ])("shows progress: %o", (counts, position, size, from, seconds, text) => {
    expect(progressText(counts, position, size, from, seconds)).toBe(text);
  });
});
