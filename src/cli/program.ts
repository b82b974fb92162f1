// The `hotset` command: its subcommands, and failures as an exit code and one line on stderr.

import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { HotsetError } from "../errors.ts";
import { open } from "../index.ts";
import { addBatch, type OpenBatchModel } from "./batch.ts";
import { addBench } from "./bench.ts";
import { addChat } from "./chat.ts";
import { reportOpened, setDebug } from "./debug.ts";
import { addDevices } from "./devices.ts";
import { addGenerate } from "./generate.ts";
import { addInspect } from "./inspect.ts";
import { Interrupted } from "./interrupt.ts";
import { addModels } from "./models.ts";
import { addQuantize } from "./quantize.ts";
import { addServe } from "./serve.ts";
import { addTokenize } from "./tokenize.ts";

const FAILED = 1;
const WRONG_USAGE = 2;

const manifest = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as {
  readonly version: string;
};
const program = new Command("hotset")
  .description("Runs Mixture-of-Experts language models on WebGPU and on the CPU.")
  .version(manifest.version)
  .option("--debug", "print the stack of an error, and kernel variants that WebGPU rejected")
  .hook("preAction", (command) => setDebug(command.opts().debug === true))
  .exitOverride()
  .configureOutput({
    outputError: (text, write) => write(`hotset: ${oneLine(text.replace(/^error: /, ""))}\n`),
  });
addGenerate(program);
addChat(program);
addModels(program);
addInspect(program);
addQuantize(program);
addTokenize(program);
addBench(program);
addDevices(program);
const openServing: OpenBatchModel = async (folder, { parallel, queue, ...options }) => {
  const model = reportOpened(await open(folder, options));
  return { ...model.serving({ parallel, queue }), close: () => model.close() };
};
addServe(program, openServing, manifest.version);
addBatch(program, openServing);

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

function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, " ");
}
