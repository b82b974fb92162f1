// A model whose engine is in a worker, as the page sees it.

import type { GenerateOptions, Session } from "../engine/api.ts";
import type { ChatOptions } from "../engine/chat_api.ts";
import { type ChatInput, withJsonSchemas } from "../engine/schemas.ts";
import { RequestError } from "../errors.ts";
import type { Link } from "./link.ts";
import type { About, Sent, Tokens } from "./protocol.ts";
import type { WorkerModel } from "./types.ts";

const closedModel = (): RequestError => new RequestError("the model is closed");

export function workerModel(link: Link, about: About): WorkerModel {
  let sessions = 0;
  let closing: Promise<void> | null = null;

  const begin = (number: number, tokens: readonly number[]): Session => new RemoteSession(link, number, tokens);

  return {
    ...about,
    session() {
      if (link.over) throw link.over;
      return begin(++sessions, []);
    },
    chat: (messages, options = {}) => link.stream("chat", [messages, sent(options)], heard(options)),
    complete: (prompt, options = {}) => link.stream("complete", [prompt, sent(options)], heard(options)),
    countTokens: (messages, options = {}) => link.call("countTokens", [messages, sent(options)]),
    tokenize: (text, special = false) => link.call("tokenize", [text, special]),
    detokenize: (ids) => link.call("detokenize", [ids]),
    async restore(bytes, signal) {
      const number = ++sessions;
      return begin(number, await link.call("restore", [number, bytes], signal));
    },
    logits: (ids, signal) => link.call("logits", [ids], signal),
    embed: (ids, signal) => link.call("embed", [ids], signal),
    experts: (signal) => link.stream("experts", [], { signal }),
    stats: () => link.call("stats", []),
    close() {
      closing ??= (async () => {
        try {
          if (!link.over) await link.call("close", []);
        } finally {
          link.end(closedModel());
        }
      })();
      return closing;
    },
  };
}

/** The options without functions and signals, and with JSON schemas. */
function sent<Options extends ChatInput>(options: Options): Sent<ChatOptions> {
  const { signal, onWarnings, onTurn, constraint, ...rest } = withJsonSchemas(options);
  refuse(constraint);
  return rest;
}

/** @throws RequestError */
function refuse(constraint: unknown): void {
  if (constraint === undefined) return;
  throw new RequestError(
    "constraint: it cannot be sent to the worker; chat() and complete() take responseFormat instead",
    { param: "constraint" },
  );
}

function heard({ signal, onWarnings, onTurn }: ChatInput) {
  return { signal, onWarnings, onTurn };
}

class RemoteSession implements Session {
  readonly #link: Link;
  readonly #number: number;
  #tokens: readonly number[];
  #closed = false;

  constructor(link: Link, number: number, tokens: readonly number[]) {
    this.#link = link;
    this.#number = number;
    this.#tokens = tokens;
  }

  get tokens(): readonly number[] {
    return this.#tokens;
  }

  async *generate(prompt: string | readonly number[], options: GenerateOptions = {}) {
    this.#checkOpen();
    const { signal, constraint, ...rest } = options;
    refuse(constraint);
    const onTokens = ({ kept, others }: Tokens): void => {
      this.#tokens = [...this.#tokens.slice(0, kept), ...others];
    };
    yield* this.#link.stream("generate", [this.#number, prompt, rest], { signal, onTokens });
  }

  async save(): Promise<Uint8Array> {
    this.#checkOpen();
    return this.#link.call("save", [this.#number]);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#link.closeSession(this.#number);
  }

  #checkOpen(): void {
    if (this.#closed) throw new RequestError("the session was closed");
  }
}
