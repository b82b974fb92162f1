// The two sides of a comparison over a file as processes that stay open (turns.ts), and take turns.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Timed } from "./llama_model.ts";
import type { Turn, TurnSide, TurnsReady } from "./turns.ts";

export interface Side {
  readonly ready: TurnsReady;
  /** @throws Error with the end of what the process said if it ends */
  take(turn: Turn): Promise<Timed>;
  close(): Promise<void>;
}

/** Characters that are kept of the end of what a process says. */
const WORDS = 2000;
/** The longest wait for a line of a process: a model in too little memory may never end. */
const LIMIT_MS = 600_000;

/**
 * Starts one side. @param before a command that runs the process, as `["sh", "-c", ...]`
 * @throws Error with the end of what the process said if it ends before it can compute
 */
export async function startSide(root: URL, options: TurnSide, before: readonly string[] = []): Promise<Side> {
  const script = fileURLToPath(new URL("dist/bench/peers/turns.js", root));
  const [command, ...args] = [...before, process.execPath, script, JSON.stringify(options)];
  const child = spawn(command!, args, { stdio: ["pipe", "pipe", "pipe"] });
  const kill = (): void => void child.kill("SIGKILL");
  process.once("exit", kill);
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-WORDS);
  });
  child.stdin.on("error", () => {}); // the process has ended, which its next line says
  const ended = new Promise<string>((resolve) => {
    child.on("error", (error) => resolve(error.message));
    child.on("close", (code, signal) => resolve(lastWords(said) || (signal ?? `exit code ${code}`)));
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<unknown> => {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      kill();
    }, LIMIT_MS);
    try {
      for (;;) {
        const { value, done } = await lines.next();
        if (done) throw new Error(late ? `it took more than ${LIMIT_MS / 1000} s` : await ended);
        // What native code prints is not ours.
        if (value.startsWith("{")) return JSON.parse(value);
      }
    } finally {
      clearTimeout(timer);
    }
  };
  const ready = (await next()) as TurnsReady;
  return {
    ready,
    take(turn) {
      child.stdin.write(`${JSON.stringify(turn)}\n`);
      return next() as Promise<Timed>;
    },
    async close() {
      process.off("exit", kill);
      kill();
      await ended;
    },
  };
}

/** The message of an error that ended a process: what follows "Error:", or its last line. */
export function lastWords(said: string): string {
  const lines = said
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !/^at |^Node\.js v/.test(line));
  const error = lines.findLast((line) => /^(\w*Error|Uncaught \w*Error)\b.*: /.test(line));
  return error?.replace(/^(Uncaught )?\w*Error[^:]*: /, "") ?? lines.at(-1) ?? "";
}
