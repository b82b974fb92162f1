// The tier in RAM: equal slots for experts' records, a quota of them for each layer, and the disk behind it.
//
// LayerCache decides which experts of a layer are residents. Slots are not the layers' own: a record is read into a free slot,
// and becomes a resident, or not, where it lies; a free slot keeps its record until it is taken, so that what was read ahead,
// or evicted a moment ago, is found again.

import type { ExpertUse, HostExperts, HostStore } from "../backend/experts.ts";
import { abortReason, RequestError } from "../errors.ts";
import type { Guess } from "./guess.ts";
import type { Cause, HostTier } from "./host.ts";
import { LayerCache, type Policy } from "./layer_cache.ts";
import type { ReadRecord } from "./records.ts";

export interface RamTierOptions {
  readonly experts: HostExperts;
  readonly layers: number;
  /** Residents a layer, and layers (the first ones) that have one more; the other slots are for what comes and goes. */
  readonly quota: number;
  readonly extra?: number | undefined;
  readonly policy: (layer: number) => Policy;
  readonly read: ReadRecord;
  /** Experts that the next layer will probably use, likeliest first: read ahead when the disk is idle. */
  readonly guess?: Guess | undefined;
  /** Whether guesses are acted on while decoding, and who hears how long a token took (pays_gate.ts). Default: always. */
  readonly gate?: { readonly on: boolean; step(ms: number): void } | undefined;
  /** Whether records are read past the page cache, likewise. Default: never. */
  readonly bypass?: { readonly on: boolean; readonly deciding: boolean; step(ms: number): void } | undefined;
  /** Milliseconds. */
  readonly clock: () => number;
}

/** What the tier has done since it was made. Times in ms. */
export interface RamCounters {
  /** Bytes read from disk (or packed), by cause; `wasted` of those read ahead were overwritten unused. */
  demandBytes: number;
  prefetchBytes: number;
  admissionBytes: number;
  wastedBytes: number;
  reads: number;
  /** Time in which at least one read was under way. */
  diskMs: number;
  /** Time in which a step had nothing to compute but waited for a record. */
  stallMs: number;
  computeMs: number;
}

interface Slot {
  readonly index: number;
  /** layer * E + expert of the record that it holds or will hold; -1: none. */
  key: number;
  pins: number;
  reading: Promise<void> | null;
  /** Read ahead, and not used since. */
  ahead: boolean;
}

export class RamTier implements HostTier, HostStore {
  readonly experts: HostExperts;
  readonly caches: readonly LayerCache[];
  readonly counters: RamCounters = {
    demandBytes: 0,
    prefetchBytes: 0,
    admissionBytes: 0,
    wastedBytes: 0,
    reads: 0,
    diskMs: 0,
    stallMs: 0,
    computeMs: 0,
  };
  readonly #options: RamTierOptions;
  readonly #count: number; // E
  readonly #where = new Map<number, Slot>(); // by key
  readonly #free: Slot[]; // longest free first
  readonly #waiters: (() => void)[] = [];
  readonly #closing = new AbortController();
  #reading = 0;
  #readingSince = 0;
  /** When the first layer of this token was visited, and how many tokens the last step had. */
  #tokenBegan = 0;
  #lastTokens = 0;

