// A dispatch that waits for the next verb, which may take its place with one that does both.

import type { Buffer } from "../device/device.ts";
import type { Cache } from "./kv.ts";
import type { ExpertRows } from "./routing.ts";
import type { GpuTensor } from "./scratch.ts";

/**
 * A verb's last dispatch, not encoded until the next verb is known. That verb may replace it by one
 * dispatch that does both: a sum with the residual, a projection with the append to the cache, or a
 * router with the rows that its experts take.
 */
export interface PendingDispatch {
  readonly tensor: GpuTensor;
  /** Encodes it with a sum into `to`, which it may not read. */
  readonly addTo?: (to: GpuTensor) => void;
  readonly reads?: Buffer;
  /** Whether it may wait on while ffn() of the same rows is encoded. */
  readonly waits?: boolean;
  /** Encodes it with an append to the cache. */
  readonly append?: (cache: Cache) => void;
  /** Encodes it with rows for the experts, made of those of `rowsOf`. */
  readonly rows?: (to: ExpertRows) => void;
  readonly rowsOf?: GpuTensor;
  /** Encodes it alone. */
  readonly alone: () => void;
}

/** What waits: the dispatch of the last verb, and perhaps one beside it. */
export class Waiting {
  last: PendingDispatch | null = null;
  /** Of the experts of a layer that has shared ones too. */
  beside: PendingDispatch | null = null;

  clear(): void {
    this.last = null;
    this.beside = null;
  }

  /** Encodes both. */
  settle(): void {
    const waiting = [this.beside, this.last];
    this.clear();
    for (const one of waiting) one?.alone();
  }

  /** Takes the one that makes `from`, if it can be encoded with a sum into `to`. */
  takeSum(from: GpuTensor, to: GpuTensor): PendingDispatch["addTo"] {
    if (this.last?.tensor === to || this.beside?.tensor === to) return undefined; // to be written yet
    const fits = (one: PendingDispatch | null) => one?.addTo && one.tensor === from && one.reads !== to.buffer;
    const found = [this.last, this.beside].find(fits);
    if (found === this.last) this.last = null;
    else if (found) this.beside = null;
    return found?.addTo;
  }
}
