// A server as a process of its own: `hotset serve` over the scripted model (serve_host.ts), or
// another command line.

import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { expect, onTestFinished } from "vitest";
import { inRepo } from "../support/fixtures.ts";
import { PATIENT } from "../support/patience.ts";

export interface Served {
  readonly child: ChildProcess;
  /** Waits for a text on stdout or stderr and returns all of that stream. */
  until(part: string | RegExp, stream?: "stdout" | "stderr"): Promise<string>;
  /** Where it listens. */
  url(): Promise<string>;
  readonly exit: Promise<readonly [code: number | null, signal: string | null]>;
}

/** @param fd what the command has as descriptor 3; default: nothing */
export function startCommand(
  command: string,
  args: readonly string[],
  env: Record<string, string> = {},
  fd: number | "ignore" = "ignore",
): Served {
  const options = { cwd: inRepo("."), env: { ...process.env, ...env } };
  const child = spawn(command, args, {
    ...options,
    stdio: ["pipe", "pipe", "pipe", fd],
  }) as ChildProcessWithoutNullStreams;
  onTestFinished(() => void child.kill("SIGKILL"));
  child.stdin.on("error", () => {});
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (chunk: string) => {
      texts[name] += chunk;
    });
  }
  const until: Served["until"] = async (part, stream = "stdout") => {
    await expect.poll(() => texts[stream], PATIENT).toMatch(part);
    return texts[stream];
  };
  return {
    child,
    until,
    url: async () => `http://${/listening address=(\S+)/.exec(await until(/listening address=\S+ /, "stderr"))![1]!}`,
    exit: once(child, "exit") as Promise<[number | null, string | null]>,
  };
}

/**
 * The command line of a server over the scripted model.
 * @param folder "folder", or one of those of serve_host.ts
 */
export function scriptedCommand(folder: string, args: readonly string[]): [command: string, ...args: string[]] {
  return [process.execPath, inRepo("dist/test/server/serve_host.js"), "serve", folder, "--port", "0", ...args];
}

/** @param folder as of scriptedCommand() */
export function startScripted(folder: string, args: readonly string[] = [], env: Record<string, string> = {}): Served {
  const [command, ...rest] = scriptedCommand(folder, args);
  return startCommand(command, rest, env);
}

/** Asks for an answer to one word. */
export function ask(url: string, word: string, stream = true, more: RequestInit = {}, model = "m"): Promise<Response> {
  const body = JSON.stringify({ model, messages: [{ role: "user", content: word }], stream });
  return fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
    ...more,
  });
}
