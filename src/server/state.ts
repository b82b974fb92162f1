// Where a server is in its life: loading its model, ready, draining (what was begun is finished, nothing new), or closing.

import type { ChatModel } from "../engine/chat_api.ts";
import { HttpError } from "./errors.ts";

export type Phase = "loading" | "ready" | "draining" | "closing";

/** Seconds after which a gateway or a client should try again, there or elsewhere. */
const RETRY = { "retry-after": "1" };

export class ServerState {
  #phase: Phase;
  #model: ChatModel | null;
  #closing: HttpError | null = null;
  readonly #onClose = new Set<(error: HttpError) => void>();

  /** @param model null: it is still being loaded */
  constructor(model: ChatModel | null) {
    this.#model = model;
    this.#phase = model === null ? "loading" : "ready";
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** Null while it is being loaded. */
  get model(): ChatModel | null {
    return this.#model;
  }

  ready(model: ChatModel): void {
    this.#model = model;
    if (this.#phase === "loading") this.#phase = "ready";
  }

  drain(): void {
    if (this.#phase !== "closing") this.#phase = "draining";
  }

  /** Ends the answers under way; `message` is what they end with. */
  close(message: string): void {
    if (this.#phase === "closing") return;
    this.#phase = "closing";
    this.#closing = new HttpError(503, message, "closing", RETRY);
    for (const told of this.#onClose) told(this.#closing);
  }

  /** Why answers end now, null as long as they need not. */
  get closing(): HttpError | null {
    return this.#closing;
  }

  /** Calls `told` when the server closes; returns what takes that back. */
  onClose(told: (error: HttpError) => void): () => void {
    this.#onClose.add(told);
    return () => void this.#onClose.delete(told);
  }

  /** @throws HttpError 503, worth another try, where new requests are not answered */
  admit(): void {
    if (this.#closing) throw this.#closing;
    if (this.#phase === "loading") throw new HttpError(503, "the model is being loaded", "loading", RETRY);
    if (this.#phase === "draining") throw new HttpError(503, "the server is shutting down", "draining", RETRY);
  }
}
