// The pictures of benchmarks from fixed figures: places of bars and points, notes, captions.

import { describe, expect, it } from "vitest";
import { barChart } from "../../bench/chart/bars.ts";
import { captionOf, pictureOf, ticksTo } from "../../bench/chart/frame.ts";
import { contextsOf, contextsPicture, within } from "../../bench/contexts.ts";
import { type FileRow, filesPicture } from "../../bench/peer_files.ts";
import { picture } from "../../bench/peers/print.ts";
import { tiersPicture } from "../../bench/tiers.ts";

const HEAD = {
  machine: { cpu: "A CPU", cores: 2, memoryBytes: 24 * 2 ** 30, os: "Linux x64", node: "v20" },
  commit: { id: "0123456789abcdef" },
  date: "2026-11-30T01:02:03.000Z",
  command: "npm run bench -- a <b>",
};
const CAPTION = captionOf(HEAD);

/** Attributes of all elements of a kind. */
function all(svg: string, element: string, attribute: string): number[] {
  return [...svg.matchAll(new RegExp(`<${element} [^>]*?\\b${attribute}="([-\\d.]+)"`, "g"))].map(([, n]) => Number(n));
}

/** What every picture holds: its words, both schemes, and nothing that is no number. */
function whole(svg: string, ...words: readonly string[]): void {
  expect(svg).toContain("prefers-color-scheme: dark");
  expect(svg).not.toMatch(/NaN|Infinity|undefined|<b>/);
  const text = svg.replace(/&#(\d+);/g, (_, code) => String.fromCodePoint(Number(code)));
  for (const word of ["A CPU, 2 cores, 24 GiB", "at 0123456", HEAD.command, ...words]) expect(text).toContain(word);
}

it.each([
  [1, [0, 0.2, 0.4, 0.6, 0.8, 1]],
  [8.7, [0, 2, 4, 6, 8, 10]],
  [56, [0, 10, 20, 30, 40, 50, 60]],
  [2500, [0, 500, 1000, 1500, 2000, 2500]],
])("ticks up to %d", (most, expected) => {
  expect(ticksTo(most)).toEqual(expected);
});

it("puts a bar of 2 right of 1 and one of 1/2 as far left, and says why a bar is missing", () => {
  const bars = [2, 0.5, null].map((value) => ({ name: "n", colour: 1, value, note: value === null ? "killed" : "" }));
  const { body } = barChart({ title: "", subtitle: "", label: "", scale: "ratio", bars });
  const svg = pictureOf("t", [{ body, height: 100 }]);
  const [right, left, ...more] = all(svg, 'rect class="f1"', "x");
  const [wide, equal] = all(svg, 'rect class="f1"', "width");
  expect(more).toEqual([]);
  expect(wide).toBe(equal);
  expect(right).toBeCloseTo(left! + equal!, 1);
  expect(svg).toContain(">killed<");
});

it("breaks a caption that is too long", () => {
  const svg = pictureOf("t", [], [new Array(60).fill("word").join(" ")]);
  expect(svg.match(/>word /g)).toHaveLength(3);
});

describe("pictures of results", () => {
  const run = { prefillMs: 1, decodeMs: 1, prefillCpuMs: 1, decodeCpuMs: 1 };
  const file: FileRow = {
    ...{ file: "a.gguf", name: "decode", ours: 1500, peer: 30, ratio: 50, spread: [40, 60], cpuRatio: 9 },
    runs: [{ ours: run, peer: run }],
  };

  it("compares files, and names those that were left out", () => {
    const leftOut = [{ file: "b.gguf", side: "llama.cpp", why: "unknown model architecture" }] as const;
    const svg = filesPicture([file], leftOut, "llama.cpp 1", CAPTION);
    whole(
      svg,
      "50.00x: 1,500, 30.0 tok/s",
      "b.gguf: left out, llama.cpp cannot compute it: unknown model architecture",
    );
  });

  it("turns ratios of times and bytes round", () => {
    const best = (median: number) => ({ threads: 2, median });
    const row = { name: "tales/load", unit: "ms", ours: best(500), peer: best(1000) } as const;
    whole(picture("wllama", [{ ...row, ratio: 0.5, spread: [0.4, 0.8] }], CAPTION), "2.00x: 0.50, 1.00 s");
  });

  it("cuts no figure off: there is room for five digits and a unit on both sides", () => {
    const best = (median: number) => ({ threads: 2, median });
    const row = { name: "tales/prefill", unit: "tok/s", ours: best(13_887), peer: best(11_615) } as const;
    whole(picture("llama.cpp", [{ ...row, ratio: 1.2, spread: [1, 1.3] }], CAPTION), "1.20x: 13887, 11615 tok/s<");
  });

  it("shows speed behind positions at equal distances", () => {
    const rows = [0, 2048, 32768].map((context, i) => ({
      ...{ context, prefillTps: 60 - 20 * i, decodeTps: 9 - i, kvBytes: 1 },
      samples: { prefillTps: [], decodeTps: [] },
    }));
    const svg = contextsPicture(rows, "a model", 128, CAPTION);
    whole(svg, "positions before", "tokens a second", "Prefill of 128 tokens");
    const [first, second, third] = all(svg, "circle", "cx");
    expect(second! - first!).toBe(third! - second!);
  });

  it("shows tiers, with the reason where a side was ended", () => {
    const rows = [
      { side: "hotset", decodeTps: 2, spread: [1.5, 2.5], firstTokenMs: 1000, ratio: 1 },
      { side: "llama.cpp, mmap", decodeTps: null, firstTokenMs: null, ratio: null, error: "the kernel ended it" },
      { side: "llama.cpp, lazy", decodeTps: 1, spread: [1, 1], firstTokenMs: 2000, ratio: 2 },
    ] as const;
    whole(tiersPicture(rows, "a model", CAPTION), "the kernel ended it", "1.00 tok/s, hotset 2.00x");
  });
});

describe("contexts", () => {
  it.each([
    ["0,2k,8k,32k", [0, 2048, 8192, 32768]],
    ["512,0,512", [0, 512]],
  ])("%s", (text, expected) => {
    expect(contextsOf(text)).toEqual(expected);
  });

  it.each(["", "1K", "-1", "1.5k", "2k,"])("%j is refused", (text) => {
    expect(() => contextsOf(text)).toThrow("--contexts: expected numbers of positions");
  });

  it("of a model: the last one leaves room, others are left out", () => {
    expect(within([0, 2048, 8192], 2048, 128)).toEqual([[0, 1920], [8192]]);
  });
});
