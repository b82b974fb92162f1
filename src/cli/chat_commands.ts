// The commands of `hotset chat`: a slash and a word at the start of a line. Everything else
// is a message.

import { allBytes } from "../engine/places.ts";
import { RequestError } from "../errors.ts";
import { loadConversation, messagesOf, saveConversation } from "./chat_conversation.ts";
import { answer, regenerate, say, type Talk } from "./chat_talk.ts";
import { expertsTable } from "./experts.ts";
import { formatBytes, formatRate } from "./output.ts";

interface ChatCommand {
  readonly takes?: string;
  readonly help: string;
  /** Ends the program. */
  readonly ends?: true;
  /** @throws HotsetError if it cannot be done */
  run(talk: Talk, text: string, signal: AbortSignal): void | Promise<void>;
}

const DEFAULT_FILE = "hotset-chat.json";

const COMMANDS: Readonly<Record<string, ChatCommand>> = {
  help: { help: "this list", run: () => say(help()) },
  system: {
    takes: "[text]",
    help: "show or set the system message; - removes it",
    run(talk, text) {
      if (text !== "") talk.conversation = { ...talk.conversation, system: text === "-" ? null : text };
      const { system } = talk.conversation;
      say(system === null ? "no system text" : `system: ${system}`);
    },
  },
  regenerate: {
    help: "replace the last answer by a new one",
    run: (talk, _, signal) => regenerate(talk, signal),
  },
  undo: {
    help: "take back the last message and its answer",
    run(talk) {
      const { exchanges } = talk.conversation;
      const last = exchanges.at(-1);
      if (!last) throw new RequestError("/undo: there is nothing to take back");
      talk.conversation = { ...talk.conversation, exchanges: exchanges.slice(0, -1) };
      say(`taken back: ${start(last.question)}`);
    },
  },
  save: {
    takes: "[file]",
    help: `write the conversation to a file; default: the last one, else ${DEFAULT_FILE}`,
    async run(talk, path) {
      const file = path || talk.file || DEFAULT_FILE;
      await saveConversation(file, talk.chat.name, talk.conversation);
      talk.file = file;
      say(`saved to ${file}`);
    },
  },
  load: {
    takes: "[file]",
    help: "continue a conversation from a file, with its sampling options",
    async run(talk, path) {
      const file = path || talk.file || DEFAULT_FILE;
      const { model, conversation } = await loadConversation(file);
      talk.conversation = conversation;
      talk.file = file;
      talk.last = null;
      const { exchanges, system } = conversation;
      const last = exchanges.at(-1);
      const other = model === talk.chat.name ? "" : `, held with ${model}`;
      const opening = system === null ? "" : ", a system text";
      say(`loaded ${file}: ${count(exchanges.length, "exchange")}${opening}${other}`);
      if (last) say(`> ${last.question}\n${last.answer}`);
    },
  },
  stats: { help: "tokens, speeds, memory, experts", run: (talk) => say(stats(talk)) },
  clear: {
    help: "begin a new conversation; the system message stays",
    run(talk) {
      talk.conversation = { ...talk.conversation, exchanges: [] };
      say("a new conversation");
    },
  },
  exit: { help: "end; so does Ctrl-D", ends: true, run: () => {} },
};

/**
 * Handles a command or a message, which may have several lines. Returns false to end the program.
 * @throws HotsetError
 */
export async function handle(talk: Talk, text: string, signal: AbortSignal): Promise<boolean> {
  const [, name, rest = ""] = /^\/([a-z]*)(?:\s+([\s\S]*))?$/i.exec(text) ?? [];
  if (name === undefined) {
    if (text.trim() !== "") await answer(talk, text, signal);
    return true;
  }
  const command = Object.hasOwn(COMMANDS, name.toLowerCase()) ? COMMANDS[name.toLowerCase()] : undefined;
  if (!command) {
    throw new RequestError(`there is no command /${name}; /help lists them (a message may begin with a space, then /)`);
  }
  const given = rest.trim();
  if (given !== "" && !command.takes)
    throw new RequestError(`/${name.toLowerCase()} stands alone, found "${start(given)}" after it`);
  await command.run(talk, given, signal);
  return !command.ends;
}

function help(): string {
  const rows = Object.entries(COMMANDS).map(([name, { takes, help }]) => [`/${name}${takes ? ` ${takes}` : ""}`, help]);
  return [
    ...rows.map(([left, right]) => `${left!.padEnd(16)}${right}`),
    "",
    'A message is one line. It continues after a backslash at its end, and between """ and """; pasted lines are one message.',
    "Ctrl-C stops an answer, or clears the line; twice at an empty prompt it ends the program.",
  ].join("\n");
}

function stats({ model, chat, conversation, last }: Talk): string {
  const { backend, weights, kv, memory, experts, speculation, noDrafts } = model.stats();
  const { exchanges, sampling } = conversation;
  const lines = [
    `${chat.name} on ${backend.backend} ${backend.device}, weights ${weights}, kv ${kv}`,
    // The length before the next message.
    `conversation: ${count(exchanges.length, "exchange")}, ${chat.countTokens(messagesOf(conversation, ""))} of ${chat.context} tokens`,
  ];
  if (last) {
    const { usage, timings, seed } = last;
    lines.push(
      `last answer: prompt ${usage.promptTokens} tokens (${usage.cachedTokens} kept from before) at ${formatRate(timings.promptTps)}, ` +
        `answer ${usage.completionTokens} tokens at ${formatRate(usage.completionTokens > 1 ? timings.decodeTps : null)}, seed ${seed}`,
    );
  }
  const set = Object.entries(sampling).map(([name, value]) => `${name} ${value}`);
  lines.push(`sampling: ${set.length > 0 ? set.join(", ") : "the defaults of the model's folder"}`);
  const { weights: w, kv: k, scratch } = memory;
  lines.push(
    `memory: ${formatBytes(w + k + scratch)} (weights ${formatBytes(w)}, kv ${formatBytes(k)}, scratch ${formatBytes(scratch)})`,
    experts ? expertsTable(experts, backend.backend === "webgpu" ? "GPU" : "RAM").trimEnd() : "experts: all in memory",
  );
  if (speculation && (speculation.drafted > 0 || speculation.draft)) {
    const { drafted, accepted, draft } = speculation;
    const by = draft ? `, by ${draft.name} (${formatBytes(allBytes(draft.memory))} more) and by earlier words` : "";
    lines.push(`drafts: ${accepted} of ${drafted} tokens right${by}`);
  }
  if (noDrafts) lines.push(`drafts: none, ${noDrafts}`);
  return lines.join("\n");
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}

/** The beginning of a text, on one line. */
function start(text: string): string {
  const line = text.replace(/\s+/g, " ");
  return line.length > 60 ? `${line.slice(0, 57)}...` : line;
}
