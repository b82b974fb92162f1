import { once } from "node:events";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { hotset, outcome, root, start, tales } from "../support/cli.ts";
import { titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { some } from "../support/some.ts";

interface Reference {
  readonly prompts: readonly {
    readonly prompt: string;
    readonly ids: readonly number[];
    readonly greedy_ids: readonly number[];
  }[];
}
const reference = JSON.parse(readFileSync(`${root}/${tales}/reference.json`, "utf8")) as Reference;
const { prompt, ids, greedy_ids } = reference.prompts[0]!;

const CPU = ["generate", tales, "--backend", "cpu"];
const GREEDY = [...CPU, "--weights", "f32", "--temperature", "0", "-n", "24"];

describe("hotset generate --json", () => {
  it("prints one object: the reference's greedy tokens, usage, timings, what ran", async () => {
    const { code, stdout, stderr } = await hotset([...GREEDY, "-p", prompt, "--json", "--logprobs", "2"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout.endsWith("}\n")).toBe(true);
    const report = JSON.parse(stdout);
    expect(report).toEqual({
      text: expect.any(String),
      ids: greedy_ids.slice(0, 24),
      finishReason: "length",
      usage: { promptTokens: ids.length, cachedTokens: 0, completionTokens: 24 },
      timings: {
        loadMs: expect.any(Number),
        promptMs: expect.any(Number),
        promptTps: expect.any(Number),
        decodeMs: expect.any(Number),
        decodeTps: expect.any(Number),
      },
      seed: expect.any(Number),
      model: tales,
      backend: expect.objectContaining({ backend: "cpu", device: expect.any(String), threads: expect.any(Number) }),
      weights: "f32",
      kv: "f32",
      context: 2048,
      memory: { weights: expect.any(Number), kv: expect.any(Number), scratch: expect.any(Number) },
      speculation: { drafted: expect.any(Number), accepted: expect.any(Number) },
      logprobs: expect.any(Array),
    });
    expect(report.logprobs).toHaveLength(24);
    for (const [i, step] of report.logprobs.entries()) {
      expect(step.id).toBe(greedy_ids[i]);
      expect(step.top).toHaveLength(2);
      expect(step.top[0].id).toBe(step.id);
      expect(step.logprob).toBeLessThan(0);
    }
  });

  it("streams the same text, then figures on stderr, or nothing with --quiet", async () => {
    const json = JSON.parse((await hotset([...GREEDY, "-p", prompt, "--json"])).stdout);
    const plain = await hotset([...GREEDY, "-p", prompt]);
    expect(plain).toMatchObject({ code: 0, stdout: `${json.text}\n` });
    expect(plain.stderr).toMatch(
      /^loaded in .+ · prompt \d+ tokens in .+ · generated 24 tokens at .+ tok\/s · cpu .+, weights f32, kv f32 · memory .+ · seed \d+\n$/,
    );
    expect(await hotset([...GREEDY, "-p", prompt, "--quiet"])).toMatchObject({ stdout: plain.stdout, stderr: "" });
  });

  it.skipIf(leftToCi)(titled("says why no tokens are drafted, with --stats and in --json", leftToCi), async () => {
    const off = [...GREEDY, "-n", "1", "-p", prompt, "--speculation", "off"];
    expect((await hotset([...off, "--stats"])).stderr).toMatch(/\ndrafts: none, speculation is off\n$/);
    const report = JSON.parse((await hotset([...off, "--json"])).stdout);
    expect(report).toMatchObject({ noDrafts: "speculation is off" });
    expect(report).not.toHaveProperty("speculation");
  });

  it("takes the prompt from stdin, without its last line end", async () => {
    const piped = await hotset([...GREEDY, "--json"], `${prompt}\n`);
    expect(JSON.parse(piped.stdout)).toMatchObject({ ids: greedy_ids.slice(0, 24) });
  });

  it.skipIf(leftToCi)(titled("takes the last of a repeated option", leftToCi), async () => {
    const twice = await hotset([...GREEDY, "-p", "Another", "-p", prompt, "-n", "3", "--json"]);
    expect(JSON.parse(twice.stdout)).toMatchObject({ ids: greedy_ids.slice(0, 3) });
  });

  it.skipIf(leftToCi)(titled("has nothing to measure where the prompt fills the context", leftToCi), async () => {
    const full = await hotset([...GREEDY, "-p", prompt, "--context", `${ids.length}`]);
    expect(full).toMatchObject({ code: 0, stdout: "\n" });
    expect(full.stderr).toMatch(/ \(-\) · generated 0 tokens at - · /);
  });

  it.skipIf(leftToCi)(titled("repeats itself with the same seed, and not with another", leftToCi), async () => {
    const sample = async (seed: number): Promise<unknown> => {
      const args = [...CPU, "-p", prompt, "--temperature", "1", "-n", "16", "--json", "--seed", `${seed}`];
      return JSON.parse((await hotset(args)).stdout).ids;
    };
    const first = await sample(7);
    expect(await sample(7)).toEqual(first);
    expect(await sample(8)).not.toEqual(first);
  });

  it.skipIf(leftToCi)(
    titled(
      "takes -1 and empty texts as other programs mean them: a seed of its own, what fits, no filter, no end",
      leftToCi,
    ),
    async () => {
      const context = ids.length + 16;
      const odd = ["--seed", "-1", "-n", "-1", "--top-k", "-1", "--stop", "", "--context", String(context)];
      const sample = async () => {
        const { stdout } = await hotset([...CPU, "-p", prompt, "--temperature", "1", "--json", ...odd]);
        return JSON.parse(stdout) as { seed: number; usage: { promptTokens: number; completionTokens: number } };
      };
      const [one, two] = [await sample(), await sample()];
      expect(one.seed).not.toBe(two.seed);
      expect(one.usage.promptTokens + one.usage.completionTokens).toBe(context);
    },
  );

  it("ends before any of the texts given with --stop", async () => {
    const { text } = JSON.parse((await hotset([...GREEDY, "-p", prompt, "--json"])).stdout);
    const stop = text.slice(10, 14);
    const args = [...GREEDY, "-p", prompt, "--json", "--stop", "no such text", "--stop", stop];
    const report = JSON.parse((await hotset(args)).stdout);
    expect(report).toMatchObject({ finishReason: "stop", text: text.slice(0, text.indexOf(stop)) });
  });
});

describe("an end from outside", () => {
  const ENDLESS = [...CPU, "-p", prompt, "--temperature", "1", "--seed", "1", "-n", "2000"];

  it.each(
    some<[NodeJS.Signals, number]>(
      [
        ["SIGINT", 130],
        ["SIGTERM", 143],
      ],
      1,
    ),
  )("%s: exit code %i and no stack", async (signal, code) => {
    const child = start(ENDLESS);
    const done = outcome(child);
    await once(child.stdout!, "data");
    child.kill(signal);
    expect(await done).toMatchObject({ code, signal: null, stderr: "" });
  });

  it("Ctrl-C in the middle of a long step does not wait for its end", async () => {
    const slow = ["--threads", "1", "--weights", "q8", "--activations", "f32", "--chunk", "2048"];
    // Nothing tells that the long step has begun: a process that was not ready to be asked is asked
    // later, and one that had ended earlier.
    for (let wait = 1000; ; ) {
      const child = start([...CPU, ...slow, "-n", "2"], "the fox said once upon a time there was ".repeat(180));
      const done = outcome(child);
      await new Promise((resolve) => setTimeout(resolve, wait));
      child.kill("SIGINT");
      const { signal, ...end } = await done;
      if (signal === "SIGINT") wait *= 1.7;
      else if (end.code === 0) wait *= 0.7;
      else {
        expect({ signal, ...end }).toMatchObject({ code: 130, signal: null, stdout: "", stderr: "" });
        return;
      }
    }
  });

  it("Ctrl-C while stdin is being read", async () => {
    const child = start(CPU);
    const done = outcome(child);
    // More than a pipe holds: once it is written, the command is reading.
    await new Promise((resolve) => child.stdin!.write("half a prompt ".repeat(200_000), resolve));
    child.kill("SIGINT");
    expect(await done).toMatchObject({ code: 130, signal: null, stdout: "", stderr: "" });
  });

  it("a reader that closes the pipe: exit code 0, nothing on stderr", async () => {
    const child = start(ENDLESS);
    const done = outcome(child);
    await once(child.stdout!, "data");
    child.stdout!.destroy();
    expect(await done).toMatchObject({ code: 0, signal: null, stderr: "" });
  });
});
