// A lock on a folder: one process at a time; a dead process's lock is taken over (Node only).

import { randomUUID } from "node:crypto";
import { link, readFile, rename, unlink, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { WeightsError } from "../errors.ts";

/** The holder of a lock. */
interface Holder {
  readonly pid: number;
  /** The process's start time since boot, on Linux, because pids are reused; null if unknown. */
  readonly started: string | null;
  readonly host: string;
  readonly id: string;
}

export interface Lock {
  /** @throws WeightsError if the lock is lost, for example because its file was removed */
  check(): Promise<void>;
  release(): Promise<void>;
}

/** Attempts to take over the locks of dead processes. */
const ATTEMPTS = 5;

/**
 * Takes the lock `name` of a folder; the lock of a process that has ended is taken over.
 * @throws WeightsError naming the process that holds it
 */
export async function lockFolder(folder: string, name: string): Promise<Lock> {
  const path = join(folder, name);
  const own: Holder = { pid: process.pid, started: await startOf(process.pid), host: hostname(), id: randomUUID() };
  const text = JSON.stringify(own);
  const draft = `${path}.${own.id}`; // a link appears with its contents, or not at all
  try {
    await writeFile(draft, text, { flag: "wx" });
    for (let attempt = 0; !(await linked(draft, path)); attempt++) {
      const found = await contents(path);
      if (found === null) continue; // it was just released
      const holder = parse(found);
      if (attempt >= ATTEMPTS || holder === null || (await alive(holder))) throw held(folder, path, holder);
      await remove(path, found, own.id);
    }
  } finally {
    await unlink(draft).catch(() => {});
  }
  return {
    async check() {
      if ((await contents(path)) === text) return;
      throw new WeightsError(`${folder}: the lock ${name} was taken away while this process worked; run it again`);
    },
    async release() {
      if ((await contents(path)) === text) await unlink(path).catch(() => {});
    },
  };
}

/** Links `path` to `draft`; false if `path` exists already. */
async function linked(draft: string, path: string): Promise<boolean> {
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") return false;
    if (code !== "EPERM" && code !== "ENOTSUP" && code !== "ENOSYS") throw error;
  }
  // A file system without links.
  try {
    await writeFile(path, await readFile(draft), { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** Removes a dead process's lock; puts it back if another process has taken it meanwhile. */
async function remove(path: string, dead: string, id: string): Promise<void> {
  const aside = `${path}.${id}.old`;
  try {
    await rename(path, aside); // of several processes that try, one succeeds
  } catch {
    return;
  }
  if ((await contents(aside)) !== dead) await linked(aside, path);
  await unlink(aside).catch(() => {});
}

async function contents(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

function parse(text: string): Holder | null {
  try {
    const { pid, started, host, id } = JSON.parse(text) as Partial<Holder>;
    if (typeof pid !== "number" || typeof host !== "string") return null;
    return { pid, started: typeof started === "string" ? started : null, host, id: String(id) };
  } catch {
    return null;
  }
}

/** Whether the process may still be alive. */
async function alive({ pid, started, host }: Holder): Promise<boolean> {
  if (host !== hostname()) return true; // unknown from here
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  return started === null || (await startOf(pid)) === started;
}

/** Boot id and start time of a process; null if unknown, or if the process has ended. */
async function startOf(pid: number): Promise<string | null> {
  try {
    const boot = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    // The name in parentheses may contain anything; after it come the state (Z:
    // zombie) and numbers.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? null : `${boot} ${fields[19]}`;
  } catch {
    return null;
  }
}

function held(folder: string, path: string, holder: Holder | null): WeightsError {
  const who = holder === null ? "another process" : `process ${holder.pid} on ${holder.host}`;
  return new WeightsError(
    `${folder}: ${who} is writing this folder now; wait until it has ended, or, if it is not there any more, remove ${path}`,
  );
}