  constructor(options: RamTierOptions) {
    const { experts, layers, quota, extra = 0, policy } = options;
    this.#options = options;
    this.experts = experts;
    this.#count = experts.shape.count;
    this.caches = Array.from({ length: layers }, (_, layer) => {
      return new LayerCache(this.#count, layer < extra ? quota + 1 : quota, policy(layer));
    });
    this.#free = Array.from({ length: experts.slots }, (_, index) => ({
      index,
      key: -1,
      pins: 0,
      reading: null,
      ahead: false,
    }));
    if (experts.slots <= layers * quota + extra)
      throw new RequestError(
        `${experts.slots} slots in RAM for ${layers * quota + extra} experts of ${layers} layers: at least one more is needed`,
      );
  }

  begin(layer: number, use: readonly ExpertUse[], tokens: number): void {
    this.#begin(layer, use, tokens);
  }

  has(layer: number, expert: number): boolean {
    const slot = this.#where.get(this.#key(layer, expert));
    return slot !== undefined && slot.reading === null;
  }

  async acquire(layer: number, expert: number, cause: Cause, signal?: AbortSignal): Promise<number> {
    return (await this.#acquire(layer, expert, cause, signal)).index;
  }

  release(layer: number, expert: number): void {
    const slot = this.#where.get(this.#key(layer, expert));
    if (!slot || slot.pins === 0) throw new Error(`expert ${expert} of layer ${layer} is not held`);
    this.#unpin(slot);
  }

  async visit(
    layer: number,
    use: readonly ExpertUse[],
    x: Float32Array,
    compute: (expert: number, slot: number) => void | Promise<void>,
    signal?: AbortSignal,
  ): Promise<void> {
    const { clock } = this.#options;
    if (layer === 0) this.#tokenBegan = clock();
    const tokens = x.length / this.experts.shape.hidden;
    const held = new Map<number, Slot>();
    const { hits, misses } = this.#begin(layer, use, tokens, held);
    const arrived: number[] = [];
    let failure: { readonly error: unknown } | null = null;
    let pending = misses.length;
    let wake: () => void = () => {};
    const arrivals = misses.map(async ({ expert }) => {
      try {
        held.set(expert, await this.#acquire(layer, expert, "demand", signal));
        arrived.push(expert);
      } catch (error) {
        failure ??= { error };
      }
      pending--;
      if (pending === 0) this.#lookAhead(layer, x, tokens);
      wake();
    });
    if (pending === 0) this.#lookAhead(layer, x, tokens);
    const waited = async (work: () => Promise<unknown>): Promise<void> => {
      const started = clock();
      await work();
      this.counters.stallMs += clock() - started;
    };
    const one = async (expert: number): Promise<void> => {
      const slot = held.get(expert)!;
      // A resident whose read an aborted step has left under way.
      if (slot.reading) await waited(() => aborted(slot.reading!, signal));
      const started = clock();
      await compute(expert, slot.index);
      this.counters.computeMs += clock() - started;
      held.delete(expert);
      this.#unpin(slot);
    };
    try {
      for (const { expert } of hits) await one(expert);
      for (let done = 0; done < misses.length && failure === null; done++) {
        if (arrived.length === 0) {
          await waited(
            () =>
              new Promise<void>((resolve) => {
                wake = resolve;
              }),
          );
        }
        const expert = arrived.shift();
        if (expert !== undefined) await one(expert);
      }
    } catch (error) {
      failure ??= { error };
    }
    if (failure === null) {
      if (layer === this.caches.length - 1) this.#tokenEnds(tokens);
      return;
    }
    await Promise.all(arrivals);
    for (const slot of held.values()) this.#unpin(slot);
    throw (failure as { readonly error: unknown }).error;
  }

  /** Forgets who is resident, and what was counted: what came before, a warm-up, was no real work. Between steps. */
  clear(): void {
    for (const cache of this.caches) cache.clear();
    for (const slot of this.#where.values()) this.#settle(slot);
    for (const key of Object.keys(this.counters) as (keyof RamCounters)[]) this.counters[key] = 0;
  }

  /** No record is read any more; who waits for one is refused. Resolves when none is under way. */
  async close(): Promise<void> {
    this.#closing.abort(new RequestError("the model is closed"));
    for (const wake of this.#waiters.splice(0)) wake();
    await Promise.allSettled([...this.#where.values()].map((slot) => slot.reading));
  }

  #key(layer: number, expert: number): number {
    return layer * this.#count + expert;
  }

  /** A step's uses are counted and its misses admitted or not; `held` gets the hits, pinned before anybody is evicted. */
  #begin(layer: number, use: readonly ExpertUse[], tokens: number, held?: Map<number, Slot>) {
    const cache = this.caches[layer]!;
    for (const { expert } of use) {
      const slot = this.#where.get(this.#key(layer, expert));
      if (!slot)
        cache.drop(expert); // admitted in a step that ended before it was read
      else if (held && cache.slotOf(expert) >= 0) {
        slot.pins++;
        held.set(expert, slot);
      }
    }
    const found = cache.begin(use, tokens);
    for (const { expert } of found.misses) {
      const admitted = cache.admit(expert);
      if (admitted && admitted.evicted !== null) this.#settle(this.#where.get(this.#key(layer, admitted.evicted)));
      this.#settle(this.#where.get(this.#key(layer, expert))); // its record may lie in a free slot
    }
    return found;
  }

  async #acquire(layer: number, expert: number, cause: Cause, signal?: AbortSignal): Promise<Slot> {
    for (;;) {
      if (signal?.aborted) throw abortReason(signal);
      if (this.#closing.signal.aborted) throw abortReason(this.#closing.signal);
      const slot = this.#where.get(this.#key(layer, expert)) ?? this.#take(layer, expert, cause);
      if (slot === null) {
        await this.#freed(signal);
        continue;
      }
      slot.pins++;
      this.#settle(slot);
      if (cause !== "prefetch") slot.ahead = false;
      try {
        if (slot.reading) await aborted(slot.reading, signal);
        return slot;
      } catch (error) {
        this.#unpin(slot);
        throw error;
      }
    }
  }

  /** Resolves when a slot has become free, or the tier is closed. */
  async #freed(signal: AbortSignal | undefined): Promise<void> {
    let wake: () => void = () => {};
    const free = new Promise<void>((resolve) => {
      wake = resolve;
      this.#waiters.push(resolve);
    });
    try {
      await aborted(free, signal);
    } catch (error) {
      const at = this.#waiters.indexOf(wake);
      if (at >= 0) this.#waiters.splice(at, 1);
      else this.#waiters.shift()?.(); // it was woken: the slot is the next one's
      throw error;
    }
  }

  /** A free slot for a record, which is on its way then; null where there is none. */
  #take(layer: number, expert: number, cause: Cause): Slot | null {
    const slot = this.#free.shift();
    if (!slot) return null;
    const { counters, experts } = this;
    if (slot.key >= 0) this.#where.delete(slot.key);
    if (slot.ahead) counters.wastedBytes += experts.recordBytes;
    slot.key = this.#key(layer, expert);
    slot.ahead = cause === "prefetch";
    this.#where.set(slot.key, slot);
    counters.reads++;
    if (cause === "demand") counters.demandBytes += experts.recordBytes;
    else if (cause === "prefetch") counters.prefetchBytes += experts.recordBytes;
    else counters.admissionBytes += experts.recordBytes;
    slot.reading = this.#read(slot, layer, expert);
    slot.reading.catch(() => {}); // whoever waits hears of it
    return slot;
  }

  /** The read belongs to the slot, not to who asked: it goes on when the asker gives up, and fails for all who wait. */
  async #read(slot: Slot, layer: number, expert: number): Promise<void> {
    const { clock, read, bypass } = this.#options;
    if (this.#reading++ === 0) this.#readingSince = clock();
    let whole = false;
    try {
      const urgent = (): boolean => !slot.ahead;
      await read(layer, expert, slot.index, { signal: this.#closing.signal, urgent, bypass: bypass?.on ?? false });
      whole = true;
    } finally {
      slot.reading = null;
      if (--this.#reading === 0) this.counters.diskMs += clock() - this.#readingSince;
      if (!whole) {
        this.#where.delete(slot.key);
        this.caches[layer]!.drop(expert);
        slot.key = -1;
        slot.ahead = false;
      }
      this.#settle(slot);
    }
  }

  #unpin(slot: Slot): void {
    slot.pins--;
    this.#settle(slot);
  }

  /** Puts a slot among the free ones if nobody needs what it holds, and takes it from there if somebody does. */
  #settle(slot: Slot | undefined): void {
    if (!slot) return;
    const layer = Math.floor(slot.key / this.#count);
    const resident = slot.key >= 0 && this.caches[layer]!.slotOf(slot.key % this.#count) >= 0;
    const at = this.#free.indexOf(slot);
    if (slot.pins > 0 || slot.reading !== null || resident) {
      if (at >= 0) this.#free.splice(at, 1);
    } else if (at < 0) {
      this.#free.push(slot);
      this.#waiters.shift()?.();
    }
  }

  /** Whether so many tokens use nearly all experts of a layer: then reading ahead is never wrong. */
  #isPrompt(tokens: number): boolean {
    return tokens >= 2 * this.#count;
  }

  /** While decoding, the gates hear how long the token took, without the consumer's own time between tokens. */
  #tokenEnds(tokens: number): void {
    const { gate, bypass, clock } = this.#options;
    if (!this.#isPrompt(tokens) && tokens === this.#lastTokens) {
      const ms = clock() - this.#tokenBegan;
      if (!bypass?.deciding) gate?.step(ms); // one thing is tried at a time
      bypass?.step(ms);
    }
    this.#lastTokens = tokens;
  }

  /** Reads what the next layer will probably use, as far as free slots go; the disk has nothing else to do. */
  #lookAhead(layer: number, x: Float32Array, tokens: number): void {
    const { guess, gate } = this.#options;
    const next = layer + 1;
    if (!guess || next >= this.caches.length || tokens === 0) return;
    if (!this.#isPrompt(tokens) && !(gate?.on ?? true)) return;
    for (const expert of guess(layer, x)) {
      if (this.#where.has(this.#key(next, expert))) continue;
      if (this.#free.length < 2) return; // one is left for who comes on demand
      this.acquire(next, expert, "prefetch").then(
        () => this.release(next, expert),
        () => {}, // a record that cannot be read fails for who needs it
      );
    }
  }
}

/** `work`, or the signal's reason if that comes first. */
async function aborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  let stop: () => void = () => {};
  try {
    return await Promise.race([
      work,
      new Promise<never>((_, reject) => {
        stop = () => reject(abortReason(signal));
        signal.addEventListener("abort", stop, { once: true });
      }),
    ]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
