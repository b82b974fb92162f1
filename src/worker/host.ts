// The worker's side: a model behind messages.

import type { OpenOptions, Session } from "../engine/api.ts";
import type { ChatModel } from "../engine/chat_api.ts";
import type { Model } from "../engine/model_api.ts";
import { RequestError } from "../errors.ts";
import { expertsAtWork } from "./experts.ts";
import { failureOf } from "./failure.ts";
import {
  type About,
  type Calls,
  type FromEngine,
  type Opening,
  type Port,
  type Store,
  type ToEngine,
  type Tokens,
  WINDOW,
} from "./protocol.ts";

/** How the worker opens a model. */
export type OpenHere<Place> = (
  opening: Opening<Place>,
  watch: Pick<OpenOptions, "onProgress" | "onTuning" | "onRoutes">,
  store: Store,
) => Promise<Model>;

/** A call or stream that runs. */
interface Job {
  readonly abort: AbortController;
  /** Items that the page has room for. */
  room: number;
  /** Goes on when there is room, or no need of it. */
  wake(): void;
}

type Answers = {
  readonly [Name in keyof Calls]: (
    args: Parameters<Calls[Name]>,
    signal: AbortSignal,
  ) => ReturnType<Calls[Name]> | Promise<ReturnType<Calls[Name]>>;
};

/**
 * Serves one model on a port: the first message opens it.
 * @param warnings what to tell of a model that is open, a sentence each
 */
export function serveModel<Place>(
  port: Port<FromEngine, ToEngine<Place>>,
  open: OpenHere<Place>,
  warnings: (model: Model) => readonly string[],
): void {
  const remembered = new Map<number, (text: string | null) => void>();
  let asked = 0;
  const store: Store = {
    read: (name) =>
      new Promise((resolve) => {
        remembered.set(++asked, resolve);
        port.post({ type: "read", id: asked, name });
      }),
    write: async (name, text) => port.post({ type: "write", name, text }),
  };
  let host: Host | null = null;

  async function begin(opening: Opening<Place>): Promise<void> {
    const { watched } = opening;
    const told = (of: "onProgress" | "onTuning") => (done: number, total: number) =>
      port.post({ type: "progress", of, done, total });
    try {
      const model = await open(
        opening,
        {
          ...(watched.includes("onProgress") && { onProgress: told("onProgress") }),
          ...(watched.includes("onTuning") && { onTuning: told("onTuning") }),
          ...(watched.includes("onRoutes") && { onRoutes: (step) => port.post({ type: "routes", step }) }),
        },
        store,
      );
      host = new Host(model, port);
      const { facts, sampling } = host.chats();
      const { config } = model;
      const { stored, ...architecture } = model.architecture; // formats are functions, too
      const about: About = {
        config,
        architecture,
        context: model.stats().context,
        facts,
        sampling,
        warnings: warnings(model),
      };
      port.post({ type: "opened", about });
    } catch (error) {
      port.post({ type: "notOpened", failure: failureOf(error) });
    }
  }

  port.onMessage((message) => {
    if (message.type === "open") void begin(message.opening);
    else if (message.type === "kept") {
      remembered.get(message.id)?.(message.text);
      remembered.delete(message.id);
    } else host?.take(message);
  });
}

/** What a host takes: all messages about an open model. */
type Message = Exclude<ToEngine, { type: "open" | "kept" }>;

class Host {
  readonly #model: Model;
  readonly #port: Pick<Port<FromEngine, ToEngine>, "post">;
  readonly #sessions = new Map<number, { readonly session: Session; known: readonly number[] }>();
  readonly #jobs = new Map<number, Job>();
  readonly #answers: Answers;
  #serving: ChatModel | null = null;

