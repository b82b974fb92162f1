// `hotset serve` over the scripted model, as a process of its own: what test/server/serve.test.ts runs.

import { Command } from "commander";
import { Interrupted } from "../../src/cli/interrupt.ts";
import { addServe } from "../../src/cli/serve.ts";
import { scriptedModel } from "./scripted.ts";

const program = new Command("hotset");
addServe(program, async (folder, options) => {
  const close = async (): Promise<void> => void process.stdout.write("closed\n");
  console.log(JSON.stringify({ folder, parallel: options.parallel, queue: options.queue, backend: options.backend }));
  return { ...scriptedModel(), close };
});
try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof Interrupted)) throw error;
  process.exitCode = error.exitCode;
}
