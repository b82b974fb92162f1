import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { decodes, parseTrace } from "../../src/experts/trace.ts";
import { hotset, outcome, start, tales } from "../support/cli.ts";

function tracePath(): string {
  const folder = mkdtempSync(join(tmpdir(), "hotset-trace-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "routes.jsonl");
}

const ARGS = ["generate", tales, "--backend", "cpu", "-p", "Once upon a time"];

describe("hotset generate --trace", () => {
  it("writes the experts of each step, and changes nothing else", async () => {
    const path = tracePath();
    const args = [...ARGS, "-n", "8", "--seed", "3", "--temperature", "1"];
    const traced = await hotset([...args, "--quiet", "--trace", path]);
    expect(traced).toMatchObject({ code: 0, stderr: "" });
    expect(traced.stdout).toBe((await hotset([...args, "--quiet"])).stdout);
    const trace = parseTrace(readFileSync(path, "utf8"), path);
    expect(trace).toMatchObject({ model: tales, layers: 6, experts: 8, k: 2 });
    // The prompt, then each token but the last, after which nothing is computed.
    expect(trace.steps.map(decodes)).toEqual([false, ...new Array(7).fill(true)]);
  });

  it("has whole lines after Ctrl-C", async () => {
    const path = tracePath();
    const child = start([...ARGS, "-n", "2000", "--trace", path]);
    const done = outcome(child);
    await once(child.stdout!, "data");
    child.kill("SIGINT");
    expect(await done).toMatchObject({ code: 130 });
    const text = readFileSync(path, "utf8");
    expect(text.endsWith("\n")).toBe(true);
    expect(parseTrace(text, path).steps.length).toBeGreaterThan(0);
  });

  it("says so, before it loads anything, where the file cannot be written", async () => {
    const { code, stdout, stderr } = await hotset(["generate", "no/such/model", "-p", "x", "--trace", "no/such/file"]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/^hotset: .*--trace: no\/such\/file cannot be written: ENOENT/);
  });
});
