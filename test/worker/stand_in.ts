// A model behind messages, both sides in one process: everything is copied as it is on the way to a
// worker. The model is a stand-in whose answers say what it was asked.

import type { GenerateOptions, Piece, Session } from "../../src/engine/api.ts";
import type { ChatModel } from "../../src/engine/chat_api.ts";
import type { Model } from "../../src/engine/model_api.ts";
import { DeviceError, RequestError } from "../../src/errors.ts";
import { turn } from "../../src/turn.ts";
import { type OpenHere, serveModel } from "../../src/worker/host.ts";
import type { EngineWorker, FromEngine, ToEngine } from "../../src/worker/protocol.ts";
import { openWith, type RemoteOptions } from "../../src/worker/remote.ts";
import type { WorkerModel } from "../../src/worker/types.ts";

/** What the stand-in has done. */
export interface Done {
  /** Pieces that its generations have made. */
  pieces: number;
  /** Generations that have ended, by "returned", or by what they have thrown. */
  readonly ended: string[];
  closed: boolean;
}

export function standIn(done: Done): Model {
  const sessions = new Set<Session>();
  const session = (): Session => {
    let tokens: number[] = [];
    let closed = false;
    const made: Session = {
      get tokens() {
        return tokens;
      },
      async *generate(prompt, { maxTokens = 3, signal }: GenerateOptions = {}): AsyncGenerator<Piece> {
        let why = "returned";
        try {
          if (prompt === "fail") throw new DeviceError("the device was lost");
          tokens = typeof prompt === "string" ? [...prompt].map((letter) => letter.charCodeAt(0)) : [...prompt];
          for (let i = 0; i < maxTokens; i++) {
            await turn();
            signal?.throwIfAborted();
            if (closed) throw new RequestError("the session was closed");
            done.pieces++;
            tokens.push(i);
            yield { text: String(i), ids: [i] };
          }
          why = "done";
        } catch (error) {
          why = (error as Error).name;
          throw error;
        } finally {
          done.ended.push(why);
        }
      },
      save: async () => Uint8Array.from(tokens),
      close() {
        closed = true;
        sessions.delete(made);
      },
    };
    sessions.add(made);
    return made;
  };
  const serving = {
    sampling: { temperature: 0.5 },
    tokenize: (text: string, special: boolean) => [special ? 1 : 0, text.length],
    detokenize: (ids: readonly number[]) => ids.join(" "),
    countTokens: (messages: readonly unknown[]) => messages.length,
    async *chat(_messages, { onWarnings, onTurn, tools } = {}) {
      onWarnings?.(["it is only a stand-in"]);
      onTurn?.();
      yield { type: "text", text: JSON.stringify(tools?.[0]?.parameters) };
    },
  } as Partial<ChatModel> as ChatModel;
  return {
    config: { model_type: "stand-in" },
    architecture: { vocab: 16 },
    session,
    serving: () => serving,
    async restore(bytes) {
      const made = session();
      for await (const _ of made.generate([...bytes], { maxTokens: 0 }));
      return made;
    },
    stats: () => ({ context: 64 }),
    logits: async (ids) => Float32Array.from(ids),
    embed: (_ids, signal) =>
      new Promise((_, reject) => {
        signal?.addEventListener("abort", () => reject(signal.reason));
      }),
    async close() {
      done.closed = true;
      for (const one of sessions) one.close();
    },
  } as Partial<Model> as Model;
}

export interface Setup {
  readonly model: Promise<WorkerModel>;
  readonly done: Done;
  /** Ends the worker as the browser does. */
  die(): void;
  readonly stopped: () => boolean;
}

/** @param open what the worker does in place of opening the stand-in */
export function setUp(options: RemoteOptions<string> = {}, open?: OpenHere<string>): Setup {
  const done: Done = { pieces: 0, ended: [], closed: false };
  let toHost = (_: ToEngine<string>): void => {};
  let toPage = (_: FromEngine): void => {};
  let ended = (_: string): void => {};
  let stopped = false;
  const later = (work: () => void): void => void setTimeout(() => stopped || work(), 0);
  serveModel<string>(
    {
      post: (message, transfer = []) => {
        const copy = structuredClone(message, { transfer: [...transfer] });
        later(() => toPage(copy));
      },
      onMessage: (take) => {
        toHost = take;
      },
    },
    open ?? (async () => standIn(done)),
    () => ["one thread"],
  );
  const worker: EngineWorker<string> = {
    post: (message) => {
      const copy = structuredClone(message);
      later(() => toHost(copy));
    },
    onMessage: (take) => {
      toPage = take;
    },
    onEnd: (tell) => {
      ended = tell;
    },
    stop: () => {
      stopped = true;
    },
  };
  const remembered = new Map<string, string>();
  const store = {
    read: async (name: string) => remembered.get(name) ?? null,
    write: async (name: string, text: string) => void remembered.set(name, text),
  };
  const model = openWith(worker, "models/x", options, { base: "http://page/", store });
  return { model, done, die: () => ended("the browser has ended it"), stopped: () => stopped };
}

export const texts = async (pieces: AsyncIterable<{ readonly text: string }>): Promise<string[]> => {
  const found: string[] = [];
  for await (const { text } of pieces) found.push(text);
  return found;
};
