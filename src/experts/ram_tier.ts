// The tier in RAM: equal slots for experts' records, a quota of residents for each layer, and the
// disk behind it.
//
// LayerCache decides which experts of a layer are resident. Slots do not belong to layers: a record
// is read into any free slot and becomes resident there, or not. A free slot keeps its record until
// the slot is reused, so a record that was prefetched or just evicted can still be a hit.

import { orAborted } from "../abort.ts";
import type { ExpertUse, HostExperts, HostStore } from "../backend/experts.ts";
import { abortReason, RequestError } from "../errors.ts";
import type { AbTrial } from "./ab_trial.ts";
import { LayerCache, type Policy } from "./layer_cache.ts";
import { LookAhead } from "./look_ahead.ts";
import type { Predict } from "./prediction.ts";
import { NOTHING, type RamCounters } from "./ram_counters.ts";
import type { Cause, RamRecords } from "./ram_records.ts";
import { ReadTurns } from "./read_turns.ts";
import type { ReadRecord } from "./record_reader.ts";

export interface RamTierOptions {
  readonly experts: HostExperts;
  readonly layers: number;
  /** Residents of each layer. The slots beyond the quotas hold records in transit. */
  readonly quota: number;
  /** How many layers (the first ones) have one more resident. */
  readonly extra?: number | undefined;
  readonly policy: (layer: number) => Policy;
  readonly read: ReadRecord;
  /** Predicts the next layers' experts, which are then prefetched while the disk is idle. */
  readonly predict?: Predict | undefined;
  /** Decides whether to prefetch while decoding, from the time of each token. Default: always. */
  readonly prefetchTrial?: Pick<AbTrial, "on" | "step"> | undefined;
  /** Decides whether to read past the page cache, likewise. Default: never. */
  readonly bypassTrial?: Pick<AbTrial, "on" | "deciding" | "step"> | undefined;
  /** Milliseconds. */
  readonly clock: () => number;
  /** Lets what has been read be noticed while a step computes. Default: where the step waits. */
  readonly turn?: (() => Promise<void>) | undefined;
}

interface Slot {
  readonly index: number;
  /** layer * E + expert of the record that the slot holds or is being filled with; -1: none. */
  key: number;
  pins: number;
  reading: Promise<void> | null;
  /** Ends that read. */
  stop: AbortController;
  /** Bytes that it has asked for. */
  asked: number;
  /** Prefetched, and not used since. */
  prefetched: boolean;
}

export class RamTier implements RamRecords, HostStore {
  readonly experts: HostExperts;
  readonly caches: readonly LayerCache[];
  readonly counters: RamCounters = { ...NOTHING };
  readonly #options: RamTierOptions;
  readonly #count: number; // E
  readonly #where = new Map<number, Slot>(); // by key
  readonly #all: readonly Slot[];
  readonly #free: Slot[]; // longest free first
  readonly #waiters: (() => void)[] = [];
  readonly #closing = new AbortController();
  readonly #ahead: LookAhead | null;
  readonly #turns: ReadTurns;
  #reading = 0;
  #readingSince = 0;
  /** When the first layer of this step was visited, and how many experts it missed. */
  #stepBegan = 0;
  #missing = 0;
  /** Whether the last step was a prompt's: the next one finds its experts. */
  #afterPrompt = true;

