// Result files of measurements, with the machine, commit and command that they were taken with.

import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem, type } from "node:os";

export interface Machine {
  readonly cpu: string;
  /** Logical processors. */
  readonly cores: number;
  readonly memoryBytes: number;
  readonly os: string;
  readonly node: string;
}

export function machine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    memoryBytes: totalmem(),
    os: `${type()} ${release()} ${process.arch}`,
    node: process.version,
  };
}

export interface Commit {
  /** null outside a git checkout. */
  readonly id: string | null;
  /** Whether tracked files differ from the commit. */
  readonly dirty: boolean;
}

export function commit(root: URL): Commit {
  const git = (...args: string[]): string | null => {
    const { status, stdout } = spawnSync("git", args, { cwd: root, encoding: "utf8" });
    return status === 0 ? stdout.trim() : null;
  };
  return { id: git("rev-parse", "HEAD"), dirty: git("status", "--porcelain", "--untracked-files=no") !== "" };
}

/** The start of a result's default name: date and commit. */
export function stamp(root: URL): string {
  const { id, dirty } = commit(root);
  return `${new Date().toISOString().slice(0, 10)}-${id?.slice(0, 7) ?? "unknown"}${dirty ? "-dirty" : ""}`;
}

/** What every result begins with. @param args of `npm run bench --` */
export function about(root: URL, name: string, args: readonly string[]) {
  return {
    schema: 1,
    name,
    date: new Date().toISOString(),
    command: ["npm", "run", "bench", "--", ...args].join(" "),
    commit: commit(root),
    machine: machine(),
  } as const;
}

/** Writes bench/results/<name>.json. @param indent spaces a level */
export function writeResult(root: URL, name: string, result: unknown, indent = 2): void {
  const folder = new URL("bench/results/", root);
  mkdirSync(folder, { recursive: true });
  writeFileSync(new URL(`${name}.json`, folder), `${JSON.stringify(result, null, indent)}\n`);
}

/** Writes the picture of a result beside it: bench/results/<name>.svg. */
export function writePicture(root: URL, name: string, svg: string): void {
  writeFileSync(new URL(`bench/results/${name}.svg`, root), svg);
}
