// A model pool over models that a test loads and unloads by hand, with a clock that it sets.

import { MemoryError } from "../../../src/errors.ts";
import { fits, type Memory, plus } from "../../../src/server/pool/memory.ts";
import { ModelPool } from "../../../src/server/pool/pool.ts";
import type { Clock, Lease, PoolModel, PoolOptions } from "../../../src/server/pool/types.ts";

export class FakeClock implements Clock {
  #now = 0;
  readonly #creep: number;
  readonly timers = new Set<{ readonly at: number; readonly work: () => void }>();

  /** @param creep milliseconds that pass with every look at the clock */
  constructor(creep = 0) {
    this.#creep = creep;
  }

  now(): number {
    this.#now += this.#creep;
    return this.#now;
  }

  after(ms: number, work: () => void): () => void {
    const timer = { at: this.#now + ms, work };
    this.timers.add(timer);
    return () => void this.timers.delete(timer);
  }

  pass(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const next = [...this.timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.timers.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.work();
    }
    this.#now = Math.max(this.#now, end);
  }
}

/** What a load or an unload waits for. */
interface Pending {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** A model's name is its value. */
export class FakeModel implements PoolModel<string> {
  readonly id: string;
  readonly pinned: boolean;
  need: Memory;
  /** Null while nothing of the kind is under way. */
  loading: Pending | null = null;
  unloading: Pending | null = null;
  loaded = false;
  /** How often it was begun to load. */
  loads = 0;
  progress: (part: number) => void = () => {};
  measured: Error | null = null;
  readonly #faults: string[];

  constructor(id: string, ram: number, { gpu = 0, pinned = false } = {}, faults: string[] = []) {
    this.id = id;
    this.need = { ram, gpu };
    this.pinned = pinned;
    this.#faults = faults;
  }

  /** Whether it takes memory. */
  get there(): boolean {
    return this.loaded || this.loading !== null || this.unloading !== null;
  }

  async measure(): Promise<Memory> {
    if (this.measured) throw this.measured;
    return this.need;
  }

  async load(_: Memory, onProgress: (part: number) => void, signal: AbortSignal): Promise<string> {
    if (this.there) this.#faults.push(`${this.id} is loaded twice`);
    this.loads++;
    this.progress = onProgress;
    await new Promise<void>((resolve, reject) => {
      this.loading = { resolve, reject };
      signal.addEventListener("abort", () => reject(signal.reason));
    }).finally(() => {
      this.loading = null;
    });
    this.loaded = true;
    return this.id;
  }

  async unload(): Promise<void> {
    if (!this.loaded || this.unloading) this.#faults.push(`${this.id} is unloaded, and was not loaded`);
    await new Promise<void>((resolve, reject) => {
      this.unloading = { resolve, reject };
    });
    this.unloading = null;
    this.loaded = false;
  }
}

/** A request for a model. */
export interface Asked {
  readonly id: string;
  readonly controller: AbortController;
  lease: Lease<string> | null;
  error: unknown;
  /** Whether it has waited for an answer and has none so far. */
  waits: boolean;
}

export interface FakePool {
  readonly pool: ModelPool<string>;
  readonly clock: FakeClock;
  readonly models: Readonly<Record<string, FakeModel>>;
  /** What the pool did wrong in the eyes of the models. */
  readonly faults: string[];
  /** Everything that happened, as "loaded a". */
  readonly events: string[];
  ask(id: string): Asked;
  /** Lets promises run. */
  turn(): Promise<void>;
  /** Ends a load, or makes it fail. */
  load(id: string, error?: Error): Promise<void>;
  unload(id: string): Promise<void>;
  end(asked: Asked): Promise<void>;
  /** Names of the models that take memory. */
  there(): string[];
}

export function fakePool(
  given: Readonly<Record<string, number | { ram: number; gpu?: number; pinned?: boolean }>>,
  budget: number | Memory,
  options: Partial<PoolOptions> = {},
  creep = 0,
): FakePool {
  const clock = new FakeClock(creep);
  const faults: string[] = [];
  const events: string[] = [];
  const models: Record<string, FakeModel> = {};
  for (const [id, size] of Object.entries(given)) {
    const { ram, ...more } = typeof size === "number" ? { ram: size } : size;
    models[id] = new FakeModel(id, ram, more, faults);
  }
  const bytes = typeof budget === "number" ? { ram: budget, gpu: 0 } : budget;
  const pool = new ModelPool<string>(Object.values(models), {
    budget: bytes,
    clock,
    tooLarge: (id, need, room) => new MemoryError(`${id} needs ${need.ram}, there are ${room.ram}`),
    onEvent: (event, id) => void events.push(`${event} ${id}`),
    ...options,
  });
  const turn = async (): Promise<void> => {
    for (let i = 0; i < 12; i++) await Promise.resolve();
    const used = Object.values(models).filter(({ there }) => there);
    const total = used.map(({ need }) => need).reduce(plus, { ram: 0, gpu: 0 });
    if (!fits(total, bytes)) faults.push(`over budget: ${used.map(({ id }) => id)}`);
  };
  return {
    pool,
    clock,
    models,
    faults,
    events,
    turn,
    ask(id) {
      const asked: Asked = { id, controller: new AbortController(), lease: null, error: null, waits: true };
      const done = (): void => {
        asked.waits = false;
      };
      try {
        const got = pool.lease(id, asked.controller.signal);
        if (got instanceof Promise)
          got.then(
            (lease) => {
              asked.lease = lease;
              done();
            },
            (error: unknown) => {
              asked.error = error;
              done();
            },
          );
        else {
          asked.lease = got;
          done();
        }
      } catch (error) {
        asked.error = error;
        done();
      }
      return asked;
    },
    async load(id, error) {
      const { loading } = models[id]!;
      if (loading === null) throw new Error(`${id} is not being loaded`);
      if (error) loading.reject(error);
      else loading.resolve();
      await turn();
    },
    async unload(id) {
      const { unloading } = models[id]!;
      if (unloading === null) throw new Error(`${id} is not being unloaded`);
      unloading.resolve();
      await turn();
    },
    async end(asked) {
      asked.lease!.release();
      await turn();
    },
    there: () => Object.values(models).flatMap(({ id, there }) => (there ? [id] : [])),
  };
}
