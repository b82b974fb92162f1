// The adapters and typed tools with the packages that they are for, which .ci/run installs.

import { spawnSync } from "node:child_process";
import { cpSync, existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { inRepo, titled } from "../support/fixtures.ts";
import { HUNG } from "../support/patience.ts";

const FOLDER = inRepo("dist/adapters");
const skip = existsSync(join(FOLDER, "node_modules/ai"))
  ? null
  : "skipped: the AI SDK is not installed in dist/adapters, as .ci/run does";

describe.skipIf(skip)(titled("with the packages themselves", skip), () => {
  it.each([["the AI SDK", "ai_sdk.mjs", 13]])("%s", (_, script, checks) => {
    // A module finds packages beside itself.
    cpSync(inRepo(`test/adapters/${script}`), join(FOLDER, script));
    const env = { ...process.env, ROOT: inRepo("./") };
    const run = spawnSync(process.execPath, [script], { cwd: FOLDER, encoding: "utf8", env, timeout: HUNG });
    expect(run.status, run.stdout + run.stderr).toBe(0);
    expect(run.stdout.match(/^ok /gm)).toHaveLength(checks);
  });
});