  constructor(model: Model, port: Pick<Port<FromEngine, ToEngine>, "post">) {
    this.#model = model;
    this.#port = port;
    this.#answers = {
      stats: () => model.stats(),
      tokenize: ([text, special]) => this.#chat.tokenize(text, special),
      detokenize: ([ids]) => this.#chat.detokenize(ids),
      countTokens: ([messages, options]) => this.#chat.countTokens(messages, options),
      logits: ([ids], signal) => model.logits(ids, signal),
      embed: ([ids], signal) => model.embed(ids, signal),
      save: ([session]) => this.#session(session).session.save(),
      restore: async ([number, bytes], signal) => {
        const session = await model.restore(bytes, signal);
        const known = [...session.tokens];
        this.#sessions.set(number, { session, known });
        return known;
      },
      close: () => model.close(),
    };
  }

  /** As servers see the model. @throws RequestError for a model without a tokenizer */
  get #chat(): ChatModel {
    this.#serving ??= this.#model.serving();
    return this.#serving;
  }

  /** What only a model that chats has. */
  chats(): Pick<About, "facts" | "sampling"> {
    try {
      return { facts: this.#chat.view?.facts ?? null, sampling: this.#chat.sampling };
    } catch {
      return { facts: null, sampling: {} };
    }
  }

  take(message: Message): void {
    switch (message.type) {
      case "call":
        void this.#call(message);
        break;
      case "stream":
        void this.#stream(message);
        break;
      case "more": {
        const job = this.#jobs.get(message.id);
        if (!job) break; // it has ended in the meantime
        job.room += message.count;
        job.wake();
        break;
      }
      case "stop": {
        const job = this.#jobs.get(message.id);
        job?.abort.abort();
        job?.wake();
        break;
      }
      case "closeSession":
        this.#sessions.get(message.session)?.session.close();
        this.#sessions.delete(message.session);
    }
  }

  #session(number: number) {
    let found = this.#sessions.get(number);
    if (!found) {
      found = { session: this.#model.session(), known: [] };
      this.#sessions.set(number, found);
    }
    return found;
  }

  #begin(id: number): Job {
    const job: Job = { abort: new AbortController(), room: WINDOW, wake: () => {} };
    this.#jobs.set(id, job);
    return job;
  }

  async #call({ id, name, args }: Extract<ToEngine, { type: "call" }>): Promise<void> {
    const { signal } = this.#begin(id).abort;
    try {
      const answer = this.#answers[name] as (args: unknown, signal: AbortSignal) => unknown;
      const value = await answer(args, signal);
      // Arrays of bytes and numbers are the caller's own: they move instead of being copied.
      const moves = (name === "save" || name === "logits" || name === "embed") && ArrayBuffer.isView(value);
      this.#port.post({ type: "result", id, value }, moves ? [value.buffer as ArrayBuffer] : []);
    } catch (error) {
      this.#port.post({ type: "ended", id, failure: failureOf(error), tokens: null });
    } finally {
      this.#jobs.delete(id);
    }
  }

  async #stream(message: Extract<ToEngine, { type: "stream" }>): Promise<void> {
    const { id } = message;
    const job = this.#begin(id);
    let failure: ReturnType<typeof failureOf> | null = null;
    try {
      for await (const item of this.#items(message, job.abort.signal)) {
        if (job.room === 0)
          await new Promise<void>((resolve) => {
            job.wake = resolve;
          });
        if (job.abort.signal.aborted) break;
        job.room--;
        this.#port.post({ type: "item", id, item });
      }
    } catch (error) {
      failure = failureOf(error);
    } finally {
      this.#jobs.delete(id);
    }
    const tokens = message.name === "generate" ? this.#told(message.args[0]) : null;
    this.#port.post({ type: "ended", id, failure, tokens });
  }

  #items(message: Extract<ToEngine, { type: "stream" }>, signal: AbortSignal): AsyncIterable<unknown> {
    const { id } = message;
    const watch = {
      signal,
      onWarnings: (warnings: readonly string[]) => this.#port.post({ type: "warnings", id, warnings }),
      onTurn: () => this.#port.post({ type: "turn", id }),
    };
    switch (message.name) {
      case "generate": {
        const [session, prompt, options] = message.args;
        return this.#session(session).session.generate(prompt, { ...options, signal });
      }
      case "chat": {
        const [messages, options] = message.args;
        return this.#chat.chat(messages, { ...options, ...watch });
      }
      case "complete": {
        const [prompt, options] = message.args;
        return this.#chat.complete(prompt, { ...options, ...watch });
      }
      case "experts": {
        const { view } = this.#chat;
        if (view === undefined) throw new RequestError("the experts of this model cannot be watched");
        return expertsAtWork(view, signal);
      }
    }
  }

  /** The session's tokens, but for the beginning that the page has. */
  #told(number: number): Tokens | null {
    const found = this.#sessions.get(number);
    if (!found) return null; // closed in the meantime
    const { known, session } = found;
    const tokens = [...session.tokens];
    let kept = 0;
    while (kept < known.length && kept < tokens.length && known[kept] === tokens[kept]) kept++;
    found.known = tokens;
    return { kept, others: tokens.slice(kept) };
  }
}
