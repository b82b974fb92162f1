// The last part of `npm run check`: publint and attw over what npm would pack. Does nothing where
// neither package.json nor a declaration has changed since they found no fault.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Package } from "@arethetypeswrong/core";
import { attwFaults, publintFaults } from "./faults.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const STAMP = `${root}dist/.cache/package.sha256`;
const manifest = readFileSync(`${root}package.json`, "utf8");

function digest(): string {
  const hash = createHash("sha256").update(manifest);
  for (const folder of ["dist/src", "dist/kernels"])
    for (const path of readdirSync(root + folder, { recursive: true, encoding: "utf8" }).sort())
      if (path.endsWith(".d.ts")) hash.update(`\n${folder}/${path}\n`).update(readFileSync(`${root}${folder}/${path}`));
  return hash.digest("hex");
}

function stamped(): string | null {
  try {
    return readFileSync(STAMP, "utf8");
  } catch {
    return null; // the first run
  }
}

/** What npm would pack of code, by path. */
function packed(): Record<string, string> {
  const args = ["pack", "--dry-run", "--json", "--ignore-scripts"];
  const shell = process.platform === "win32";
  const { stdout, stderr, status } = spawnSync("npm", args, { cwd: root, encoding: "utf8", shell });
  if (status !== 0) throw new Error(`npm pack: ${stderr}`);
  const [{ files }] = JSON.parse(stdout) as [{ files: { path: string }[] }];
  const code = files.map(({ path }) => path).filter((path) => /^(dist\/(src|kernels)\/|package\.json$)/.test(path));
  return Object.fromEntries(code.map((path) => [path, readFileSync(root + path, "utf8")]));
}

const now = digest();
if (now !== stamped()) {
  const { name, version } = JSON.parse(manifest) as { name: string; version: string };
  const files = Object.entries(packed());
  const installed = Object.fromEntries(files.map(([path, data]) => [`/node_modules/${name}/${path}`, data]));
  const pack = { files: files.map(([path, data]) => ({ name: `${name}/${path}`, data })) };
  const faults = [
    ...(await publintFaults({ pack, pkgDir: name })).map((fault) => `publint: ${fault}`),
    ...(await attwFaults(new Package(installed, name, version))).map((fault) => `attw: ${fault}`),
  ];
  for (const fault of faults) console.error(fault);
  if (faults.length > 0) process.exitCode = 1;
  else writeFileSync(STAMP, now);
}