  constructor(options: RamTierOptions) {
    const { experts, layers, quota, extra = 0, policy, predict } = options;
    this.#options = options;
    this.#turns = new ReadTurns(options.clock, options.turn);
    this.experts = experts;
    this.#count = experts.shape.count;
    this.caches = Array.from({ length: layers }, (_, layer) => {
      return new LayerCache(this.#count, layer < extra ? quota + 1 : quota, policy(layer));
    });
    this.#all = Array.from({ length: experts.slots }, (_, index) => ({
      index,
      key: -1,
      pins: 0,
      reading: null,
      stop: new AbortController(),
      asked: 0,
      prefetched: false,
    }));
    this.#free = [...this.#all];
    this.#ahead = predict
      ? new LookAhead(layers, experts.recordBytes, predict, {
          known: (layer, expert) => this.#where.has(this.#key(layer, expert)),
          start: (layer, expert) => this.#prefetch(layer, expert),
          stop: (layer, expert) => this.#giveUp(layer, expert),
        })
      : null;
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
    if (layer === 0) [this.#stepBegan, this.#missing] = [clock(), 0];
    const tokens = x.length / this.experts.shape.hidden;
    const held = new Map<number, Slot>();
    const { hits, misses } = this.#begin(layer, use, tokens, held);
    this.#missing += misses.length;
    this.#ahead?.arrives(layer, use);
    const arrived: number[] = [];
    let failure: { readonly error: unknown } | null = null;
    let wake: () => void = () => {};
    const arrivals = misses.map(async ({ expert }) => {
      try {
        held.set(expert, await this.#acquire(layer, expert, "demand", signal));
        arrived.push(expert);
      } catch (error) {
        failure ??= { error };
      }
      wake();
    });
    this.#lookAhead(layer, x, tokens);
    const waited = async (work: () => Promise<unknown>): Promise<void> => {
      const started = clock();
      await work();
      this.counters.stallMs += clock() - started;
    };
    const one = async (expert: number): Promise<void> => {
      const slot = held.get(expert)!;
      // A resident whose read was started by a step that was then aborted.
      if (slot.reading) await waited(() => orAborted(slot.reading!, signal));
      if (this.#reading > 0) await this.#turns.take(signal, this.#closing.signal);
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
      if (layer === this.caches.length - 1) this.#stepEnds(tokens);
      return;
    }
    await Promise.all(arrivals);
    for (const slot of held.values()) this.#unpin(slot);
    throw (failure as { readonly error: unknown }).error;
  }

  /** Evicts all residents and resets the counters after a warm-up. Between steps. */
  clear(): void {
    for (const cache of this.caches) cache.clear();
    for (const slot of this.#where.values()) this.#settle(slot);
    Object.assign(this.counters, NOTHING);
  }

  /** Stops reading and rejects pending acquire() calls; resolves when no read is in flight. */
  async close(): Promise<void> {
    this.#closing.abort(new RequestError("the model is closed"));
    for (const wake of this.#waiters.splice(0)) wake();
    for (const slot of this.#all) slot.stop.abort(abortReason(this.#closing.signal));
    await Promise.allSettled(this.#all.map((slot) => slot.reading));
  }

  #key(layer: number, expert: number): number {
    return layer * this.#count + expert;
  }

  /** Counts a step's uses and admits misses; `held` gets the hits, pinned before any eviction. */
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
      // its record may still be in a free slot
      this.#settle(this.#where.get(this.#key(layer, expert)));
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
      if (cause !== "prefetch") slot.prefetched = false;
      try {
        if (slot.reading) await orAborted(slot.reading, signal);
        return slot;
      } catch (error) {
        this.#unpin(slot);
        throw error;
      }
    }
  }

  /** Resolves when a slot becomes free, or when the tier is closed. */
  async #freed(signal: AbortSignal | undefined): Promise<void> {
    let wake: () => void = () => {};
    const free = new Promise<void>((resolve) => {
      wake = resolve;
      this.#waiters.push(resolve);
    });
    try {
      await orAborted(free, signal);
    } catch (error) {
      const at = this.#waiters.indexOf(wake);
      if (at >= 0) this.#waiters.splice(at, 1);
      else this.#waiters.shift()?.(); // this waiter was woken: pass the slot on
      throw error;
    }
  }

  /** Takes a free slot and starts reading a record into it; null: no slot is free. */
  #take(layer: number, expert: number, cause: Cause): Slot | null {
    const slot = this.#free.find((slot) => !this.#expected(slot)) ?? this.#free.at(-1);
    if (!slot) return null;
    this.#free.splice(this.#free.indexOf(slot), 1);
    const { counters, experts } = this;
    if (slot.key >= 0) this.#where.delete(slot.key);
    if (slot.prefetched) counters.wastedBytes += experts.recordBytes;
    slot.key = this.#key(layer, expert);
    slot.prefetched = cause === "prefetch";
    this.#where.set(slot.key, slot);
    counters.reads++;
    if (cause === "demand") counters.demandBytes += experts.recordBytes;
    else if (cause === "prefetch") counters.prefetchBytes += experts.recordBytes;
    else counters.admissionBytes += experts.recordBytes;
    slot.stop = new AbortController();
    slot.asked = 0;
    slot.reading = this.#read(slot, layer, expert);
    slot.reading.catch(() => {}); // reported by the acquire() calls that wait for it
    return slot;
  }

  /** A read belongs to its slot: it goes on when the caller gives up, and fails for all callers. */
  async #read(slot: Slot, layer: number, expert: number): Promise<void> {
    const { clock, read, bypassTrial } = this.#options;
    if (this.#reading++ === 0) this.#readingSince = clock();
    const { signal } = slot.stop;
    let whole = false;
    try {
      const urgent = (): boolean => !slot.prefetched;
      const asks = (bytes: number): void => {
        slot.asked += bytes;
      };
      await read(layer, expert, slot.index, { signal, urgent, asks, bypass: bypassTrial?.on ?? false });
      whole = true;
    } finally {
      slot.reading = null;
      if (--this.#reading === 0) this.counters.diskMs += clock() - this.#readingSince;
      if (!whole && slot.key >= 0) {
        this.#where.delete(slot.key);
        this.caches[layer]!.drop(expert);
        slot.key = -1;
        slot.prefetched = false;
      }
      this.#settle(slot);
    }
  }

  #unpin(slot: Slot): void {
    slot.pins--;
    this.#settle(slot);
    this.#ahead?.next();
  }

  /** Adds a slot to the free list, or removes it, by whether its record is in use. */
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

  /**
   * Whether a step has so many tokens that nearly all experts are used: prefetching always helps.
   */
  #isPrompt(tokens: number): boolean {
    return tokens >= 2 * this.#count;
  }

  /** Tells the trials how long a step took, without the caller's time between steps. */
  #stepEnds(rows: number): void {
    const { prefetchTrial, bypassTrial, clock } = this.#options;
    const prompt = this.#isPrompt(rows);
    if (!prompt && !this.#afterPrompt) {
      const ms = clock() - this.#stepBegan;
      const what = { rows, missing: this.#missing };
      if (!bypassTrial?.deciding) prefetchTrial?.step(ms, what); // one trial at a time
      bypassTrial?.step(ms, what);
    }
    this.#afterPrompt = prompt;
  }

  /** Prefetches what the next layers will probably use, behind the reads of this one. */
  #lookAhead(layer: number, x: Float32Array, tokens: number): void {
    if (tokens === 0) return;
    if (this.#isPrompt(tokens)) this.#ahead?.from(layer, x, 1);
    else if (this.#options.prefetchTrial?.on ?? true) this.#ahead?.from(layer, x);
    else this.#ahead?.end();
  }

  /** Starts reading into a slot that holds nothing expected; null: there is none to spare. */
  #prefetch(layer: number, expert: number): Promise<void> | null {
    if (this.#closing.signal.aborted || this.#waiters.length > 0) return null;
    // keep one for a read on demand
    if (this.#free.length < 2 || !this.#free.some((slot) => !this.#expected(slot))) return null;
    return this.#take(layer, expert, "prefetch")!.reading;
  }

  /** Ends the read of a record that no step waits for. */
  #giveUp(layer: number, expert: number): void {
    const slot = this.#where.get(this.#key(layer, expert));
    if (!slot?.reading || slot.pins > 0 || !slot.prefetched) return;
    const { counters, experts } = this;
    counters.prefetchBytes -= experts.recordBytes - slot.asked;
    counters.wastedBytes += slot.asked;
    this.#where.delete(slot.key);
    slot.key = -1;
    slot.prefetched = false;
    slot.stop.abort(new Error("another expert is needed"));
  }

  #expected({ key }: Slot): boolean {
    return key >= 0 && (this.#ahead?.expects(Math.floor(key / this.#count), key % this.#count) ?? false);
  }
}
