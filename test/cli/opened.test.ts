// What is said on stderr of a model that was opened.

import { expect, it, vi } from "vitest";
import { reportOpened } from "../../src/cli/debug.ts";
import type { Model, ModelStats } from "../../src/index.ts";

function said(stats: Partial<ModelStats>): string {
  const write = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  try {
    const model = { stats: () => ({ backend: {}, ...stats }) } as unknown as Model;
    expect(reportOpened(model)).toBe(model);
    return write.mock.calls.map(([text]) => String(text)).join("");
  } finally {
    write.mockRestore();
  }
}

it("a format that replaces the file's own is said, with what it replaces", () => {
  expect(said({ weights: "q4", repacked: "q4_k (with q6_k)" })).toMatch(
    /^hotset: weights q4: rounded once more, from the file's q4_k \(with q6_k\), and less precise .*\n$/,
  );
});

it("nothing is said of weights that are as the file has them", () => {
  expect(said({ weights: "q4_k (with q6_k)", repacked: null })).toBe("");
});

it("a vocabulary that may be misread is said", () => {
  expect(said({ tokenizerNote: "words are cut by rules that fit few models" })).toBe(
    "hotset: words are cut by rules that fit few models\n",
  );
});
