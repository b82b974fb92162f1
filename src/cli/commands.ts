// The `hotset` command's subcommands and their options.

import { Command } from "commander";
import { open } from "../index.ts";
import { addBatch } from "./batch.ts";
import { addBench } from "./bench.ts";
import { addChat } from "./chat.ts";
import { reportOpened, setDebug } from "./debug.ts";
import { addDevices } from "./devices.ts";
import { addGenerate } from "./generate.ts";
import { addInspect } from "./inspect.ts";
import { addModels } from "./models.ts";
import { addPage } from "./page.ts";
import { addQuantize } from "./quantize.ts";
import { addServe, type OpenChat } from "./serve.ts";
import { addTokenize } from "./tokenize.ts";

/**
 * A program that has parsed nothing yet. It throws a CommanderError for wrong usage, and says it on
 * stderr in one line.
 */
export function createProgram(version: string): Command {
  const program = new Command("hotset")
    .description("Runs Mixture-of-Experts language models on WebGPU and on the CPU.")
    .version(version)
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
  const openServing: OpenChat = async (folder, { parallel, queue, name, ...options }) => {
    const model = reportOpened(await open(folder, options));
    try {
      const chat = model.serving({ parallel, queue, ...(name !== undefined && { name }) });
      return { ...chat, close: () => model.close() };
    } catch (error) {
      await model.close();
      throw error;
    }
  };
  addPage(program);
  addServe(program, openServing, version);
  addBatch(program, openServing);
  return program;
}

/** A message of several lines as one. */
export function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, " ");
}
