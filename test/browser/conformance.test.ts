// The tests of the WebGPU backend in a page: the files that Node runs, as they are, each of their
// cases a test here.

import { execFileSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { adapters } from "../support/adapters.ts";
import { noChromium } from "../support/chromium.ts";
import { inRepo, titled } from "../support/fixtures.ts";
import { ALL, leftToCi } from "../support/level.ts";
import { casesInPage, type PageRun, startPage } from "../support/page_run.ts";
import { HUNG } from "../support/patience.ts";

const FILES = ["dist/test/backend/webgpu.test.js", "dist/test/backend/webgpu_device.test.js"];
const VARIANTS = / > tiles\b|, products in |, tile \w+,|core features only/;
const PATIENCE = 2 * HUNG; // more than a page may be silent: page_run.ts then says why

const skipped = noChromium ?? leftToCi;
const { cases, adapter } = skipped ? { cases: [], adapter: null } : await casesInPage(FILES);

describe.skipIf(skipped)(titled("in a page", skipped), () => {
  it("runs on SwiftShader, which has no f16", () => {
    expect(adapter).toMatch(/swiftshader.* without shader-f16/i);
  });

  // The same adapter in Node: another one may have features, and so variants of the kernels, that
  // this one has not.
  const node = adapters.find(({ name }) => /swiftshader/i.test(name));
  const skip = node ? null : "skipped: Node has no SwiftShader on this machine";
  it.skipIf(skip)(titled("declares every case that Node does", skip), () => {
    const list = [inRepo("dist/test/support/node_host.js"), "--list", ...FILES.map(inRepo)];
    const declared = execFileSync(process.execPath, list, { encoding: "utf8" }).trim().split("\n");
    const others = adapters.filter((other) => other !== node);
    const expected = declared.filter((name) => !others.some((other) => name.includes(other.name)));
    expect(expected.length).toBeGreaterThan(0);
    expect(cases.map(({ name }) => name.replace(adapter!, "ADAPTER"))).toEqual(
      expected.map((name) => name.replace(node!.name, "ADAPTER")),
    );
  });

  // Variants are the same shaders in both: Node runs them, on this driver or on a faster one. The
  // suite itself with all that the adapter has, and the device, are what a page may do otherwise.
  const left = node && !ALL ? cases.filter(({ name }) => VARIANTS.test(name)) : [];
  describe.skipIf(left.length > 0)("variants of the kernels: left to Node (here too: HOTSET_ALL_TESTS=1)", () => {
    for (const { name } of left) it(name, () => {});
  });

  describe("cases", () => {
    let run: PageRun;
    // biome-ignore lint/correctness/noEmptyPattern: vitest takes no other name for what is not used
    beforeAll(async ({}, suite) => {
      const wanted = new Set(suite.tasks.flatMap(({ name, mode }) => (mode === "run" ? [name] : [])));
      run = await startPage(FILES, (found) => found.filter(({ name }) => wanted.has(name)).map(({ id }) => id));
    });
    afterAll(async () => {
      expect(await run?.end().finally(run.close)).toEqual([]);
    }, PATIENCE);

    for (const { id, name } of cases.filter((one) => !left.includes(one)))
      it(
        name,
        async ({ skip }) => {
          const { status, reason } = await run.result(id);
          if (status === "skipped") skip(reason!);
          if (status === "failed") expect.fail(reason!);
        },
        PATIENCE,
      );
  });
});
