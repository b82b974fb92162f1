// The RAM of the simulated machine: experts computed in virtual time, LRU eviction, and a disk.

import { FORMATS } from "../../kernels/formats/index.ts";
import type { ExpertUse, HostExperts } from "../../src/backend/experts.ts";
import { abortReason, WeightsError } from "../../src/errors.ts";
import type { Cause, RamRecords } from "../../src/experts/ram_records.ts";
import { addRows, factor, HIDDEN, type Machine, RECORD, tokenCost } from "./machine.ts";

export class FakeHost implements HostExperts {
  readonly shape;
  readonly slots: number;
  readonly recordBytes = RECORD;
  readonly #machine: Machine;
  readonly #records: Uint8Array[];

  constructor(machine: Machine, slots: number) {
    this.#machine = machine;
    this.shape = { count: machine.shape.experts, hidden: HIDDEN, intermediate: 1, up: FORMATS.f32, down: FORMATS.f32 };
    this.slots = slots;
    this.#records = Array.from({ length: slots }, () => new Uint8Array(RECORD));
  }

  slot(slot: number): Uint8Array {
    return this.#records[slot]!;
  }

  async convert(): Promise<void> {
    throw new Error("all records are stored");
  }

  compute(slot: number, x: Float32Array, tokens: Uint32Array, shares: Float32Array, y: Float32Array): void {
    this.#machine.work(tokenCost(this.#machine.rates.host, tokens.length));
    addRows(y, x, factor(this.slot(slot)), tokens, shares);
  }

  close(): void {}
}

interface Held {
  readonly slot: number;
  pins: number;
  reading: Promise<void> | null;
  /** Time of the last use. */
  used: number;
}

/** Evicts the least recently used unpinned record; reads are sequential. */
export class FakeRam implements RamRecords {
  readonly experts: FakeHost;
  /** Records that cannot be read. */
  readonly broken = new Set<number>();
  /** Reads by cause. */
  readonly reads: Record<Cause, number> = { demand: 0, prefetch: 0, admission: 0 };
  readonly #machine: Machine;
  readonly #held = new Map<number, Held>();
  readonly #free: number[];
  #uses = 0;
  #released: (() => void)[] = [];

  constructor(machine: Machine) {
    const { layers, experts, ram } = machine.shape;
    this.#machine = machine;
    const slots = ram ?? layers * experts;
    this.experts = new FakeHost(machine, slots);
    this.#free = Array.from({ length: slots }, (_, slot) => slot);
    if (machine.rates.disk > 0) return;
    for (let key = 0; key < layers * experts; key++) {
      const slot = this.#free.shift()!;
      this.#fill(slot, key);
      this.#held.set(key, { slot, pins: 0, reading: null, used: 0 });
    }
  }

  begin(_layer: number, _use: readonly ExpertUse[], _tokens: number): void {}

  has(layer: number, expert: number): boolean {
    return this.#held.get(this.#key(layer, expert))?.reading === null;
  }

  async acquire(layer: number, expert: number, cause: Cause, signal?: AbortSignal): Promise<number> {
    const key = this.#key(layer, expert);
    for (;;) {
      if (signal?.aborted) throw abortReason(signal);
      const held = this.#held.get(key) ?? this.#take(key, cause);
      if (!held) {
        await abortable(new Promise<void>((resolve) => this.#released.push(resolve)), signal);
        continue;
      }
      held.pins++;
      held.used = ++this.#uses;
      try {
        if (held.reading) await abortable(held.reading, signal);
      } catch (error) {
        held.pins--;
        this.#wake();
        throw error;
      }
      return held.slot;
    }
  }

  release(layer: number, expert: number): void {
    const held = this.#held.get(this.#key(layer, expert));
    if (!held || held.pins === 0) throw new Error(`expert ${expert} of layer ${layer} is not pinned`);
    held.pins--;
    this.#wake();
  }

  get pins(): number {
    return [...this.#held.values()].reduce((sum, { pins }) => sum + pins, 0);
  }

  #key(layer: number, expert: number): number {
    return layer * this.#machine.shape.experts + expert;
  }

  #wake(): void {
    for (const wake of this.#released.splice(0)) wake();
  }

  #fill(slot: number, key: number): void {
    const record = this.experts.slot(slot);
    new Float32Array(record.buffer).fill(key + 1);
  }

  #take(key: number, cause: Cause): Held | null {
    let slot = this.#free.shift();
    if (slot === undefined) {
      const idle = [...this.#held].filter(([, { pins, reading }]) => pins === 0 && reading === null);
      const [oldest] = idle.sort(([, a], [, b]) => a.used - b.used);
      if (!oldest) return null;
      this.#held.delete(oldest[0]);
      slot = oldest[1].slot;
    }
    const machine = this.#machine;
    machine.diskFree = Math.max(machine.diskFree, machine.now()) + machine.rates.disk;
    this.reads[cause]++;
    const held: Held = { slot, pins: 0, reading: null, used: 0 };
    held.reading = machine.until(machine.diskFree).then(() => {
      held.reading = null;
      if (this.broken.has(key)) {
        this.#held.delete(key);
        this.#free.push(held.slot);
        this.#wake();
        throw new WeightsError(`record ${key} ends too soon`);
      }
      this.#fill(held.slot, key);
      this.#wake();
    });
    held.reading.catch(() => {});
    this.#held.set(key, held);
    return held;
  }
}

async function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(abortReason(signal));
    signal.addEventListener("abort", stop, { once: true });
  });
  return Promise.race([work, aborted]).finally(() => signal.removeEventListener("abort", stop));
}
