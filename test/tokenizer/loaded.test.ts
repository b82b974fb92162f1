// Which of gpt-tokenizer's tables a process loads: each has megabytes, and no model needs two.

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { root } from "../support/cli.ts";
import { some } from "../support/some.ts";

const folder = mkdtempSync(join(tmpdir(), "hotset-loaded-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The scripts that Node loaded for some code: its coverage names them all. */
function loadedFor(code: string, name: string): string[] {
  const coverage = join(folder, `coverage-${name}`);
  const env = { ...process.env, NODE_V8_COVERAGE: coverage };
  const { status, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", code], { cwd: root, env });
  expect(status, String(stderr)).toBe(0);
  return readdirSync(coverage).flatMap((file) => {
    const { result } = JSON.parse(readFileSync(join(coverage, file), "utf8")) as { result: { url: string }[] };
    return result.map(({ url }) => url);
  });
}

describe("of gpt-tokenizer's tables", () => {
  it.each(
    some<[string | null, string[]]>(
      [
        ["cl100k_base", ["cl100k_base.js"]],
        ["o200k_harmony", ["o200k_base.js"]],
        [null, []],
      ],
      1,
    ),
  )("%s loads %j", (encoding, tables) => {
    let where = join(root, "models/tales");
    if (encoding !== null) {
      where = join(folder, encoding);
      mkdirSync(where);
      writeFileSync(join(where, "tokenizer_config.json"), JSON.stringify({ encoding }));
    }
    const code = `const { loadTokenizer } = await import("./dist/src/index.js");
      if ((await loadTokenizer(${JSON.stringify(where)})).encode("a tale").length === 0) process.exit(1);`;
    const loaded = loadedFor(code, encoding ?? "none").filter((url) => url.includes("/gpt-tokenizer/"));
    expect(loaded.flatMap((url) => /\/bpeRanks\/(.*)$/.exec(url)?.[1] ?? [])).toEqual(tables);
    expect(loaded.length).toBeLessThan(6); // nor its own lists of models and prices
  });
});
