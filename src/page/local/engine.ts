// The engine in the page itself: one model at a time, in a worker.

import {
  HotsetError,
  type ModelStats,
  openInWorker,
  type PageOptions,
  type Place,
  type WorkerModel,
} from "../../browser.ts";
import { placesOf } from "../../engine/places.ts";
import { samplingRules } from "../../engine/sampling_rules.ts";
import { EngineError, hasTemplate, type MadeOf, type ModelFacts, type PageEngine } from "../engine.ts";
import type { ExpertsEvent } from "../live.ts";
import { createStore, type Store } from "../store.ts";
import { type KeptModel, keptModels } from "./kept.ts";
import { messageOf, optionsOf, pageEvents } from "./translate.ts";

type Made = NonNullable<WorkerModel["facts"]>;

/** The model that is open, or being opened. */
export interface Current {
  readonly id: string;
  readonly state: "loading" | "ready" | "failed";
  /** Bytes of weights that are read, and all of them. */
  readonly done: number;
  readonly total: number;
  readonly reason?: string;
  readonly model?: WorkerModel;
}

export interface LocalEngine extends PageEngine {
  readonly kind: "page";
  /** Null: no model is open. */
  readonly current: Store<Current | null>;
  /** Closes the model that is open, and opens another. @throws EngineError */
  open(id: string, place: Place, signal?: AbortSignal): Promise<void>;
  kept(): Promise<readonly KeptModel[]>;
}

/** @param options how models are opened, but for what the engine watches itself */
export function localEngine(options: PageOptions & { readonly script?: string | URL }): LocalEngine {
  const current = createStore<Current | null>(null);
  let turn = 0; // a later opening ends an earlier one
  let opening: AbortController | null = null;

  async function close(): Promise<void> {
    turn++;
    opening?.abort();
    opening = null;
    const model = current.get()?.model;
    current.set(null);
    await model?.close();
  }

  async function open(id: string, place: Place, signal?: AbortSignal): Promise<void> {
    await close();
    const mine = turn;
    const show = (next: Omit<Current, "id">): void => {
      if (mine === turn) current.set({ id, ...next });
    };
    opening = new AbortController();
    const both = signal ? AbortSignal.any([signal, opening.signal]) : opening.signal;
    let [done, total] = [0, 0];
    show({ state: "loading", done, total });
    try {
      const model = await openInWorker(place, {
        ...options,
        signal: both,
        onProgress(next, all) {
          [done, total] = [next, all];
          show({ state: "loading", done, total });
        },
      });
      if (mine === turn) show({ state: "ready", done, total, model });
      else await model.close();
    } catch (error) {
      if (both.aborted) {
        if (mine === turn) current.set(null);
      } else show({ state: "failed", done, total, reason: (error as Error).message });
      throw failed(error);
    }
  }

  /** The model, opened where it is only kept. */
  async function ready(id: string, signal: AbortSignal): Promise<WorkerModel> {
    if (current.get()?.id !== id) await load(id, signal);
    const found = current.get();
    if (found?.id === id && found.model) return found.model;
    throw new EngineError(found?.reason ?? `${id} is not open yet`);
  }

  async function load(id: string, signal?: AbortSignal): Promise<void> {
    const found = (await keptModels()).find((model) => model.id === id);
    if (!found) throw new EngineError(`${id} is not kept in this browser: open it again`);
    await open(id, await found.open(), signal);
  }

  /** Follows the model from where it is opened to where it is closed, and again. */
  async function* experts(id: string, signal: AbortSignal): AsyncGenerator<ExpertsEvent> {
    while (!signal.aborted) {
      const now = current.get();
      const model = now?.id === id ? now.model : undefined;
      yield { type: "state", state: now?.id === id ? now.state : "unloaded" };
      if (model) yield* model.experts(signal);
      else await changed(current, signal);
    }
  }

  async function* told<T>(
    id: string,
    events: (model: WorkerModel) => AsyncIterable<T>,
    signal: AbortSignal,
  ): AsyncGenerator<T> {
    try {
      yield* events(await ready(id, signal));
    } catch (error) {
      signal.throwIfAborted();
      throw failed(error);
    }
  }

  return {
    kind: "page",
    url: null,
    current,
    open,
    kept: keptModels,
    async models() {
      const now = current.get();
      const stats = (await now?.model?.stats().catch(() => null)) ?? null; // it may have been closed
      const others = (await keptModels()).filter(({ id }) => id !== now?.id);
      const unloaded = others.map(({ id }): ModelFacts => ({ id, state: "unloaded" }));
      return now === null
        ? unloaded
        : [{ ...factsOf(now), ...(stats && memoryOf(stats, now.model?.facts)) }, ...unloaded];
    },
    load,
    unload: () => close(),
    async parameters(id) {
      const now = current.get();
      const model = now?.id === id ? now.model : undefined;
      return samplingRules(model?.sampling ?? null, model?.context ?? null);
    },
    experts,
    chat: (request, signal) =>
      told(
        request.model,
        (model) => {
          const continueAssistant = request.messages.at(-1)?.role === "assistant";
          const asked = { ...optionsOf(request, signal), ...(continueAssistant && { continueAssistant }) };
          return pageEvents(model.chat(request.messages.map(messageOf), asked));
        },
        signal,
      ),
    complete: (request, signal) =>
      told(request.model, (model) => pageEvents(model.complete(request.prompt, optionsOf(request, signal))), signal),
  };
}

/** Resolves when another model is open, or `signal` aborts. */
function changed(current: Store<Current | null>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      stop();
      signal.removeEventListener("abort", end);
      resolve();
    };
    const stop = current.follow(end);
    signal.addEventListener("abort", end);
  });
}

function failed(error: unknown): EngineError {
  if (error instanceof EngineError) return error;
  return new EngineError(error instanceof HotsetError ? error.message : String(error));
}

function factsOf({ id, state, done, total, reason, model }: Current): ModelFacts {
  return {
    id,
    state,
    ...(state === "loading" && { progress: total > 0 ? done / total : 0 }),
    ...(reason !== undefined && { reason }),
    ...(model && { context: model.context, chatTemplate: hasTemplate(model.facts?.chat) }),
    ...(model?.facts && { made: madeOf(model.facts) }),
  };
}

function memoryOf(stats: ModelStats, made: Made | null | undefined): Pick<ModelFacts, "memory"> {
  if (!made) return {};
  const main = stats.backend.backend === "webgpu" ? "gpu" : "ram";
  const { kv, scratch } = stats.memory;
  return { memory: { ...placesOf(main, made.sparseLayers * made.experts, stats), kv, scratch } };
}

function madeOf({ parameters, repacked, tokenizer, chat, backend, ...same }: Made): MadeOf {
  return {
    ...same,
    parameters: parameters.total,
    activeParameters: parameters.active,
    ...(repacked !== null && { repacked }),
    ...(tokenizer !== null && { tokenizer }),
    ...(chat !== null && { chat }),
    device: backend.backend === "cpu" ? `CPU, ${backend.threads} threads` : backend.device,
  };
}
