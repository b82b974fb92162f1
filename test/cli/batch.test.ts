import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { hotset, outcome, start, tales } from "../support/cli.ts";
import { titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "hotset-batch-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const WORDS = ["fox", "wolf", "king", "witch", "bread", "forest"];
const REQUESTS: readonly (readonly [string, object])[] = WORDS.flatMap((word, i) => [
  [
    "/v1/chat/completions",
    {
      messages: [{ role: "user", content: `Tell me of a ${word}.` }],
      max_tokens: 16 + 8 * (i % 3),
      temperature: 0,
      seed: i,
    },
  ],
  ["/v1/completions", { prompt: `The ${word} said`, max_tokens: 12, temperature: 0.8, seed: i }],
  ["/v1/responses", { input: `Who is the ${word}?`, max_output_tokens: 16, temperature: 0 }],
  ["/v1/embeddings", { input: word }],
  ["/v1/chat/completions", { messages: [{ role: "user", content: word }], max_tokens: 8, temperature: -1 }],
]);
const INPUT = REQUESTS.map(
  ([url, body], i) => `${JSON.stringify({ custom_id: `r${i}`, method: "POST", url, body })}\n`,
).join("");

/** Answers without what differs from run to run: ids, times, and what was cached. */
function said(text: string): unknown[] {
  return text
    .trimEnd()
    .split("\n")
    .map((line) => {
      const { id, custom_id, response, error } = JSON.parse(line);
      const { choices, data, output, usage, error: rejected } = response.body;
      const texts = output?.map(({ content }: { content: unknown }) => content);
      const tokens = usage && [usage.prompt_tokens ?? usage.input_tokens, usage.total_tokens];
      return { id, custom_id, status: response.status_code, choices, data, texts, tokens, rejected, error };
    });
}

/** Signals, and after how many of 30 answers each comes. */
const KILLS = [
  ["SIGKILL", 1],
  ["SIGINT", 8],
  ["SIGKILL", 15],
] as const;
/** With more answers than this a run may end before a signal comes. */
const LATE = 25;

describe("hotset batch", () => {
  it.skipIf(leftToCi)(titled("killed several times answers as a run that is left alone", leftToCi), async () => {
    const path = folder();
    const [input, whole, killed] = ["in.jsonl", "whole.jsonl", "killed.jsonl"].map((name) => join(path, name));
    writeFileSync(input!, INPUT);
    const args = (out: string) => ["batch", tales, input!, out, "--backend", "cpu", "--parallel", "4"];
    const alone = await hotset(args(whole!));
    expect(alone).toMatchObject({ code: 0, stdout: "" });
    expect(alone.stderr).toMatch(/whole.jsonl: 30 answers, 30 in .* \(.* requests\/s\), 6 with an error\n$/);
    expect(said(readFileSync(whole!, "utf8")).length).toBe(30);

    const lines = () => (existsSync(killed!) ? readFileSync(killed!, "utf8").split("\n").length - 1 : 0);
    const kept: string[] = [];
    for (const [signal, after] of KILLS) {
      const before = kept.at(-1) ?? "";
      for (;;) {
        const child = start(args(killed!));
        const ended = outcome(child);
        await expect.poll(() => lines() >= after || child.exitCode !== null, { interval: 2 }).toBe(true);
        child.kill("SIGSTOP");
        const late = lines() > LATE;
        if (!late) child.kill(signal);
        child.kill("SIGCONT");
        const { code } = await ended;
        if (!late) {
          expect(code).toBe(signal === "SIGINT" ? 130 : null);
          break;
        }
        writeFileSync(killed!, before); // this process looked too late
      }
      const text = readFileSync(killed!, "utf8");
      expect(text.startsWith(before)).toBe(true); // nothing that was answered is lost
      kept.push(text.slice(0, text.lastIndexOf("\n") + 1));
    }
    const last = await hotset(args(killed!));
    expect(last.code).toBe(0);
    expect(last.stderr).toMatch(/killed.jsonl: 30 answers, \d+ of them of earlier runs, /);
    const text = readFileSync(killed!, "utf8");
    expect(text.startsWith(kept.at(-1)!)).toBe(true);
    expect(said(text)).toEqual(said(readFileSync(whole!, "utf8")));

    const [first, ...rest] = INPUT.split("\n");
    writeFileSync(input!, [first!.replace("fox", "cat"), ...rest].join("\n"));
    const changed = await hotset(args(killed!));
    expect(changed.code).toBe(1);
    expect(changed.stderr).toMatch(/^hotset: .*killed.jsonl:1 is not the answer to the request at its place [^\n]*\n$/);
    expect(readFileSync(killed!, "utf8")).toBe(text);
  });

  it("reads stdin and writes stdout", async () => {
    const [line] = INPUT.split("\n");
    const { code, stdout, stderr } = await hotset(
      ["batch", tales, "-", "-", "--backend", "cpu", "--quiet"],
      `${line}\nno JSON`,
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const answers = stdout
      .trimEnd()
      .split("\n")
      .map((text) => JSON.parse(text));
    expect(answers).toMatchObject([
      { custom_id: "r0", response: { status_code: 200, body: { object: "chat.completion", model: "tales" } } },
      { custom_id: null, response: null, error: { code: "invalid_json_line" } },
    ]);
  });

  it.each([
    ["no input", ["none.jsonl", "out.jsonl"], /none.jsonl cannot be read: there is no such file/],
    ["a folder as input", [".", "out.jsonl"], /expected a file of requests, found a folder/],
    ["a folder as output", ["in.jsonl", "."], /expected a file for the answers, found a folder/],
    ["no such folder", ["in.jsonl", "none/out.jsonl"], /none\/out.jsonl cannot be written: there is no such folder/],
    ["one file for both", ["in.jsonl", "in.jsonl"], /in.jsonl is the file of requests itself/],
  ])("with %s fails before the model is loaded", async (_, names, message) => {
    const path = folder();
    writeFileSync(join(path, "in.jsonl"), INPUT);
    const { code, stderr } = await hotset(["batch", "no model", ...names.map((name) => join(path, name))]);
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
    expect(stderr.split("\n").length).toBe(2);
    expect(readFileSync(join(path, "in.jsonl"), "utf8")).toBe(INPUT);
  });
});
