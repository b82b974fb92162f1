// `hotset serve` over the scripted model, as a process of its own:
// what test/server/serve.test.ts runs.

import { once } from "node:events";
import { Command } from "commander";
import { Interrupted } from "../../src/cli/interrupt.ts";
import { addServe, type OpenChat } from "../../src/cli/serve.ts";
import { WeightsError } from "../../src/errors.ts";
import type { SharedBudget } from "../../src/index.ts";
import { scriptedModel } from "./scripted.ts";

/**
 * Resolves when a word comes in on stdin: what is being loaded is then there, and what is
 * held goes on.
 */
const released = once(process.stdin, "data").then(() => {});
const never = new Promise<never>(() => {});

/** How "loading" each folder goes; any other is there at once. */
const FOLDERS: Readonly<Record<string, (signal: AbortSignal) => Promise<unknown>>> = {
  slow: (signal) => Promise.race([released, once(signal, "abort").then(() => signal.throwIfAborted())]),
  stuck: () => never,
  broken: (signal) =>
    Promise.race([released, once(signal, "abort")]).then(() => {
      throw new WeightsError("broken/config.json: expected a number");
    }),
};

const open: OpenChat = async (folder, options) => {
  // A step that takes for ever cannot be closed.
  const close = folder === "unclosable" ? () => never : async () => void process.stdout.write("closed\n");
  console.log(JSON.stringify({ folder, parallel: options.parallel, queue: options.queue, backend: options.backend }));
  if (folder in FOLDERS) await FOLDERS[folder]!(options.signal!);
  return { ...scriptedModel(released), close };
};
/** Of several models one fits. */
const share = async (): Promise<SharedBudget> => {
  const measure = async () => ({ ram: 1, gpu: 0, weights: 1, kept: true, context: 4096, options: {} });
  return { ram: 1, gpu: 0, measure };
};

const program = new Command("hotset");
addServe(program, open, undefined, share);
try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof Interrupted)) console.error(`hotset: ${error instanceof Error ? error.message : error}`);
  process.exitCode = error instanceof Interrupted ? error.exitCode : 1;
}
process.stdin.destroy();
