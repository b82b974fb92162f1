// Several models within one memory budget: loaded when a request comes, unloaded when others need
// their room. A pure state machine: clock, loader and sizes are given.

import { onAbort } from "../../abort.ts";
import { BusyError } from "../../errors.ts";
import { Entry, type Waiter } from "./entry.ts";
import { fits, type Memory, planRoom, sumOf } from "./memory.ts";
import type { Lease, PoolModel, PoolOptions, PoolStatus } from "./types.ts";

/** A model that could not be loaded is not tried again for so long: clients retry at once. */
const RETRY_MS = 1000;

/**
 * The rules:
 * - A model that a request holds is never unloaded, and none is while it is being loaded.
 * - Requests for a model that is being loaded share the load. All of them get the model at the
 *   moment when it is loaded, before anything else happens.
 * - Room is given in the order in which requests came (memory.ts). Models that are idle leave
 *   first, the least recently used one before the others. If they are not enough, one that is
 *   answering takes no further requests, finishes its answers and leaves.
 * - Before that it may take requests for as long as it took to load it, so that not more than about
 *   half of the time goes into loading if two models take turns.
 *
 * Everything that happens changes an entry and then calls #settle(), which decides anew.
 */
export class ModelPool<M> {
  readonly #entries = new Map<string, Entry<M>>();
  readonly #options: PoolOptions;
  readonly #aborter = new AbortController();
  #arrivals = 0;
  #stopTimer: () => void = () => {};
  #settling = false;
  #closing: Error | null = null;
  #onQuiet: (() => void) | null = null;

  constructor(models: readonly PoolModel<M>[], options: PoolOptions) {
    for (const model of models) this.add(model);
    this.#options = options;
  }

  /** One more model, whose id no other has. */
  add(model: PoolModel<M>): void {
    this.#entries.set(model.id, new Entry(model));
  }

  /**
   * The model, which stays loaded until the lease is released: at once if it is loaded, else when
   * it is. A model that failed within the last second is not tried again.
   * @throws BusyError if too many wait; why it cannot be loaded; the reason of `signal`; the error
   * of close()
   */
  lease(id: string, signal?: AbortSignal): Lease<M> | Promise<Lease<M>> {
    if (this.#closing) throw this.#closing;
    signal?.throwIfAborted();
    const entry = this.#entry(id);
    const now = this.#now();
    if (entry.open) return this.#grant(entry);
    const { failure } = entry;
    if (failure && entry.phase === "unloaded" && now - failure.at < RETRY_MS) throw failure.error;
    if (entry.waiters.size >= (this.#options.mostWaiting ?? Number.POSITIVE_INFINITY))
      throw new BusyError(`${entry.waiters.size} requests wait for ${id} to be loaded; try again`);
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        entry.waiters.delete(waiter);
        reject(signal!.reason);
        this.#settle();
      };
      const waiter: Waiter<M> = {
        order: this.#arrivals++,
        resolve,
        reject,
        stay: onAbort(signal, leave),
      };
      entry.waiters.add(waiter);
      this.#settle();
    });
  }

  /**
   * How long the model stays loaded after its last answer, in place of `idleMs`, until it is
   * unloaded.
   */
  keepFor(id: string, ms: number): void {
    const entry = this.#entry(id);
    if (entry.phase === "unloaded" || entry.phase === "unloading") return;
    entry.keepMs = ms;
    this.#settle();
  }

  status(id: string): PoolStatus<M> {
    const entry = this.#entry(id);
    return {
      phase: entry.phaseNow,
      progress: entry.progress,
      error: entry.failure?.error,
      need: entry.need,
      model: entry.model,
      held: entry.leases,
      waiting: entry.waiters.size,
      loads: entry.loads,
      expires: entry.model !== null && entry.leases === 0 ? finite(entry.expires(this.#idleMs)) : null,
    };
  }

  /** What a model takes, measured now if it was not. @throws where it cannot be loaded */
  async measure(id: string): Promise<Memory> {
    const entry = this.#entry(id);
    if (!entry.stale) return entry.need!;
    try {
      const need = await entry.source.measure();
      entry.need = need;
      entry.stale = false;
      return need;
    } catch (error) {
      entry.failure = { error, at: this.#now() };
      throw error;
    }
  }

  /**
   * Rejects waiting requests with `error`, stops loading, and unloads all models, held ones too.
   * Resolves when all memory is free.
   */
  async close(error: Error): Promise<void> {
    this.#closing ??= error;
    this.#stopTimer();
    this.#aborter.abort(error);
    for (const entry of this.#entries.values()) this.#rejectAll(entry, error);
    const quiet = new Promise<void>((resolve) => {
      this.#onQuiet = resolve;
    });
    this.#settle();
    await quiet;
  }

  get #idleMs(): number {
    return this.#options.idleMs ?? Number.POSITIVE_INFINITY;
  }

  #now(): number {
    return this.#options.clock.now();
  }

  #entry(id: string): Entry<M> {
    const entry = this.#entries.get(id);
    if (entry === undefined) throw new Error(`the pool has no model ${id}`);
    return entry;
  }

  #grant(entry: Entry<M>): Lease<M> {
    entry.leases++;
    entry.grantedAt = this.#now();
    let released = false;
    return {
      model: entry.model!,
      release: () => {
        if (released) return;
        released = true;
        entry.leases--;
        entry.endedAt = this.#now();
        this.#settle();
      },
    };
  }

