// A simulated machine: a host's thread, a link, a device and a disk with given rates, in virtual
// time. Experts are small and really computed from the bytes that arrived, so that a wrong, late or
// incomplete record shows in the sums.

import { FORMATS } from "../../kernels/formats/index.ts";
import { type DeviceExperts, type DevicePlace, NO_SLOT } from "../../src/backend/experts.ts";
import type { Clock } from "../../src/experts/clock.ts";
import { FakeRam } from "./fake_ram.ts";

/** Milliseconds for one record. */
export interface MachineRates {
  readonly host: { readonly one: number; readonly each: number };
  readonly copy: number;
  readonly link: number;
  readonly device: { readonly one: number; readonly each: number };
  readonly sync: number;
  /** 0: all records are in RAM from the start. */
  readonly disk: number;
  /** A layer's time on the device up to its routes. */
  readonly layer: number;
}

export interface MachineShape {
  readonly layers: number;
  readonly experts: number;
  /** Slots of each layer on the device; transit slots; slots in RAM (default: for all). */
  readonly slots: number;
  readonly transit: number;
  readonly ram?: number;
}

export const HIDDEN = 4;
export const RECORD = 4096;
export const PIECES = 8;
export const PIECE = RECORD / PIECES;

/** The factor of an expert: its record is filled with it. */
export function factorOf(layer: number, expert: number, experts: number): number {
  return layer * experts + expert + 1;
}

export function tokenCost({ one, each }: { readonly one: number; readonly each: number }, tokens: number): number {
  return Math.max(one, each * tokens);
}

/** The factor of a complete record; NaN if it is incomplete. */
export function factor(record: Uint8Array): number {
  const words = new Float32Array(record.buffer, record.byteOffset, record.byteLength / 4);
  return words.every((word) => word === words[0]) ? words[0]! : Number.NaN;
}

interface Event {
  readonly at: number;
  readonly resolve: () => void;
}

export class Machine implements Clock {
  readonly rates: MachineRates;
  readonly shape: MachineShape;
  readonly device: FakeDevice;
  readonly ram: FakeRam;
  linkFree = 0;
  deviceFree = 0;
  diskFree = 0;
  /** Busy time of the host's thread and of the link. */
  hostBusy = 0;
  linkBusy = 0;
  #now = 0;
  readonly #events: Event[] = [];

  constructor(rates: MachineRates, shape: MachineShape) {
    this.rates = rates;
    this.shape = shape;
    this.device = new FakeDevice(this);
    this.ram = new FakeRam(this);
  }

  now(): number {
    return this.#now;
  }

  turn(): Promise<void> {
    return this.until(this.#now);
  }

  /**
   * Resolves at time `at`, or as soon after as the host's thread is free; simultaneous
   * events in order.
   */
  until(at: number): Promise<void> {
    return new Promise((resolve) => {
      const behind = this.#events.findIndex((event) => event.at > at);
      this.#events.splice(behind < 0 ? this.#events.length : behind, 0, { at, resolve });
    });
  }

  /** The host's thread computes. */
  work(ms: number): void {
    this.#now += ms;
    this.hostBusy += ms;
  }

  /** Advances time until `work` is done. @throws if it waits for something that never happens */
  async run<T>(work: T | Promise<T>): Promise<T> {
    let over = false;
    const done = (): void => {
      over = true;
    };
    const result = Promise.resolve(work);
    result.then(done, done);
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve)); // consequences of the last event
      if (over) return result;
      const event = this.#events.shift();
      if (!event) throw new Error("no event is left: the work waits forever");
      this.#now = Math.max(this.#now, event.at);
      event.resolve();
    }
  }
}

class FakeDevice implements DeviceExperts {
  readonly shape;
  readonly layers: number;
  readonly slots: number;
  readonly transit: number;
  readonly recordBytes = RECORD;
  readonly bytes: number;
  readonly tables: Uint32Array[];
  /** Bytes written to layers' own slots and to transit slots. */
  readonly written = { own: 0, transit: 0 };
  /** If set, the next write or drained() fails with it. */
  failure: Error | null = null;
  readonly #machine: Machine;
  readonly #own: Uint8Array[][];
  readonly #transit: Uint8Array[];

  constructor(machine: Machine) {
    const { layers, experts, slots, transit } = machine.shape;
    this.#machine = machine;
    this.shape = { count: experts, hidden: HIDDEN, intermediate: 1, up: FORMATS.f32, down: FORMATS.f32 };
    this.layers = layers;
    this.slots = slots;
    this.transit = transit;
    this.bytes = (layers * slots + transit) * RECORD;
    const empty = (): Uint8Array => new Uint8Array(new Float32Array(RECORD / 4).fill(Number.NaN).buffer);
    this.#own = Array.from({ length: layers }, () => Array.from({ length: slots }, empty));
    this.#transit = Array.from({ length: transit }, empty);
    this.tables = Array.from({ length: layers }, () => new Uint32Array(experts).fill(NO_SLOT));
  }

  write(place: DevicePlace, offset: number, bytes: Uint8Array): void {
    if (this.failure) throw this.failure;
    const machine = this.#machine;
    const share = bytes.length / RECORD;
    machine.work(share * machine.rates.copy);
    machine.linkFree = Math.max(machine.linkFree, machine.now()) + share * machine.rates.link;
    machine.linkBusy += share * machine.rates.link;
    const record = "transit" in place ? this.#transit[place.transit] : this.#own[place.layer]?.[place.slot];
    if (!record) throw new Error(`there is no such place: ${JSON.stringify(place)}`);
    if ("layer" in place && this.tables[place.layer]!.includes(place.slot))
      throw new Error(`slot ${place.slot} of layer ${place.layer} is written while the table names it`);
    record.set(bytes, offset);
    this.written["transit" in place ? "transit" : "own"] += bytes.length;
  }

  setTable(layer: number, slots: Uint32Array): void {
    for (const [expert, slot] of slots.entries()) {
      if (slot === NO_SLOT) continue;
      const found = factor(this.#own[layer]![slot]!);
      if (found !== factorOf(layer, expert, this.shape.count))
        throw new Error(`the table names expert ${expert} in slot ${slot} of layer ${layer}, which is not all there`);
    }
    this.tables[layer] = slots.slice();
  }

  async drained(): Promise<void> {
    const machine = this.#machine;
    if (this.failure) throw this.failure;
    await machine.until(Math.max(machine.linkFree, machine.deviceFree, machine.now()) + machine.rates.sync);
    if (this.failure) throw this.failure;
  }

  /** The device computes for `ms`, not before `from`. */
  compute(ms: number, from: number): void {
    const machine = this.#machine;
    machine.deviceFree = Math.max(machine.deviceFree, machine.now(), from) + ms;
  }

  /** The factor of the record in a layer's slot. */
  own(layer: number, slot: number): number {
    return factor(this.#own[layer]![slot]!);
  }

  inTransit(slot: number): number {
    return factor(this.#transit[slot]!);
  }
}

/**
 * y += share * factor * x for rows of x [T, HIDDEN]: exact in f32 for the numbers of these tests.
 */
export function addRows(
  y: Float32Array,
  x: Float32Array,
  by: number,
  tokens: Iterable<number>,
  shares: Float32Array,
): void {
  let i = 0;
  for (const row of tokens) {
    const share = shares[i++]!;
    for (let d = row * HIDDEN; d < (row + 1) * HIDDEN; d++) y[d]! += share * by * x[d]!;
  }
}
