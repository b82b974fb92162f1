// `hotset chat`: a conversation with the model in a weights folder, on a terminal or with a message
// on each line of stdin.

import { addAbortSignal } from "node:stream";
import type { Command } from "commander";
import { type Model, open } from "../index.ts";
import { handle } from "./chat_commands.ts";
import { openHistory } from "./chat_history.ts";
import { linesOf, MessageLines } from "./chat_lines.ts";
import { attempt, say, type Talk } from "./chat_talk.ts";
import { openTerminal } from "./chat_terminal.ts";
import { reportOpened } from "./debug.ts";
import {
  addFormatOptions,
  constraintFor,
  type FormatFlags,
  type RequestedFormat,
  requestedFormat,
} from "./format_options.ts";
import { interruptible } from "./interrupt.ts";
import { addModelOptions, MODEL_ARGUMENT, type ModelFlags, openOptions, pick } from "./model_options.ts";
import { openPlace } from "./open_place.ts";
import { addReasoningOptions, chatDefaults, type ReasoningFlags } from "./reasoning_options.ts";
import { addSamplingOptions, type GenerationFlags, SAMPLING_NAMES } from "./sampling_options.ts";

interface ChatFlags extends ModelFlags, FormatFlags, GenerationFlags, ReasoningFlags {
  readonly system?: string;
  readonly maxTokens?: number;
  /** False with --no-history; commander's default is true. */
  readonly history: boolean;
}

export function addChat(program: Command): void {
  const command = program
    .command("chat")
    .description("chat with the model in a weights folder; /help lists the commands")
    .argument("<folder>", MODEL_ARGUMENT)
    .option("--system <text>", "system message, in front of the whole conversation");
  addReasoningOptions(addFormatOptions(addSamplingOptions(addModelOptions(command))))
    .option("--no-history", "do not read or save the history of typed messages")
    .action(async (folder: string, flags: ChatFlags) => {
      const format = await requestedFormat(flags);
      const options = { ...openOptions(flags), needTokenizer: true };
      const opened = await interruptible((signal) => openPlace(open, folder, options, flags, signal));
      const model = reportOpened(opened);
      try {
        const talk = await interruptible(() => begin(model, flags, format));
        if (process.stdin.isTTY && process.stdout.isTTY) await onTerminal(talk, flags.history);
        else await interruptible((signal) => fromLines(talk, signal));
      } finally {
        await model.close();
      }
    });
}

/** @throws RequestError for a format that cannot be enforced, before anything is typed */
async function begin(model: Model, flags: ChatFlags, format: RequestedFormat | null): Promise<Talk> {
  (await constraintFor(model, format))?.close();
  return {
    model,
    chat: model.serving(),
    options: {
      ...pick(flags, ["maxTokens", "stop"]),
      ...(format && { responseFormat: format.format }),
      ...chatDefaults(flags),
    },
    conversation: { system: flags.system || null, exchanges: [], sampling: pick(flags, SAMPLING_NAMES) },
    file: null,
    last: null,
    retries: 0,
    failed: false,
  };
}

/** Runs until Ctrl-D, /exit, or Ctrl-C twice. During an answer, Ctrl-C stops the answer. */
async function onTerminal(talk: Talk, kept: boolean): Promise<void> {
  const terminal = openTerminal(openHistory(kept));
  let running: AbortController | null = null;
  const onInterrupt = (): void => {
    // The second Ctrl-C ends the process at once: a step of a large model may take long.
    if (running?.signal.aborted) process.exit(130);
    if (running) running.abort();
    else terminal.interrupt();
  };
  process.on("SIGINT", onInterrupt);
  try {
    const { backend } = talk.model.stats();
    say(
      `${talk.chat.name} on ${backend.backend}, ${talk.chat.context} tokens of context; /help lists commands, Ctrl-D ends`,
    );
    for (let goOn = true; goOn; ) {
      const text = await terminal.ask();
      if (text === null) return;
      const turn = new AbortController();
      running = turn;
      await attempt(talk, async () => {
        goOn = await handle(talk, text, turn.signal);
      });
      running = null;
    }
  } finally {
    terminal.close();
    process.off("SIGINT", onInterrupt);
  }
}

/** Takes a message or a command from each line. The exit code says whether one failed. */
async function fromLines(talk: Talk, signal: AbortSignal): Promise<void> {
  const message = new MessageLines();
  const input = addAbortSignal(signal, process.stdin) as AsyncIterable<Uint8Array>;
  let goOn = true;
  const take = (text: string | null): Promise<void> =>
    attempt(talk, async () => {
      if (text !== null) goOn = await handle(talk, text, signal);
    });
  for await (const line of linesOf(input)) {
    await take(message.push(line));
    if (!goOn) break;
  }
  if (goOn) await take(message.end());
  if (talk.failed) process.exitCode = 1;
}
