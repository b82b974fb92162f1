// `hotset quantize` as a user runs it, and as a user kills it.

import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import { hotset, type Outcome, outcome, start, tales } from "../support/cli.ts";
import { titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { HUNG } from "../support/patience.ts";
import { generator } from "../support/random.ts";
import { some } from "../support/some.ts";

/** How often a run is killed: at first at any moment, at last where the small files are written. */
const KILLS = 8;

/** About 20 MB in q4, in nine shards. */
const MODEL =
  "synthetic:mixtral-8x7b?layers=8&hidden_size=256&intermediate_size=704&num_attention_heads=8&vocab_size=1000";

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "hotset-quantize-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "out");
}

/** Bytes of shards that are there. */
function written(folder: string): number {
  try {
    const shards = readdirSync(folder).filter((name) => name.endsWith(".safetensors"));
    return shards.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
  } catch {
    return 0; // not yet there
  }
}

function expectSameFiles(one: string, other: string): void {
  expect(readdirSync(one)).toEqual(readdirSync(other));
  for (const name of readdirSync(one))
    expect(Buffer.compare(readFileSync(join(one, name)), readFileSync(join(other, name))), name).toBe(0);
}

async function kill(child: ChildProcess): Promise<void> {
  const ended = child.exitCode === null && child.signalCode === null ? once(child, "exit") : null;
  child.kill("SIGKILL");
  await ended;
}

/** A run that stands still in the middle of its work: bytes are written, but not all of them. */
async function halted(to: string): Promise<{ child: ChildProcess; ended: Promise<Outcome> }> {
  for (;;) {
    const child = start(["quantize", MODEL, to]);
    const ended = outcome(child);
    while (written(to) === 0 && child.exitCode === null) await sleep(1);
    child.kill("SIGSTOP");
    if (!existsSync(join(to, "config.json"))) return { child, ended };
    child.kill("SIGCONT"); // this process looked too late
    expect((await ended).code).toBe(0);
    rmSync(to, { recursive: true });
  }
}

describe("hotset quantize", () => {
  it("writes, checks, inspects and opens a folder", async () => {
    const to = temporary();
    const made = await hotset(["quantize", tales, to, "--weights", "q8"]);
    expect(made).toMatchObject({ code: 0, stderr: "" });
    expect(made.stdout).toMatch(/^\S+\/out: q8 weights, 21\.3 MB in 7 files; 21\.3 MB written in \d+\.\d+ s/);
    expect(await hotset(["quantize", tales, to, "--weights", "q8"])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/nothing was left to write\n$/) as string,
    });
    expect(await hotset(["quantize", "--verify", to])).toMatchObject({ code: 0, stderr: "" });
    const { stdout } = await hotset(["inspect", to]);
    expect(stdout).toMatch(/\n {2}quantized +q8, by hotset quantize/);
    expect(stdout).toMatch(/\n {2}memory for weights +q8 \S+ MiB\n/);
    const greedy = ["-p", "Once upon a time", "-n", "8", "--backend", "cpu", "--temperature", "0", "--quiet"];
    const text = await hotset(["generate", to, ...greedy]);
    expect(text).toMatchObject({ code: 0, stderr: "" });
    expect(text.stdout).toBe((await hotset(["generate", tales, "--weights", "q8", ...greedy])).stdout);

    const shard = join(to, "model-00003-of-00007.safetensors");
    const bytes = readFileSync(shard);
    bytes[bytes.length - 1]! ^= 0x10;
    writeFileSync(shard, bytes);
    const found = await hotset(["quantize", "--verify", to]);
    expect(found).toMatchObject({ code: 1, stdout: "" });
    expect(found.stderr).toMatch(/^hotset: .*model-00003-of-00007\.safetensors: tensor model\.layers\.2\.\S+ \(bytes /);
  });

  it.each(
    some<[string[], RegExp]>(
      [
        [["quantize", tales], /expected the folder to write/],
        [["quantize", "--verify", "a", "b"], /takes one folder/],
        [["quantize", "no such folder", "b"], /no such folder/],
        [["quantize", "--verify", tales], /hotset-checksums\.json is missing/],
      ],
      1,
    ),
  )("%j: exit code 1 and one line", async (args, message) => {
    const { code, stdout, stderr } = await hotset(args);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/^hotset: [^\n]+\n$/);
  });

  const killed = `killed at ${KILLS} random moments and started again writes the same bytes as an undisturbed run`;
  it.skipIf(leftToCi)(titled(killed, leftToCi), { timeout: HUNG }, async () => {
    const undisturbed = temporary();
    expect((await hotset(["quantize", MODEL, undisturbed])).code).toBe(0);
    const total = written(undisturbed);
    const random = generator(20);
    const to = temporary();
    let kills = 0;
    let within = 0; // kills that left a half-written folder with bytes of shards in it
    while (kills < KILLS || within < KILLS / 2) {
      // A kill when this share of the bytes is there; the last ones come at the end, when the small
      // files are written. More of the first kind where too many came late.
      const share = kills < 0.8 * KILLS || kills >= KILLS ? random() : 1;
      const child = start(["quantize", MODEL, to]);
      const ended = outcome(child);
      while (written(to) < share * total && child.exitCode === null) await sleep(1);
      if (child.exitCode === null) {
        await sleep(share === 1 ? 60 * random() : 5 * random());
        await kill(child);
        kills++;
      }
      const { stderr } = await ended;
      expect(stderr).toBe("");
      const names = readdirSync(to);
      if (names.includes("config.json")) {
        expect((await hotset(["quantize", MODEL, to])).code).toBe(0);
        expectSameFiles(to, undisturbed);
        rmSync(to, { recursive: true });
      } else if (written(to) > 0) {
        within++;
        // Every third time the run is completed, so that the next kill meets an early moment again.
        if (within % 3 !== 0) continue;
        expect(await hotset(["quantize", MODEL, to])).toMatchObject({ code: 0, stderr: "" });
        expectSameFiles(to, undisturbed);
        rmSync(to, { recursive: true });
      }
    }
    expect((await hotset(["quantize", MODEL, to])).code).toBe(0);
    expectSameFiles(to, undisturbed);
  });

  it("refuses to write what another process writes, and goes on where that was killed", {
    timeout: HUNG,
  }, async () => {
    const to = temporary();
    const { child: first, ended } = await halted(to); // it lives, and does not finish before the second looks
    const second = await hotset(["quantize", MODEL, to]);
    expect(second).toMatchObject({ code: 1, stdout: "" });
    expect(second.stderr).toMatch(new RegExp(`process ${first.pid} on \\S+ is writing this folder now`));
    await kill(first);
    await ended;
    expect(readdirSync(to)).toContain("hotset-quantize.lock");
    expect((await hotset(["quantize", MODEL, to])).code).toBe(0);
    expect((await hotset(["quantize", "--verify", to])).code).toBe(0);
  });

  it.skipIf(leftToCi)(
    titled("ends on Ctrl-C with exit code 130, its lock released, and goes on later", leftToCi),
    async () => {
      const to = temporary();
      const { child, ended } = await halted(to);
      child.kill("SIGINT");
      child.kill("SIGCONT");
      expect(await ended).toMatchObject({ code: 130, stdout: "", stderr: "" });
      expect(readdirSync(to)).not.toContain("hotset-quantize.lock");
      expect(readdirSync(to)).not.toContain("config.json");
      const later = await hotset(["quantize", MODEL, to]);
      expect(later.code).toBe(0);
    },
  );
});
