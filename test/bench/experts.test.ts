// `npm run bench -- experts`: its output, and that the committed results are still the same.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { chartSvg } from "../../bench/chart/lines.ts";
import { inRepo, titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { some } from "../support/some.ts";

const read = (path: string): string => readFileSync(path, "utf8");

function bench(...args: string[]) {
  return spawnSync(process.execPath, [inRepo("dist/bench/run.js"), "experts", ...args], { encoding: "utf8" });
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "hotset-bench-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

describe("npm run bench -- experts", () => {
  it.skipIf(leftToCi)(titled("replays the committed traces to the committed numbers and pictures", leftToCi), () => {
    const out = folder();
    const { status, stderr, stdout } = bench("--out", out);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toContain("mean: hit rate\n");
    expect(readdirSync(out).sort()).toEqual(["experts-hit-rate.svg", "experts-uploads.svg", "experts.json"]);
    const [fresh, committed] = [out, inRepo("bench/results")].map((at) => JSON.parse(read(`${at}/experts.json`)));
    expect(fresh.traces).toEqual(committed.traces);
    expect(fresh.mean).toEqual(committed.mean);
    for (const picture of ["experts-hit-rate.svg", "experts-uploads.svg"])
      expect(read(`${out}/${picture}`)).toBe(read(inRepo(`bench/results/${picture}`)));
  });

  it("takes other traces and numbers of slots, and prints JSON", () => {
    const out = folder();
    const trace = inRepo("bench/experts/traces/verse.jsonl");
    const { status, stdout } = bench("--trace", trace, "--slots", "4,2", "--json", "--out", out);
    expect(status).toBe(0);
    const { traces, kind } = JSON.parse(stdout);
    expect({ kind, traces: traces.length, trace: traces[0].trace }).toEqual({
      kind: "experts",
      traces: 1,
      trace: "verse",
    });
    expect(traces[0].policies[0].bySlots.map(({ slots }: { slots: number }) => slots)).toEqual([2, 4]);
    expect(readdirSync(out)).toContain("experts-own.json");
  });

  it.each(
    some<readonly [readonly string[], number, RegExp]>(
      [
        [["--slots", "0"], 2, /--slots: expected a whole number of at least 1, found "0"/],
        [["--slots", "9"], 1, /--slots: expected at most the 8 experts of a layer, found 9/],
        [["--name", "a/b"], 2, /--name: expected letters/],
        [["--bogus"], 2, /'--bogus'/],
        [["--trace", "no/such/file"], 1, /no\/such\/file: cannot be read: ENOENT/],
        [["--trace", inRepo("package.json")], 1, /package\.json: line 1: expected an object of JSON/],
      ],
      2,
    ),
  )("refuses %j", (args, code, message) => {
    const { status, stderr } = bench(...args, "--out", folder());
    expect(status).toBe(code);
    expect(stderr).toMatch(message);
  });
});

describe("a chart", () => {
  it("escapes its texts and puts a single tick in the middle", () => {
    const svg = chartSvg({
      title: 'a < b & "c"',
      subtitle: "",
      x: { label: "x", ticks: [2] },
      y: { label: "y", ticks: [0, 1], show: String },
      lines: [{ name: "<script>", colour: 0, points: [[2, 0.5]] }],
    });
    expect(svg).not.toMatch(/<script>|a < b|NaN|Infinity|undefined/);
    expect(svg).toContain('cx="330" cy="227"');
  });
});
