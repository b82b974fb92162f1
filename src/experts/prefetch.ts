// Prefetches the predicted experts of the next layer: from disk to RAM, and on to transit slots.

import type { DeviceExperts } from "../backend/experts.ts";
import type { Counters } from "./counters.ts";
import type { LayerCache } from "./layer_cache.ts";
import type { RamRecords } from "./ram_records.ts";
import type { Ring, Upload, Uploads } from "./uploads.ts";

export interface PrefetchOptions {
  readonly device: DeviceExperts;
  readonly ram: RamRecords;
  readonly caches: readonly LayerCache[];
  readonly uploads: Uploads;
  readonly ring: Ring;
  readonly counters: Counters;
}

/** Reads in flight: enough to keep a disk busy, few enough that a read on demand comes soon. */
const READS = 2;

/** An upload to a transit slot. It holds a pin on the record until all bytes are sent. */
export interface TransitUpload extends Upload {
  readonly place: { readonly transit: number };
}

export class Prefetch {
  readonly #options: PrefetchOptions;
  #layer = -1;
  /** Predicted experts that are in no slot, likeliest first. */
  #wanted: number[] = [];
  #predicted: readonly number[] = [];
  readonly #sending = new Map<number, TransitUpload>();
  /** Experts whose read was started: once each, because RAM may have no room to keep them. */
  readonly #asked = new Set<number>();
  #stop = new AbortController();
  #reading = 0;
  #mayRead = false;

  constructor(options: PrefetchOptions) {
    this.#options = options;
  }

  /** Sets the predicted experts of a layer, likeliest first; after settle() of the last ones. */
  target(layer: number, experts: readonly number[]): void {
    this.#layer = layer;
    this.#predicted = experts;
    this.#wanted = experts.filter((expert) => this.#options.caches[layer]!.slotOf(expert) < 0);
  }

  /** From now until settle(), reads predicted records that are not in RAM: the disk is idle. */
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
      // An error is reported by the step that needs the record.
      ram.acquire(layer, expert, "prefetch", this.#stop.signal).then(() => {
        ram.release(layer, expert);
        done();
      }, done);
    }
  }

  /**
   * Sends one piece of a predicted record to a transit slot; false: none can be sent.
   * @throws DeviceError
   */
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
    const upload: TransitUpload = { place: { transit: ring.hold() }, from, cause: "prefetch", sent: 0 };
    this.#sending.set(expert, upload);
    if (uploads.send(upload)) ram.release(layer, expert);
    return true;
  }

  /**
   * Ends prefetching for a layer whose uses are now known. Returns the uploads, complete or not, of
   * its `misses` and drops the others. The caller frees the transit slots, and needs a pin of its
   * own for a record that is not complete.
   */
  settle(layer: number, used: readonly number[], misses: readonly number[]): Map<number, TransitUpload> {
    const { ram, ring, uploads, counters } = this.#options;
    const found = new Map<number, TransitUpload>();
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
      counters.experts.predicted += this.#predicted.length;
      counters.experts.predictedRight += this.#predicted.filter((expert) => used.includes(expert)).length;
    }
    this.#sending.clear();
    this.#asked.clear();
    this.#mayRead = false;
    this.#wanted = [];
    this.#predicted = [];
    this.#layer = -1;
    return found;
  }
}
