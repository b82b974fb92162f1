// The CPU backend on a current Node, whose engine compiles the kernels otherwise: the same tests,
// run by that Node, as a plain `npm test` has them: the best kernels that it takes, and the plain.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
/** Where `.ci/run` installs the package `node`. */
const FOLDER = "dist/current-node";
const node = process.env.HOTSET_CURRENT_NODE ?? `${root}${FOLDER}/node_modules/node/bin/node`;
const missing = existsSync(node)
  ? null
  : `skipped: no current Node here: npm install --no-save --prefix ${FOLDER} node@26, or name one in HOTSET_CURRENT_NODE`;

const TESTS = [
  "test/backend/cpu.test.ts",
  "test/backend/cpu_pool.test.ts",
  "test/backend/cpu_rows",
  "test/kernels/simd",
  "test/kernels/plain",
];

const skip = leftToCi ?? missing;
it.skipIf(skip)(titled("the CPU backend passes its tests on a current Node", skip), () => {
  const version = spawnSync(node, ["--version"], { encoding: "utf8" }).stdout.trim();
  expect(Number(/^v(\d+)/.exec(version)?.[1])).toBeGreaterThanOrEqual(26);
  const run = spawnSync(node, ["node_modules/vitest/vitest.mjs", "run", "--reporter=default", ...TESTS], {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1", VITEST: "", VITEST_POOL_ID: "", VITEST_WORKER_ID: "", CI: "" },
  });
  const summary = /Tests\s+(.*)/.exec(run.stdout)?.[1] ?? `${run.stdout}\n${run.stderr}`;
  console.log(`Node ${version}: ${summary}`);
  expect(run.status, `${run.stdout.slice(-4000)}\n${run.stderr.slice(-4000)}`).toBe(0);
  // A build for wide products runs only here: Node 20 gives wrong sums with it and must
  // not take it.
  expect(Number(/(\d+) passed/.exec(summary)?.[1])).toBeGreaterThan(1000);
});
