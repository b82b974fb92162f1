// models/tales behind a server of this process, on the CPU: what the tests of the
// joined server share.

import type { OpenOptions } from "../../src/engine/api.ts";
import type { ChatModel } from "../../src/engine/chat_api.ts";
import type { Model, ServingOptions } from "../../src/engine/model.ts";
import { open } from "../../src/index.ts";
import { type ListenOptions, type RunningServer, startServer } from "../../src/server/node_serve.ts";
import { inRepo } from "../support/fixtures.ts";

export const openTales = (options: OpenOptions = {}): Promise<Model> =>
  open(inRepo("models/tales"), { backend: "cpu", weights: "q4", threads: 1, ...options });

export interface Asked {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body, where it is JSON. */
  readonly json: Answered;
}

/** As much of the answers' shapes as tests read. */
export interface Answered {
  readonly choices: readonly {
    readonly index: number;
    readonly text: string;
    readonly message: { readonly content: string | null; readonly tool_calls?: readonly Called[] };
    readonly finish_reason: string;
    readonly seed: number;
    readonly logprobs: {
      readonly content: readonly { readonly token: string; readonly logprob: number; readonly top_logprobs: Top[] }[];
      readonly tokens: readonly string[];
      readonly token_logprobs: readonly (number | null)[];
      readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[];
      readonly text_offset: readonly number[];
    };
  }[];
  readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number; readonly total_tokens: number };
  readonly error: { readonly message: string; readonly code: string | null; readonly type: string };
  readonly content: readonly { readonly text: string }[];
  readonly stop_reason: string;
  readonly stop_sequence: string | null;
}
interface Top {
  readonly token: string;
  readonly logprob: number;
}
export interface Called {
  readonly id: string;
  readonly function: { readonly name: string; readonly arguments: string };
}

export interface RealServer extends RunningServer {
  readonly chat: ChatModel;
  /** Events that the engine has given out. */
  handed(): number;
  ask(path: string, body: object, signal?: AbortSignal): Promise<Asked>;
  /** Asks /v1/chat/completions with one user message. */
  say(text: string, more?: object): Promise<Answered>;
  /** A sample of /metrics. */
  metric(name: string): Promise<number>;
}

export async function serveReal(
  model: Model,
  { parallel = 4, queue = 64 }: ServingOptions = {},
  options: ListenOptions = {},
): Promise<RealServer> {
  const chat = model.serving({ parallel, queue });
  let handed = 0;
  async function* counted<T>(events: AsyncIterable<T>): AsyncGenerator<T> {
    for await (const event of events) {
      handed++;
      yield event;
    }
  }
  const watched: ChatModel = {
    ...chat,
    chat: (messages, asked) => counted(chat.chat(messages, asked)),
    complete: (prompt, asked) => counted(chat.complete(prompt, asked)),
  };
  const server = await startServer(watched, { port: 0, ...options });
  const ask: RealServer["ask"] = async (path, body, signal) => {
    const response = await fetch(`${server.url}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "tales", ...body }),
      ...(signal && { signal }),
    });
    const text = await response.text();
    const isJson = response.headers.get("content-type")?.startsWith("application/json") ?? false;
    return { status: response.status, headers: response.headers, text, json: isJson ? JSON.parse(text) : {} };
  };
  return {
    ...server,
    chat,
    handed: () => handed,
    ask,
    async say(text, more = {}) {
      const { status, json } = await ask("/v1/chat/completions", {
        messages: [{ role: "user", content: text }],
        ...more,
      });
      if (status !== 200) throw new Error(`${status}: ${json.error.message}`);
      return json;
    },
    async metric(name) {
      const text = await (await fetch(`${server.url}/metrics`)).text();
      return Number(new RegExp(`^${name} (.*)$`, "m").exec(text)?.[1]);
    },
  };
}
