// A memory limit around processes: a control group of version 1 or 2 below this process's own, made
// without systemd.

import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { memoryGroup } from "../src/backend/cpu/node_limits.ts";

export interface MemoryLimit {
  readonly kind: "cgroup v1" | "cgroup v2";
  /** What runs a command inside: it is put in front of it. */
  readonly before: readonly string[];
  /** The most bytes that were in use, page cache included; null if the kernel does not say. */
  peak(): number | null;
  /** Whether the kernel has ended a process for the limit. */
  killed(): boolean;
  /** Removes the group, once no process is in it. */
  remove(): void;
}

/** The files of a version. */
const FILES = {
  1: { limit: "memory.limit_in_bytes", peak: "memory.max_usage_in_bytes", events: "memory.oom_control" },
  2: { limit: "memory.max", peak: "memory.peak", events: "memory.events" },
} as const;

/** A process that is killed gives its memory back first: at most so long, looked at so often. */
const ENDING_MS = 5000;
const LOOK_MS = 20;

let made = 0;

/**
 * A limit of so many bytes for the processes in it together; or why none can be had, in words.
 * @param own this process's group
 */
export function memoryLimit(bytes: number, own = memoryGroup()): MemoryLimit | string {
  if (own === null) return "no control group that counts memory was found (looked in /proc/self/cgroup)";
  const { version, folder: above } = own;
  const files = FILES[version];
  const folder = `${above}/hotset-bench-${process.pid}-${++made}`;
  try {
    // Only a group whose memory is counted apart may be limited.
    if (version === 2) writeFileSync(`${above}/cgroup.subtree_control`, "+memory");
    mkdirSync(folder);
  } catch (error) {
    return `no control group can be made in ${above}: ${(error as Error).message}`;
  }
  const read = (file: string): string => {
    try {
      return readFileSync(`${folder}/${file}`, "utf8");
    } catch {
      return "";
    }
  };
  const remove = (): void => {
    process.off("exit", end);
    try {
      rmdirSync(folder);
    } catch {} // the kernel removes it with its parent
  };
  /** Where this process ends first: a group can be removed when no process is in it any more. */
  const end = (): void => {
    for (let left = ENDING_MS; left > 0 && killAll(read("cgroup.procs")); left -= LOOK_MS)
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_MS);
    remove();
  };
  process.once("exit", end);
  try {
    writeFileSync(`${folder}/${files.limit}`, String(bytes));
  } catch (error) {
    remove();
    return `the limit of ${folder} cannot be set: ${(error as Error).message}`;
  }
  return {
    kind: version === 1 ? "cgroup v1" : "cgroup v2",
    before: ["sh", "-c", 'echo $$ > "$0" && exec "$@"', `${folder}/cgroup.procs`],
    peak: () => Number(read(files.peak).trim()) || null,
    killed: () => /^oom_kill [1-9]/m.test(read(files.events)),
    remove,
  };
}

/** Kills processes by their ids, one a line; returns whether there were any. */
function killAll(ids: string): boolean {
  const found = ids.split("\n").filter((id) => id !== "");
  for (const id of found)
    try {
      process.kill(Number(id), "SIGKILL");
    } catch {} // it has ended
  return found.length > 0;
}

/** Drops files from the page cache (coreutils' dd asks the kernel to). */
export function forget(files: readonly string[]): void {
  for (const file of files) spawnSync("dd", [`if=${file}`, "iflag=nocache", "count=0"]);
}
