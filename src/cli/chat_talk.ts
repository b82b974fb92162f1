// Answers messages in `hotset chat`. A message that cannot be answered leaves the conversation as
// it was.

import { DeviceError, HotsetError, RequestError } from "../errors.ts";
import type { ChatFinish, ChatModel, ChatOptions, ExpertStats, Model } from "../index.ts";
import { type Conversation, type Exchange, messagesOf } from "./chat_conversation.ts";
import { expertsLine } from "./experts.ts";
import { Interrupted } from "./interrupt.ts";
import { liveLine } from "./live.ts";
import { print, printable } from "./output.ts";

/** The state of the command. Commands change the fields that are not readonly. */
export interface Talk {
  readonly model: Model;
  readonly chat: ChatModel;
  /** Options of every answer. */
  readonly options: Pick<ChatOptions, "maxTokens" | "stop" | "responseFormat" | "reasoning" | "templateVariables">;
  conversation: Conversation;
  /** The last file that was saved or loaded. */
  file: string | null;
  /** The result of the last complete answer. */
  last: ChatFinish | null;
  /**
   * How often an answer was regenerated: added to a given seed, so that the next answer differs.
   */
  retries: number;
  /** Whether a message or a command failed. */
  failed: boolean;
}

/** Prints a message that is not an answer: on stderr, so that stdout contains only answers. */
export function say(text: string): void {
  process.stderr.write(process.stderr.isTTY ? `\x1b[2m${printable(text)}\x1b[22m\n` : `${text}\n`);
}

/**
 * Runs `work` and prints its errors; the conversation continues.
 * @throws errors that end the program: a lost device, Ctrl-C, a bug
 */
export async function attempt(talk: Talk, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof HotsetError) || error instanceof DeviceError || error instanceof Interrupted) throw error;
    talk.failed = true;
    process.stderr.write(`hotset: ${printable(explained(error, talk)).replace(/\s*\n\s*/g, " ")}\n`);
  }
}

function explained(error: HotsetError, { chat: { context } }: Talk): string {
  if (!(error instanceof RequestError) || error.detail.code !== "context_length_exceeded") return error.message;
  return `with this message the conversation does not fit in the context of ${context} tokens, so it was left out; /undo takes back the last exchange, /clear begins anew, and --context opens the model with more where it has more`;
}

/**
 * Answers `question` and adds both to the conversation.
 * @throws HotsetError, which leaves the conversation as it was
 */
export async function answer(talk: Talk, question: string, signal: AbortSignal): Promise<void> {
  await exchange(talk, talk.conversation, question, signal);
}

/**
 * Replaces the last answer by a new one. If there is none, the old one stays.
 * @throws HotsetError
 */
export async function regenerate(talk: Talk, signal: AbortSignal): Promise<void> {
  const { exchanges } = talk.conversation;
  const last = exchanges.at(-1);
  if (!last) throw new RequestError("/regenerate: there is no answer yet");
  talk.retries++;
  const made = await exchange(talk, { ...talk.conversation, exchanges: exchanges.slice(0, -1) }, last.question, signal);
  if (made && !made.stopped && made.answer === last.answer)
    say("[the same again: the most likely tokens are taken unless --temperature is above 0]");
}

/** One exchange after `before`; null if it was stopped before any text came. */
async function exchange(
  talk: Talk,
  before: Conversation,
  question: string,
  signal: AbortSignal,
): Promise<Exchange | null> {
  const { seed } = before.sampling;
  const options: ChatOptions = {
    ...talk.options,
    ...before.sampling,
    ...(seed !== undefined && { seed: (seed + talk.retries) % Number.MAX_SAFE_INTEGER }),
    signal,
  };
  const { text, finish } = await stream(talk, messagesOf(before, question), options, signal);
  if (text !== "" && !text.endsWith("\n")) process.stdout.write("\n");
  if (finish) talk.last = finish;
  else if (text === "") {
    say("[stopped before anything came: the message was left out]");
    return null;
  }
  const made: Exchange = { question, answer: text, stopped: !finish };
  talk.conversation = { ...before, exchanges: [...before.exchanges, made] };
  if (!finish) say("[stopped; what came stays in the conversation]");
  else if (text === "") say("[an empty answer]");
  if (finish?.reason === "length") say(`[ended after ${finish.usage.completionTokens} tokens: ${limit(talk, finish)}]`);
  return made;
}

function limit({ options, chat }: Talk, { usage }: ChatFinish): string {
  if (usage.completionTokens === options.maxTokens) return "that is --max-tokens";
  return `the context of ${chat.context} is full; /undo, or /clear`;
}

/** Prints an answer as it comes. `finish` is null if `signal` stopped it. */
async function stream(
  { model, chat }: Talk,
  messages: ReturnType<typeof messagesOf>,
  options: ChatOptions,
  signal: AbortSignal,
): Promise<{ readonly text: string; readonly finish: ChatFinish | null }> {
  const live = liveLine(process.stderr.isTTY);
  const terminal = process.stdout.isTTY;
  const thoughts = dimmed();
  let text = "";
  let tokens = 0; // approximately: an event may stand for several
  let first: ExpertStats | null = null; // when decoding began
  try {
    for await (const event of chat.chat(messages, options)) {
      if (event.type === "finish") return { text, finish: event };
      if (event.type === "reasoning") {
        live.clear();
        await thoughts.write(event.text, signal);
        continue;
      }
      if (event.type !== "text" || event.text === "") continue;
      thoughts.end();
      text += event.text;
      tokens++;
      live.clear();
      await print(terminal ? printable(event.text) : event.text, signal);
      const { experts } = model.stats();
      if (!experts) continue;
      first ??= experts;
      const from = first;
      live.draw(() => expertsLine(experts, from, tokens - 1));
    }
    throw new Error("the answer ended without a result");
  } catch (error) {
    if (!signal.aborted || signal.reason instanceof Interrupted) {
      if (text !== "") process.stdout.write("\n");
      throw error;
    }
    return { text, finish: null };
  } finally {
    thoughts.end();
    live.clear();
  }
}

/** Prints reasoning: dimmed, on stderr, so that stdout contains only answers. */
function dimmed(): { write(text: string, signal: AbortSignal): Promise<void>; end(): void } {
  const terminal = process.stderr.isTTY;
  let open = false;
  return {
    async write(text, signal) {
      if (signal.aborted) throw signal.reason;
      process.stderr.write(`${terminal && !open ? "\x1b[2m" : ""}${terminal ? printable(text) : text}`);
      open = true;
    },
    end() {
      if (open) process.stderr.write(terminal ? "\x1b[22m\n\n" : "\n");
      open = false;
    },
  };
}
