// Runs a measurement in a child process, which ends with this one.

import { spawn } from "node:child_process";
import { lastWords } from "./sides.ts";

/** Timeout of one measurement. */
const LIMIT_MS = 1_200_000;

/**
 * Runs `node script ...args` and reads the JSON object on the last line of its stdout.
 * @throws Error with the end of its stderr if it fails or times out
 */
export function runNode(cwd: URL, script: string, args: readonly string[]): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [script, ...args], { cwd, stdio: ["ignore", "pipe", "pipe"] });
    // Ctrl-C in a terminal reaches the child too, but a signal to this process does not.
    const kill = (): void => void child.kill("SIGKILL");
    process.on("exit", kill);
    const timer = setTimeout(kill, LIMIT_MS);
    let [out, err] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      err = (err + text).slice(-4000);
    });
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      process.off("exit", kill);
      if (code === 0) resolve(JSON.parse(out.trim().split("\n").at(-1) ?? ""));
      else if (signal === "SIGKILL") reject(new Error(`killed, or timed out after ${LIMIT_MS / 1000} s`));
      else reject(new Error(lastWords(err) || (signal ?? `exit code ${code}`)));
    });
  });
}
