// bench/gpu/run.sh on a machine that it has set up before.

import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, expect, it } from "vitest";
import { inRepo } from "../support/fixtures.ts";

const folder = mkdtempSync(join(tmpdir(), "hotset-gpu-pack-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A pack whose Node says only which one it is. */
function pack(name: string): void {
  const part = (file: string, bytes: string | Buffer): void =>
    writeFileSync(join(folder, `${file}.gz`), gzipSync(bytes));
  part("app.tar", Buffer.alloc(1024)); // an archive without files
  part("dawn.node", name);
  part("node", `#!/bin/sh\necho "Node of the ${name} pack"\n`);
  writeFileSync(join(folder, "commit.txt"), name);
}

it("run.sh unpacks a newer pack over an older one", () => {
  mkdirSync(join(folder, "lib"));
  copyFileSync(inRepo("bench/gpu/run.sh"), join(folder, "run.sh"));
  const env = { ...process.env, HOTSET_HOME: join(folder, "home"), OUT: join(folder, "out"), VK_DRIVER_FILES: "none" };
  for (const name of ["first", "second"]) {
    pack(name);
    const { stdout, stderr } = spawnSync("sh", [join(folder, "run.sh"), "setup"], { env, encoding: "utf8" });
    expect(stdout, stderr).toContain(`Node of the ${name} pack`);
  }
});
