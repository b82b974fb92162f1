// `hotset batch`: answers a file of requests in OpenAI's batch format, as many at once as pays.

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import type { Command } from "commander";
import type { OpenOptions } from "../engine/api.ts";
import type { ChatModel } from "../engine/chat_api.ts";
import { RequestError } from "../errors.ts";
import { type BatchOutput, openDevice, openOutput, pipedOutput } from "./batch_output.ts";
import { batchProgress } from "./batch_progress.ts";
import type { Counts } from "./batch_run.ts";
import { interruptible } from "./interrupt.ts";
import { addModelOptions, MODEL_ARGUMENT, type ModelFlags, openOptions } from "./model_options.ts";
import { openPlace } from "./open_place.ts";
import { formatDuration, print } from "./output.ts";
import { addReasoningOptions, chatDefaults, type ReasoningFlags, withDefaults } from "./reasoning_options.ts";
import { integer, size } from "./values.ts";

/** Opens the model. A parameter, so that the command can be tested without weights. */
export type OpenBatchModel = (
  folder: string,
  options: OpenOptions & { readonly parallel: number; readonly queue: number },
) => Promise<ChatModel & { close(): Promise<void> }>;

interface BatchFlags extends ModelFlags, ReasoningFlags {
  readonly parallel: number;
  readonly lineLimit?: number;
  readonly quiet?: true;
}

const STANDARD = "-";
/**
 * Where more pay little: of 96 chats with models/tales, 4 at once take 14.1 s of the CPU, 16 take
 * 8.4, 32 take 7.5 and 64 take 7.1. There is no client that waits for its first token.
 */
const PARALLEL = 32;
const LINE_LIMIT = 16 * 2 ** 20;
/** Bytes that are read at once. */
const CHUNK = 2 ** 18;

export function addBatch(program: Command, openModel: OpenBatchModel): void {
  const command = program
    .command("batch")
    .description(
      "answer a file of requests in OpenAI's batch format; the same command resumes a run that was cut short",
    )
    .argument("<folder>", MODEL_ARGUMENT)
    .argument("<in>", "the requests, a JSON object a line; - for stdin")
    .argument("<out>", "the file of answers, in the order of the requests; - for stdout")
    .option("--parallel <count>", "answers computed at once", integer(1, 4096), PARALLEL)
    .option("--line-limit <size>", "longest line of requests; default: 16MiB", size)
    .option("--quiet", "no progress, no summary");
  addReasoningOptions(addModelOptions(command)).action(
    async (folder: string, from: string, to: string, flags: BatchFlags) => {
      await interruptible((signal) => batch(folder, { from, to }, flags, openModel, signal));
    },
  );
}

interface Places {
  readonly from: string;
  readonly to: string;
}

async function batch(
  folder: string,
  { from, to }: Places,
  flags: BatchFlags,
  openModel: OpenBatchModel,
  signal: AbortSignal,
): Promise<void> {
  // Before the model is loaded, which takes longer.
  const inputSize = await sizeOf(from, to);
  const output = await outputOf(to, from, signal);
  let counts: Counts | null = null;
  let start = 0;
  try {
    // A line may have many answers, which wait for one another.
    const queue = Number.MAX_SAFE_INTEGER;
    const options = { ...openOptions(flags), needTokenizer: true, parallel: flags.parallel, queue };
    const model = await openPlace(openModel, folder, options, flags, signal);
    start = performance.now();
    const progress = batchProgress(inputSize, flags.quiet === true);
    try {
      const { runBatch } = await import("./batch_run.ts"); // the server's code, which others do without
      counts = await runBatch(inputOf(from), output, withDefaults(model, chatDefaults(flags)), {
        parallel: flags.parallel,
        lineLimit: flags.lineLimit ?? LINE_LIMIT,
        signal,
        onProgress: progress.update,
        log: (error) => process.stderr.write(`hotset: internal error, please report it: ${stackOf(error)}\n`),
      }).finally(progress.end);
    } finally {
      await model.close();
    }
  } finally {
    await output.close(counts !== null);
  }
  if (!flags.quiet) process.stderr.write(`${summary(counts, to, (performance.now() - start) / 1000)}\n`);
}

/** The bytes of the input. @throws RequestError */
async function* inputOf(from: string): AsyncGenerator<Uint8Array> {
  try {
    yield* from === STANDARD ? process.stdin : createReadStream(from, { highWaterMark: CHUNK });
  } catch (error) {
    throw new RequestError(`${from} cannot be read: ${(error as Error).message}`);
  }
}

/** Bytes of the input; null for a stream. @throws RequestError */
async function sizeOf(from: string, to: string): Promise<number | null> {
  if (from === STANDARD) return null;
  const found = await stat(from).catch((error: NodeJS.ErrnoException) => {
    throw new RequestError(
      `${from} cannot be read: ${error.code === "ENOENT" ? "there is no such file" : error.message}`,
    );
  });
  if (found.isDirectory()) throw new RequestError(`${from}: expected a file of requests, found a folder`);
  const other = to === STANDARD ? null : await stat(to).catch(() => null);
  if (other && other.dev === found.dev && other.ino === found.ino) {
    throw new RequestError(`${to} is the file of requests itself; name another one for the answers`);
  }
  return found.isFile() ? found.size : null;
}

async function outputOf(to: string, from: string, signal: AbortSignal): Promise<BatchOutput> {
  if (to === STANDARD) return pipedOutput((text) => print(text, signal));
  const found = await stat(to).catch(() => null);
  if (found?.isDirectory()) throw new RequestError(`${to}: expected a file for the answers, found a folder`);
  if (found && !found.isFile()) return openDevice(to);
  return openOutput(to, from === STANDARD ? "stdin" : from);
}

function summary({ done, before, errors }: Counts, to: string, seconds: number): string {
  const where = to === STANDARD ? "stdout" : to;
  const now = done - before;
  const parts = [`${where}: ${done} ${done === 1 ? "answer" : "answers"}`];
  if (before > 0) parts.push(`${before} of them of earlier runs`);
  if (now > 0) parts.push(`${now} in ${formatDuration(seconds)} (${(now / seconds).toFixed(1)} requests/s)`);
  if (errors > 0) parts.push(`${errors} with an error`);
  return parts.join(", ");
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
