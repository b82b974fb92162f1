// Runs the built command as a user does: arguments in, exit code and both streams out.

import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

export const root = fileURLToPath(new URL("../../", import.meta.url));
export const tales = "models/tales";

export interface Outcome {
  /** null if a signal ended the process. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

type Environment = Readonly<Record<string, string>>;

/**
 * Starts `hotset` with `args` in the root of the repository; it is killed when the test ends.
 * @param env variables beside those of this process
 */
export function start(args: readonly string[], input?: string | Uint8Array, env: Environment = {}): ChildProcess {
  const child = spawn(process.execPath, ["dist/src/cli/main.js", ...args], {
    cwd: root,
    env: { ...process.env, ...env },
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  child.stdin.on("error", () => {}); // a command that does not read its stdin
  if (input !== undefined) child.stdin.end(input);
  return child;
}

/** Waits for the end of a started command. */
export function outcome(child: ChildProcess): Promise<Outcome> {
  const collected = (stream: Readable | null): (() => string) => {
    const chunks: Buffer[] = [];
    stream?.on("data", (chunk: Buffer) => chunks.push(chunk));
    return () => Buffer.concat(chunks).toString("utf8");
  };
  const [stdout, stderr] = [collected(child.stdout), collected(child.stderr)];
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, stdout: stdout(), stderr: stderr() }));
  });
}

/** Runs `hotset` to its end. */
export function hotset(
  args: readonly string[],
  input: string | Uint8Array = "",
  env: Environment = {},
): Promise<Outcome> {
  return outcome(start(args, input, env));
}

/** A copy of models/tales that a test may damage; removed when the test ends. */
export function talesCopy(): string {
  const folder = mkdtempSync(join(tmpdir(), "hotset-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  cpSync(join(root, tales), folder, { recursive: true });
  return folder;
}