  /** Brings everything into the state that the rules want now. */
  #settle(): void {
    if (this.#settling) return; // by a callback of what is below
    this.#settling = true;
    let now = this.#now();
    try {
      if (this.#closing) this.#emptyOut();
      else while (this.#step(now)) now = this.#now(); // a granted lease changes what may leave
    } finally {
      this.#settling = false;
    }
    this.#setTimer(now);
  }

  /** @returns whether requests got their model: then the plan must be made again */
  #step(now: number): boolean {
    const entries = [...this.#entries.values()];
    const waiting = entries
      .filter(({ waiters, phase }) => waiters.size > 0 && phase !== "loading")
      .sort((a, b) => a.firstOrder - b.firstOrder);
    for (const entry of waiting) {
      if (entry.phase !== "unloaded") continue;
      if (entry.stale) this.#measure(entry);
      else this.#refuseIfTooLarge(entry);
    }
    const items = entries
      .filter(({ need }) => need !== null)
      .sort((a, b) => a.leavesBefore(b))
      .map((entry) => ({ entry, need: entry.need!, place: entry.place(now) }));
    const byEntry = new Map(items.map((item) => [item.entry, item]));
    const claims = waiting
      .filter(({ waiters, phase }) => waiters.size > 0 && phase !== "measuring")
      .flatMap((entry) => byEntry.get(entry) ?? []);
    const { leave, load } = planRoom(this.#options.budget, items, claims);
    const leaving = new Set([...leave].map(({ entry }) => entry));
    let granted = false;
    for (const entry of entries) {
      entry.leaving = leaving.has(entry);
      if (entry.open && entry.waiters.size > 0) {
        granted = true;
        this.#grantAll(entry);
      }
      if (!entry.idle) continue;
      if (entry.leaving || entry.expires(this.#idleMs) <= now) this.#unload(entry);
    }
    for (const { entry } of load) this.#load(entry);
    return granted;
  }

  #grantAll(entry: Entry<M>): void {
    for (const waiter of [...entry.waiters]) {
      entry.waiters.delete(waiter);
      waiter.stay();
      waiter.resolve(this.#grant(entry));
    }
  }

  #rejectAll(entry: Entry<M>, error: unknown): void {
    for (const waiter of [...entry.waiters]) {
      entry.waiters.delete(waiter);
      waiter.stay();
      waiter.reject(error);
    }
  }

  #fail(entry: Entry<M>, error: unknown): void {
    entry.failure = { error, at: this.#now() };
    this.#rejectAll(entry, error);
    this.#options.onEvent?.("failed", entry.id, { error });
  }

  #refuseIfTooLarge(entry: Entry<M>): void {
    const { budget, tooLarge } = this.#options;
    const pinned = [...this.#entries.values()].filter((other) => other !== entry && other.source.pinned);
    const taken = sumOf(pinned.flatMap(({ need }) => need ?? []));
    const room = { ram: budget.ram - taken.ram, gpu: budget.gpu - taken.gpu };
    if (!fits(entry.need!, room)) this.#fail(entry, tooLarge(entry.id, entry.need!, room));
  }

  #measure(entry: Entry<M>): void {
    entry.phase = "measuring";
    const done = (then: () => void): void => {
      entry.phase = "unloaded";
      then();
      this.#settle();
    };
    entry.source.measure().then(
      (need) =>
        done(() => {
          entry.need = need;
          entry.stale = false;
        }),
      (error: unknown) => done(() => this.#fail(entry, error)),
    );
  }

  #load(entry: Entry<M>): void {
    const begun = this.#now();
    entry.begin();
    this.#options.onEvent?.("loading", entry.id, {});
    const progress = (part: number): void => {
      entry.progress = part;
    };
    entry.source.load(entry.need!, progress, this.#aborter.signal).then(
      (model) => {
        const now = this.#now();
        entry.loaded(model, now, now - begun);
        this.#options.onEvent?.("loaded", entry.id, { ms: now - begun });
        if (!this.#closing) this.#grantAll(entry);
        this.#settle();
      },
      async (error: unknown) => {
        await this.#options.reclaim?.();
        entry.phase = "unloaded";
        entry.stale = true;
        if (this.#closing === null) this.#fail(entry, error);
        this.#settle();
      },
    );
  }

  #unload(entry: Entry<M>): void {
    const model = entry.leave();
    this.#options.onEvent?.("unloading", entry.id, {});
    entry.source
      .unload(model)
      .catch((error: unknown) => this.#options.onEvent?.("failed", entry.id, { error }))
      .then(() => this.#options.reclaim?.())
      .then(() => {
        entry.unloaded();
        this.#options.onEvent?.("unloaded", entry.id, {});
        this.#settle();
      });
  }

  /** Unloads everything: requests that hold a model are over, or end with its closing. */
  #emptyOut(): void {
    const entries = [...this.#entries.values()];
    for (const entry of entries) if (entry.phase === "ready") this.#unload(entry);
    if (entries.every(({ phase }) => phase === "unloaded" || phase === "measuring")) this.#onQuiet?.();
  }

  /**
   * Wakes up when the next turn ends or the next idle model is to be unloaded.
   * @param now when that was last looked at: what became due since then is not yet done
   */
  #setTimer(now: number): void {
    this.#stopTimer();
    this.#stopTimer = () => {};
    if (this.#closing) return;
    const entries = [...this.#entries.values()];
    const waits = entries.some(({ waiters }) => waiters.size > 0);
    const times = entries.flatMap((entry) => [
      ...(entry.idle ? [entry.expires(this.#idleMs)] : []),
      ...(waits && entry.phase === "ready" ? [entry.turnEnds] : []),
    ]);
    const next = Math.min(...times.filter((time) => time > now));
    if (next === Number.POSITIVE_INFINITY) return;
    this.#stopTimer = this.#options.clock.after(Math.max(0, next - this.#now()), () => this.#settle());
  }
}

function finite(time: number): number | null {
  return Number.isFinite(time) ? time : null;
}
