// What a result needs beside its numbers to be compared later: the machine and the commit that it was measured on.

import { spawnSync } from "node:child_process";
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
