// The pages in which `npm run bench -- --peer wllama` measures, in Chromium: our side, as the peer
// is no dependency.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { openPages } from "../../bench/peers/pages.ts";
import { noChromium } from "../support/chromium.ts";
import { titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";

const root = new URL("../../", import.meta.url);

const skip = noChromium ?? leftToCi;

describe.skipIf(skip)(titled("pages of the comparison with wllama", skip), () => {
  it("measure our side in a page, and its first token in one of its own", { timeout: 120_000 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "hotset-peer-"));
    process.env.HOTSET_BENCH_CACHE = join(folder, "cache");
    onTestFinished(() => {
      delete process.env.HOTSET_BENCH_CACHE;
      rmSync(folder, { recursive: true });
    });
    mkdirSync(join(folder, "esm"));
    writeFileSync(join(folder, "package.json"), "{}");
    writeFileSync(join(folder, "esm/multi.wasm"), "");
    const { sides, close } = await openPages(root, { name: "peer", version: "3.0.0", folder }, "models/tales");
    try {
      const work = { promptTokens: 16, decodeTokens: 4, repeats: 2, seed: 1, threads: 2 };
      const { firstTokenMs, loadMs, prefillTps, decodeTps, engine } = await sides.ours(work);
      expect([...prefillTps, ...decodeTps, loadMs, firstTokenMs].every((value) => value! > 0)).toBe(true);
      expect([prefillTps.length, decodeTps.length]).toEqual([2, 2]);
      expect(JSON.parse(engine)).toMatchObject({ backend: "cpu", threads: 2 });
      await expect(sides.peer(work)).rejects.toThrow(/\/peer\/esm\/index\.js/);
    } finally {
      await close();
    }
  });
});
