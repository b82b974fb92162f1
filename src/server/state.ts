// The state of a server: loading its model, ready, draining (running answers are finished, new
// requests rejected), or closing.

import type { ChatModel } from "../engine/chat_api.ts";
import { HttpError } from "./errors.ts";
import { type ServedModels, serveOne } from "./served.ts";

export type Phase = "loading" | "ready" | "draining" | "closing";

/** Seconds after which a gateway or a client should retry, here or elsewhere. */
const RETRY = { "retry-after": "1" };

export class ServerState {
  #phase: Phase;
  #models: ServedModels | null;
  #closing: HttpError | null = null;
  readonly #onClose = new Set<(error: HttpError) => void>();

  /** @param models one model or several; null: it is still being loaded */
  constructor(models: ChatModel | ServedModels | null) {
    this.#models = models && served(models);
    this.#phase = models === null ? "loading" : "ready";
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** Null while the model is being loaded. */
  get models(): ServedModels | null {
    return this.#models;
  }

  ready(models: ChatModel | ServedModels): void {
    this.#models = served(models);
    if (this.#phase === "loading") this.#phase = "ready";
  }

  drain(): void {
    if (this.#phase !== "closing") this.#phase = "draining";
  }

  /** Ends running answers, with `message` as their error. */
  close(message: string): void {
    if (this.#phase === "closing") return;
    this.#phase = "closing";
    this.#closing = new HttpError(503, message, "closing", RETRY);
    for (const listener of this.#onClose) listener(this.#closing);
  }

  /** The error with which answers end now; null until close(). */
  get closing(): HttpError | null {
    return this.#closing;
  }

  /** Calls `listener` when the server closes; returns a function that removes it. */
  onClose(listener: (error: HttpError) => void): () => void {
    this.#onClose.add(listener);
    return () => void this.#onClose.delete(listener);
  }

  /** @throws HttpError 503, which can be retried, where new requests are not answered */
  admit(): void {
    if (this.#closing) throw this.#closing;
    if (this.#phase === "loading") throw new HttpError(503, "the model is being loaded", "loading", RETRY);
    if (this.#phase === "draining") throw new HttpError(503, "the server is shutting down", "draining", RETRY);
  }
}

function served(models: ChatModel | ServedModels): ServedModels {
  return "lease" in models ? models : serveOne(models);
}
