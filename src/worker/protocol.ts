// The messages between a page and the worker that has the engine. The page numbers its calls and
// streams; what has ended is forgotten on both sides.

import type { ModelStats, OpenOptions, Piece, RouteStep, SamplingOptions } from "../engine/api.ts";
import type { ChatMessage, ChatOptions } from "../engine/chat_api.ts";
import type { ChatEvent } from "../engine/events.ts";
import type { Model } from "../engine/model_api.ts";
import type { ModelFacts } from "../engine/model_view.ts";
import type { Architecture } from "../model/family.ts";
import type { ExpertsAtWork } from "./experts.ts";
import type { Failure } from "./failure.ts";

/** Options that are neither functions nor signals. */
export type Sent<Options> = Omit<Options, "signal" | "constraint" | "onWarnings" | "onTurn">;

/** Functions of OpenOptions that the page has given. */
export type Watched = "onProgress" | "onTuning" | "onRoutes";

/** How to open the model. */
export interface Opening<Place> {
  readonly place: Place;
  readonly tokenizer?: Place;
  readonly options: Omit<OpenOptions, "tokenizer" | "signal" | Watched>;
  readonly watched: readonly Watched[];
  /** What relative URLs are below. */
  readonly base: string;
}

/** What the page knows of an open model. */
export interface About extends Pick<Model, "config"> {
  readonly architecture: Omit<Architecture, "stored">;
  readonly context: number;
  readonly facts: ModelFacts | null;
  readonly sampling: SamplingOptions;
  readonly warnings: readonly string[];
}

/** Calls with one answer. Sessions are numbered by the page. */
export interface Calls {
  stats(): ModelStats;
  tokenize(text: string, special: boolean): number[];
  detokenize(ids: readonly number[]): string;
  countTokens(messages: readonly ChatMessage[], options: Sent<ChatOptions>): number;
  logits(ids: readonly number[]): Float32Array;
  embed(ids: readonly number[]): Float32Array;
  save(session: number): Uint8Array;
  /** Answers with the session's tokens. */
  restore(session: number, bytes: Uint8Array): readonly number[];
  close(): void;
}

/** Calls whose answers are sequences. */
export interface Streams {
  generate(session: number, prompt: string | readonly number[], options: Sent<ChatOptions>): Piece;
  chat(messages: readonly ChatMessage[], options: Sent<ChatOptions>): ChatEvent;
  complete(prompt: string | readonly number[], options: Sent<ChatOptions> & { readonly echo?: boolean }): ChatEvent;
  experts(): ExpertsAtWork;
}

type CallOf<Table, Kind extends string> = {
  readonly [Name in keyof Table]: Table[Name] extends (...args: infer Args) => unknown
    ? { readonly type: Kind; readonly id: number; readonly name: Name; readonly args: Args }
    : never;
}[keyof Table];

export type ToEngine<Place = unknown> =
  | { readonly type: "open"; readonly opening: Opening<Place> }
  | CallOf<Calls, "call">
  | CallOf<Streams, "stream">
  /** The page has taken so many items of a stream, and has room for as many more. */
  | { readonly type: "more"; readonly id: number; readonly count: number }
  /** Ends a call or a stream, which is answered all the same. */
  | { readonly type: "stop"; readonly id: number }
  | { readonly type: "closeSession"; readonly session: number }
  /** What the page remembers of kernels and experts; null: nothing. */
  | { readonly type: "kept"; readonly id: number; readonly text: string | null };

export type FromEngine =
  | { readonly type: "opened"; readonly about: About }
  | { readonly type: "notOpened"; readonly failure: Failure }
  | { readonly type: "progress"; readonly of: "onProgress" | "onTuning"; readonly done: number; readonly total: number }
  | { readonly type: "routes"; readonly step: RouteStep }
  | { readonly type: "result"; readonly id: number; readonly value: unknown }
  | { readonly type: "item"; readonly id: number; readonly item: unknown }
  | { readonly type: "warnings"; readonly id: number; readonly warnings: readonly string[] }
  | { readonly type: "turn"; readonly id: number }
  | { readonly type: "ended"; readonly id: number; readonly failure: Failure | null; readonly tokens: Tokens | null }
  /** Asks what the page remembers, or has it remembered. */
  | { readonly type: "read"; readonly id: number; readonly name: string }
  | { readonly type: "write"; readonly name: string; readonly text: string };

/** A session's tokens after a generation: `kept` of those that the page knows, then others. */
export interface Tokens {
  readonly kept: number;
  readonly others: readonly number[];
}

/** What is remembered of kernels and experts from one opening to the next, by name. */
export interface Store {
  read(name: string): Promise<string | null>;
  write(name: string, text: string): Promise<void>;
}

/** Items of a stream that may be on their way or unread: the worker then waits for the reader. */
export const WINDOW = 32;

/** The worker's end of the messages, and the page's. */
export interface Port<Out, In> {
  post(message: Out, transfer?: readonly Transferable[]): void;
  onMessage(take: (message: In) => void): void;
}

/** What the script itself is told: to hold a lock while it runs. */
export interface ToScript {
  readonly type: "hold";
  readonly lock: string;
}

/** It holds the lock. */
export interface FromScript {
  readonly type: "held";
}

/** The worker as the platform provides it. */
export interface EngineWorker<Place> extends Port<ToEngine<Place>, FromEngine> {
  /** Calls `ended` with the reason when the worker fails, ends, or does not start. */
  onEnd(ended: (reason: string) => void): void;
  stop(): void;
}
