// Runs a measurement in a process of its own, ended with this one.

import { spawn } from "node:child_process";

/** Longer than this, a measurement is given up. */
const LIMIT_MS = 1_200_000;

/**
 * Runs `node script ...args` and reads the JSON object on the last line of its stdout.
 * @throws Error with the end of its stderr, where it fails or takes too long
 */
export function runNode(cwd: URL, script: string, args: readonly string[]): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [script, ...args], { cwd, stdio: ["ignore", "pipe", "pipe"] });
    // A terminal's Ctrl-C reaches the child too; a signal to this process alone does not.
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
      else if (signal === "SIGKILL") reject(new Error(`killed, or given up after ${LIMIT_MS / 1000} s`));
      else reject(new Error(err.trim() || (signal ?? `exit code ${code}`)));
    });
  });
}
