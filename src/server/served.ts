// The models behind a server: one that is always there, or several that are loaded as requests
// need them.

import type { ChatModel } from "../engine/chat_api.ts";

export const MODEL_STATES = ["unloaded", "loading", "ready", "unloading", "failed"] as const;

/** What a server's lists say of a model. */
export interface ModelCard {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  /** Positions of a prompt and its answer; null: not known yet. */
  readonly context: number | null;
  /** Bytes that it takes, or would take, in memory; null: not known yet. */
  readonly bytes: number | null;
  readonly state: (typeof MODEL_STATES)[number];
  /** The part that is loaded, 0 to 1, while it is being loaded. */
  readonly progress: number;
  /** Why it failed; else null. */
  readonly reason: string | null;
  readonly pinned: boolean;
  /** Requests that wait for it to be loaded. */
  readonly waiting: number;
  /** How often it was begun to load. */
  readonly loads: number;
  /** When it is unloaded if no request comes; null: not by itself. */
  readonly expires: Date | null;
  /** The model, if it is loaded. */
  readonly model: ChatModel | null;
}

/** A model's state in lists, with what belongs to it. */
export function stateOf({ state, progress, reason, pinned, waiting }: ModelCard): object {
  return {
    state,
    ...(state === "loading" && { progress: Math.round(100 * progress) / 100 }),
    ...(reason !== null && { reason }),
    ...(waiting > 0 && { waiting }),
    ...(pinned && { pinned }),
  };
}

/** A model that a request holds: it is not unloaded before release(). */
export interface ModelLease {
  readonly model: ChatModel;
  release(): void;
}

export interface ServedModels {
  /** Whether it is one model that is always loaded: then its metrics have no label. */
  readonly one: boolean;
  /** In the order in which they were given. */
  cards(): readonly ModelCard[];
  card(id: string): ModelCard;
  /**
   * The id of the model that a request means.
   * @throws HttpError 404 for a name of none
   */
  find(name: string | undefined): string;
  /**
   * Takes in models that came since, unless that was done a moment ago.
   * @param name does nothing where a model has this name
   */
  look(name?: string): Promise<void>;
  /**
   * The model, at once if it is loaded, else when it is.
   * @throws HttpError if it cannot be loaded, BusyError if too many wait for it; the reason of
   * `signal`
   */
  lease(id: string, signal: AbortSignal): ModelLease | Promise<ModelLease>;
  /** How long it stays after its last answer, until it is unloaded the next time. */
  keepFor(id: string, ms: number): void;
}

/** One model, which answers under any name. */
export function serveOne(model: ChatModel): ServedModels {
  const lease: ModelLease = { model, release: () => {} };
  const card = (): ModelCard => ({
    id: model.name,
    created: model.created,
    context: model.context,
    bytes: model.metrics().memory.weights,
    state: "ready",
    progress: 1,
    reason: null,
    pinned: true,
    waiting: 0,
    loads: 1,
    expires: null,
    model,
  });
  return {
    one: true,
    cards: () => [card()],
    card,
    find: () => model.name,
    look: async () => {},
    lease: () => lease,
    keepFor: () => {},
  };
}

/** Requests of all models: waiting for their turn or a load, having it, and waiting for memory. */
export function loadOf(models: ServedModels): { queued: number; running: number; waiting: number } {
  const total = { queued: 0, running: 0, waiting: 0 };
  for (const { model, waiting } of models.cards()) {
    total.queued += waiting;
    if (model === null) continue;
    const metrics = model.metrics();
    total.queued += metrics.queued;
    total.running += metrics.running;
    total.waiting += metrics.waiting;
  }
  return total;
}
