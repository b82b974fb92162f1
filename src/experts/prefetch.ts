// Experts that the next layer will probably use, on their way before it asks: from disk to RAM, and from there to transit slots.

import type { DeviceExperts } from "../backend/experts.ts";
import type { Counters } from "./counters.ts";
import type { HostTier } from "./host.ts";
import type { LayerCache } from "./layer_cache.ts";
import type { Ring, Upload, Uploads } from "./uploads.ts";

export interface PrefetchOptions {
  readonly device: DeviceExperts;
  readonly ram: HostTier;
  readonly caches: readonly LayerCache[];
  readonly uploads: Uploads;
  readonly ring: Ring;
  readonly counters: Counters;
}

/** Records that are read at a time: enough for a disk to be busy, few enough that one on demand comes soon. */
const READS = 2;

/** An upload to a transit slot. The record's pin is ours until all of it is sent. */
export interface Ahead extends Upload {
  readonly place: { readonly transit: number };
}

export class Prefetch {
  readonly #options: PrefetchOptions;
  #layer = -1;
  /** Guessed and in no slot, likeliest first. */
  #wanted: number[] = [];
  #guessed: readonly number[] = [];
  readonly #sending = new Map<number, Ahead>();
  /** Whose record was asked for from disk: once each, RAM may have no room to keep it. */
  readonly #asked = new Set<number>();
  #stop = new AbortController();
  #reading = 0;
  #mayRead = false;

  constructor(options: PrefetchOptions) {
    this.#options = options;
  }

  /** Guesses of the experts of a layer, likeliest first; what was guessed before has been settled. */
  aim(layer: number, experts: readonly number[]): void {
    this.#layer = layer;
    this.#guessed = experts;
    this.#wanted = experts.filter((expert) => this.#options.caches[layer]!.slotOf(expert) < 0);
  }

  /** From now on reads from disk what is guessed and not in RAM: the disk has nothing else to do until settle(). */
  read(): void {
    this.#mayRead = true;
    const { ram } = this.#options;
    const layer = this.#layer;
    for (const expert of this.#wanted) {
      if (this.#reading >= READS) return;
      if (this.#asked.has(expert) || ram.has(layer, expert)) continue;
      this.#asked.add(expert);
      this.#reading++;
      const done = (): void => {
        this.#reading--;
        if (this.#mayRead) this.read();
      };
      // A record that cannot be read fails for whoever needs it.
      ram.acquire(layer, expert, "prefetch", this.#stop.signal).then(() => {
        ram.release(layer, expert);
        done();
      }, done);
    }
  }

  /** Sends a piece of a guessed record to a transit slot; false: there is none to send now. @throws DeviceError */
  async send(): Promise<boolean> {
    const { ram, ring, uploads } = this.#options;
    const layer = this.#layer;
    for (const [expert, upload] of this.#sending) {
      if (uploads.rest(upload) === 0) continue;
      if (uploads.send(upload)) ram.release(layer, expert);
      return true;
    }
    if (ring.spare <= 0) return false;
    const expert = this.#wanted.find((expert) => !this.#sending.has(expert) && ram.has(layer, expert));
    if (expert === undefined) return false;
    const stop = this.#stop.signal;
    const from = await ram.acquire(layer, expert, "prefetch", stop);
    if (stop.aborted) {
      ram.release(layer, expert);
      return false;
    }
    const upload: Ahead = { place: { transit: ring.hold() }, from, cause: "prefetch", sent: 0 };
    this.#sending.set(expert, upload);
    if (uploads.send(upload)) ram.release(layer, expert);
    return true;
  }

  /**
   * The layer's uses are known: gives those of `misses` that were sent, all or in part, and forgets the others. Whoever gets
   * one frees its transit slot, and has a pin of its own if the record is not all sent.
   */
  settle(layer: number, used: readonly number[], misses: readonly number[]): Map<number, Ahead> {
    const { ram, ring, uploads, counters } = this.#options;
    const found = new Map<number, Ahead>();
    this.#stop.abort();
    this.#stop = new AbortController();
    for (const [expert, upload] of this.#sending) {
      if (uploads.rest(upload) > 0) ram.release(this.#layer, expert);
      if (layer === this.#layer && misses.includes(expert)) {
        found.set(expert, upload);
      } else {
        counters.bytes.wasted += upload.sent;
        ring.free(upload.place.transit);
      }
    }
    if (layer === this.#layer) {
      counters.experts.guessed += this.#guessed.length;
      counters.experts.guessedRight += this.#guessed.filter((expert) => used.includes(expert)).length;
    }
    this.#sending.clear();
    this.#asked.clear();
    this.#mayRead = false;
    this.#wanted = [];
    this.#guessed = [];
    this.#layer = -1;
    return found;
  }
}
