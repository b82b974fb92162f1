// Several models behind a server: a pool of chat models, with names, cards and errors as HTTP tells
// them.

import type { ChatModel } from "../../engine/chat_api.ts";
import { BusyError, HotsetError, MemoryError } from "../../errors.ts";
import { HttpError } from "../errors.ts";
import type { ModelCard, ModelLease, ServedModels } from "../served.ts";
import { Catalog, type CatalogEntry } from "./catalog.ts";
import type { Memory } from "./memory.ts";
import { ModelPool } from "./pool.ts";
import type { Clock, PoolModel, PoolOptions } from "./types.ts";

export type ClosableModel = ChatModel & { close(): Promise<void> };

/** What a model takes, and how it is loaded. */
export interface Measured extends Memory {
  /** Positions of a session. */
  readonly context: number;
}

export interface ServedModel extends CatalogEntry {
  readonly pinned: boolean;
  /** @throws HotsetError where it cannot be loaded */
  measure(): Promise<Measured>;
  /** @param onProgress takes the part that is loaded, 0 to 1 */
  load(onProgress: (part: number) => void, signal: AbortSignal): Promise<ClosableModel>;
}

export interface ServePoolOptions extends Omit<PoolOptions, "clock" | "tooLarge"> {
  /** Bytes as text. */
  readonly formatBytes: (bytes: number) => string;
  readonly clock?: Clock;
  /** Models that came since: those that the server has already are passed over. */
  readonly look?: () => Promise<readonly ServedModel[]>;
}

export interface ServedPool extends ServedModels {
  /** One more model. One that has the id of another is passed over. */
  add(model: ServedModel): void;
  /** Measures a model now. @throws HotsetError where it cannot be loaded */
  measure(id: string): Promise<Memory>;
  /** Loads a model now. @throws why it cannot be loaded */
  load(id: string): Promise<void>;
  /** Ends loads with `message`, unloads everything. */
  close(message: string): Promise<void>;
}

/** How long it is not looked again for models that came since. */
const LOOK_MS = 2000;
/** setTimeout() takes no more: it would end at once. */
const LONGEST_TIMER = 2 ** 31 - 1;

const REAL_CLOCK: Clock = {
  now: () => performance.now(),
  after(ms, work) {
    const timer = setTimeout(work, Math.min(ms, LONGEST_TIMER)).unref(); // the pool then looks again
    return () => clearTimeout(timer);
  },
};

export function servePool(models: readonly ServedModel[], options: ServePoolOptions): ServedPool {
  const { formatBytes, clock = REAL_CLOCK } = options;
  const created = Math.floor(Date.now() / 1000);
  const catalog = new Catalog(models);
  const contexts = new Map<string, number>();
  const byId = new Map(models.map((model) => [model.id, model]));
  const measure = async (model: ServedModel): Promise<Measured> => {
    const measured = await model.measure();
    contexts.set(model.id, measured.context);
    return measured;
  };
  const sourceOf = (model: ServedModel): PoolModel<ClosableModel> => ({
    id: model.id,
    pinned: model.pinned,
    measure: () => measure(model),
    load: (_, onProgress, signal) => model.load(onProgress, signal),
    unload: (loaded) => loaded.close(),
  });
  const amount = ({ ram, gpu }: Memory): string =>
    [
      ...(gpu > 0 ? [`${formatBytes(gpu)} of GPU memory`] : []),
      ...(ram > 0 || gpu <= 0 ? [formatBytes(ram)] : []),
    ].join(" and ");
  const pool = new ModelPool<ClosableModel>(models.map(sourceOf), {
    ...options,
    clock,
    tooLarge: (id, need, room) =>
      new MemoryError(
        `${id} takes ${amount(need)}, and pinned models leave ${amount(room)} of the memory budget (--ram, --gpu-memory)`,
      ),
  });

  function card(id: string): ModelCard {
    const { phase, progress, error, need, model, waiting, loads, expires } = pool.status(id);
    return {
      id,
      created,
      context: model?.context ?? contexts.get(id) ?? null,
      bytes: need && need.ram + need.gpu,
      state: phase,
      progress: phase === "ready" ? 1 : progress,
      reason: phase === "failed" ? messageOf(error) : null,
      pinned: byId.get(id)!.pinned,
      waiting,
      loads,
      expires: expires === null ? null : new Date(Date.now() + expires - clock.now()),
      model,
    };
  }

  function lease(id: string, signal: AbortSignal): ModelLease | Promise<ModelLease> {
    try {
      const got = pool.lease(id, signal);
      return got instanceof Promise
        ? got.catch((error: unknown) => {
            throw signal.aborted ? error : loadFailure(id, error);
          })
        : got;
    } catch (error) {
      throw signal.aborted ? error : loadFailure(id, error);
    }
  }

  function add(model: ServedModel): void {
    if (byId.has(model.id)) return;
    byId.set(model.id, model);
    pool.add(sourceOf(model));
    catalog.add([model]);
  }

  /** So that lists tell sizes. */
  async function measureAll(added: readonly ServedModel[]): Promise<void> {
    for (const { id } of added) await pool.measure(id).catch(() => {}); // requests for it are told
  }

  let looked = Number.NEGATIVE_INFINITY;
  let looking: Promise<void> | null = null;
  /** One after the other, so that many requests for names of no model cost the disk little. */
  function look(name?: string): Promise<void> {
    const find = options.look;
    if (find === undefined || (name !== undefined && catalog.knows(name))) return Promise.resolve();
    if (looking === null && clock.now() - looked < LOOK_MS) return Promise.resolve();
    looking ??= find()
      .then((found) => {
        found.forEach(add);
        void measureAll(found);
      })
      .finally(() => {
        looked = clock.now();
        looking = null;
      });
    return looking;
  }

  return {
    one: false,
    cards: () => catalog.ids.map(card),
    card,
    find: (name) => catalog.find(name),
    look,
    lease,
    keepFor: (id, ms) => pool.keepFor(id, ms),
    add,
    measure: (id) => pool.measure(id),
    async load(id) {
      (await pool.lease(id)).release();
    },
    close: (message) => pool.close(new HttpError(503, message, "closing", { "retry-after": "1" })),
  };
}

/** What a request is told whose model cannot be loaded. */
function loadFailure(id: string, error: unknown): unknown {
  if (error instanceof HttpError || error instanceof BusyError || !(error instanceof HotsetError)) return error;
  // Clients would try again by themselves, each time with a load.
  const headers = { "x-should-retry": "false" };
  const [status, code] = error instanceof MemoryError ? [507, "out_of_memory"] : [500, "model_not_loaded"];
  return new HttpError(status, `${id} cannot be loaded: ${error.message}`, code, headers);
}

function messageOf(error: unknown): string {
  return error instanceof HotsetError ? error.message : "internal error, see the server's log";
}
