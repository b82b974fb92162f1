// `hotset serve`: opens a weights folder and answers OpenAI's and Anthropic's APIs over HTTP until Ctrl-C.

import { once } from "node:events";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { OpenOptions } from "../engine/api.ts";
import type { ChatModel } from "../engine/chat_api.ts";
import { isHost } from "../server/hosts.ts";
import { type ListenOptions, type RunningServer, startServer } from "../server/node_serve.ts";
import { interruptible } from "./interrupt.ts";
import { addModelOptions, type ModelFlags, openOptions, pick } from "./model_options.ts";
import { print } from "./output.ts";
import { loadingProgress } from "./progress.ts";
import { collect, integer, size } from "./values.ts";

/** How many answers the engine computes at once, and how many more may wait. */
export interface LoadOptions {
  readonly parallel: number;
  readonly queue: number;
}

/** Opens what is served. The caller says how, so that the command can be tested without weights. */
export type OpenChat = (
  folder: string,
  options: OpenOptions & LoadOptions,
) => Promise<ChatModel & { close(): Promise<void> }>;

const LISTEN = ["port", "host", "apiKey", "cors", "bodyLimit"] as const;

interface ServeFlags extends ModelFlags, LoadOptions, Pick<ListenOptions, (typeof LISTEN)[number]> {
  readonly allowHost?: readonly string[];
}

export function addServe(program: Command, openChat: OpenChat): void {
  const command = program
    .command("serve")
    .description("answer OpenAI's and Anthropic's APIs over HTTP with the model in a weights folder")
    .argument("<folder>", "weights folder (config.json, safetensors, tokenizer)")
    .option("--port <number>", "port to listen on; 0: any that is free", integer(0, 65_535), 8080)
    .option("--host <address>", "address to listen on; 0.0.0.0: every interface of this machine", "127.0.0.1")
    .addOption(new Option("--api-key <key>", "the key that clients must send").env("HOTSET_API_KEY"))
    .option(
      "--cors <origin>",
      "let pages of this origin use the server, * for any; may be given several times",
      collect,
    )
    .option(
      "--allow-host <name>",
      "a name that the server is reached by, *.name or * for any; may be given several times, or with commas",
      hostName,
    )
    .option("--parallel <count>", "answers computed at once", integer(1, 4096), 16)
    .option("--queue <count>", "requests that may wait; more are told to come back", integer(0, 1_000_000), 256)
    .option("--body-limit <size>", "largest request, as 16MiB (the default)", size);
  addModelOptions(command).action(async (folder: string, flags: ServeFlags) => {
    if (flags.apiKey === "") command.error("--api-key is empty: leave it out, or give a key");
    await interruptible((signal) => serve(folder, flags, openChat, signal));
  });
}

async function serve(folder: string, flags: ServeFlags, openChat: OpenChat, signal: AbortSignal): Promise<void> {
  const progress = loadingProgress(false);
  const { parallel, queue } = flags;
  const options = { ...openOptions(flags), needTokenizer: true, onProgress: progress.update, signal, parallel, queue };
  const model = await openChat(folder, options).finally(progress.end);
  let server: RunningServer | undefined;
  try {
    server = await startServer(model, {
      ...pick(flags, LISTEN),
      hosts: flags.allowHost ?? [],
      answersAtOnce: Math.min(4, parallel),
      log: (error) => process.stderr.write(`hotset: ${error instanceof Error ? error.stack : String(error)}\n`),
    });
    await print(`${greeting(model, server.url, flags)}\n`, signal);
    await stopped(signal);
  } finally {
    await server?.close();
    await model.close();
  }
}

function hostName(text: string, before?: readonly string[]): readonly string[] {
  if (isHost(text)) return collect(text, before);
  throw new InvalidArgumentError('Expected a name as clients send it: "llm.example", "*.example", or "*" for any.');
}

/** Resolves at SIGTERM, as service managers stop a program, and rejects at Ctrl-C. */
async function stopped(signal: AbortSignal): Promise<void> {
  await once(process, "SIGTERM", { signal });
}

/** Where it listens, and a line to try it with. */
function greeting(model: ChatModel, url: string, { apiKey, host }: ServeFlags): string {
  const base = url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:");
  const key = apiKey === undefined ? "" : ` -H "authorization: Bearer $HOTSET_API_KEY"`;
  const body = JSON.stringify({ model: model.name, messages: [{ role: "user", content: "Tell me a story." }] });
  const lines = [
    `${model.name} at ${url} (OpenAI: ${base}/v1, Anthropic: ${base}); Ctrl-C ends it. Try:`,
    `curl ${base}/v1/chat/completions -H "content-type: application/json"${key} -d '${body.replaceAll("'", "'\\''")}'`,
  ];
  if (apiKey === undefined && !/^(127\.|::1$|localhost$)/.test(host ?? "127.0.0.1")) {
    lines.push("Everybody who reaches this address can use the model; --api-key asks for a key.");
  }
  return lines.join("\n");
}
