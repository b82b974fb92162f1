// Runs the `hotset` command: failures are an exit code and one line on stderr.

import { readFileSync } from "node:fs";
import { CommanderError } from "commander";
import { HotsetError } from "../errors.ts";
import { createProgram, oneLine } from "./commands.ts";
import { Interrupted } from "./interrupt.ts";

const FAILED = 1;
const WRONG_USAGE = 2;

const { version } = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as {
  readonly version: string;
};
const program = createProgram(version);

// A closed pipe is the reader's choice (`| head`), not an error; without a listener Node throws.
let stdoutFailed = false;
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE" || stdoutFailed) return;
  stdoutFailed = true;
  report(new HotsetError(`the output cannot be written: ${error.message}`));
});
// There is no way to report this; stdout may still be fine.
process.stderr.on("error", () => {});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : WRONG_USAGE;
  else if (error instanceof Interrupted) process.exitCode = error.exitCode;
  else report(error);
}

function report(error: unknown): void {
  process.exitCode = FAILED;
  const message = error instanceof Error ? error.message : String(error);
  const kind = error instanceof HotsetError ? "" : "internal error, please report it with the output of --debug: ";
  process.stderr.write(`hotset: ${kind}${oneLine(message)}\n`);
  if (program.opts().debug && error instanceof Error) process.stderr.write(`${error.stack}\n`);
}
