// A server over a pool of scripted models, whose loads a test ends by hand.

import { expect } from "vitest";
import { createApp, type ServerOptions } from "../../../src/server/app.ts";
import { type ServedModel, type ServedPool, servePool } from "../../../src/server/pool/serve_pool.ts";
import type { PoolOptions } from "../../../src/server/pool/types.ts";
import { type Act, type Fake, fakeModel } from "../fake_model.ts";
import { FakeClock } from "./fake_pool.ts";

export interface Backend {
  readonly pool: ServedPool;
  readonly app: ReturnType<typeof createApp>;
  readonly clock: FakeClock;
  /** Lets the load of a model end, or fail. */
  finish(id: string, error?: Error): Promise<void>;
  readonly progress: Map<string, (part: number) => void>;
  readonly closed: string[];
  readonly models: Map<string, Fake>;
  readonly loads: string[];
  post(path: string, body: object, init?: RequestInit): Promise<Response>;
}

interface Setting {
  readonly ids?: readonly string[];
  readonly slow?: boolean;
  readonly acts?: () => Iterable<Act>;
  readonly options?: ServerOptions;
  readonly pool?: Partial<PoolOptions>;
  /** Ids of models that have come when it is looked again. */
  readonly came?: () => readonly string[];
}

/** A server of models of 10 bytes each, of which one fits. */
export function serve({
  ids = ["owner/a", "b"],
  slow = false,
  acts,
  options = {},
  pool: more = {},
  came,
}: Setting = {}): Backend {
  const clock = new FakeClock();
  const [waiting, progress, models] = [new Map<string, (error?: Error) => void>(), new Map(), new Map<string, Fake>()];
  const closed: string[] = [];
  const loads: string[] = [];
  const served = (id: string): ServedModel => ({
    id,
    aliases: [`/models/${id}.gguf`],
    pinned: false,
    measure: async () => ({ ram: 10, gpu: 0, context: 4096 }),
    async load(onProgress, signal) {
      loads.push(id);
      progress.set(id, onProgress);
      if (slow)
        await new Promise<void>((resolve, reject) => {
          waiting.set(id, (error) => (error ? reject(error) : resolve()));
          signal.addEventListener("abort", () => reject(signal.reason));
        });
      const model = { ...fakeModel(acts ? { acts } : {}), name: id };
      models.set(id, model);
      return { ...model, close: async () => void closed.push(id) };
    },
  });
  const pool = servePool(ids.map(served), {
    budget: { ram: 10, gpu: 0 },
    clock,
    formatBytes: (bytes) => `${bytes} B`,
    ...(came && { look: async () => came().map(served) }),
    ...more,
  });
  const app = createApp(pool, options);
  return {
    pool,
    app,
    clock,
    progress,
    closed,
    models,
    loads,
    async finish(id, error) {
      await expect.poll(() => waiting.has(id)).toBe(true);
      waiting.get(id)!(error);
    },
    post: async (path, body, init = {}) =>
      app.request(path, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
        ...init,
      }),
  };
}
