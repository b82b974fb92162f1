// The cost model: times to move and to compute an expert, measured at open and corrected
// at run time.

import type { CostModel } from "./schedule.ts";

/** Milliseconds for one expert's record. */
export interface Rates {
  /** Computing on the host: `one` token (bound by memory), and `each` of many (by arithmetic). */
  readonly host: { readonly one: number; readonly each: number };
  /** The host's thread hands a record over to the device. */
  readonly copy: number;
  /** Link time of a record when others are queued before it. */
  readonly link: number;
  /** From the end of the copy until the record is on the device, on an idle link. */
  readonly tail: number;
  readonly device: { readonly one: number; readonly each: number };
  /** Asking the device whether it is done, until the answer arrives. */
  readonly sync: number;
  /** Reading a record from disk, several in flight; 0 if all are in RAM. */
  readonly disk: number;
}

/** Weight of one measurement. */
const WEIGHT = 0.1;
/**
 * A measurement counts as at most 2 x, and at least 1 / 2, of the expected time: outliers happen.
 */
const MOST = 2;

export class Costs implements CostModel {
  readonly #host: { one: number; each: number };
  readonly #device: { one: number; each: number };
  #copy: number;
  #link: number;
  #tail: number;
  #disk: number;
  readonly sync: number;

  constructor(rates: Rates) {
    this.#host = { ...rates.host };
    this.#device = { ...rates.device };
    this.#copy = rates.copy;
    this.#link = rates.link;
    this.#tail = rates.tail;
    this.#disk = rates.disk;
    this.sync = rates.sync;
  }

  hostCompute(tokens: number): number {
    return Math.max(this.#host.one, this.#host.each * tokens);
  }

  deviceCompute(tokens: number): number {
    return Math.max(this.#device.one, this.#device.each * tokens);
  }

  get copy(): number {
    return this.#copy;
  }

  get link(): number {
    return this.#link;
  }

  get tail(): number {
    return this.#tail;
  }

  get disk(): number {
    return this.#disk;
  }

  /** Corrects by a measurement: the host computed an expert for `tokens` rows. */
  computed(tokens: number, ms: number): void {
    correct(this.#host, tokens, ms / this.hostCompute(tokens));
  }

  /** Corrects by a measurement: a share of a record was handed over. */
  copied(share: number, ms: number): void {
    this.#copy *= step(ms / (share * this.#copy));
  }

  /**
   * Corrects by a measurement: upload and computation for `tokens` rows took `ratio` times the
   * expected time. The larger of the two gets the correction.
   */
  uploaded(tokens: number, ratio: number): void {
    if (this.deviceCompute(tokens) > Math.max(this.#link, this.#tail)) {
      correct(this.#device, tokens, ratio);
      return;
    }
    this.#link *= step(ratio);
    this.#tail *= step(ratio);
  }

  /** Corrects by a measurement: a record was read. */
  read(ms: number): void {
    this.#disk = this.#disk > 0 ? this.#disk * step(ms / this.#disk) : ms;
  }

  /** The current rates. */
  rates(): Rates {
    const { copy, link, tail, sync, disk } = this;
    return { host: { ...this.#host }, copy, link, tail, device: { ...this.#device }, sync, disk };
  }

  /** The current rates as readable lines. */
  describe(recordBytes: number): string[] {
    const speed = (ms: number): string => (ms > 0 ? `${(recordBytes / ms / 1e6).toFixed(1)} GB/s` : "not measured");
    const of = (ms: number): string => `${ms.toFixed(2)} ms (${speed(ms)})`;
    return [
      `expert: ${(recordBytes / 1e6).toFixed(1)} MB`,
      `computed on the host: ${of(this.#host.one)} for a token, ${this.#host.each.toFixed(2)} ms for each of many`,
      `computed on the device: ${of(this.#device.one)} for a token, ${this.#device.each.toFixed(3)} ms for each of many`,
      `uploaded: ${of(Math.max(this.copy, this.link))}, of which the host's thread ${this.copy.toFixed(2)} ms`,
      `asking the device whether it is done: ${this.sync.toFixed(2)} ms`,
      this.disk > 0 ? `read from disk: ${of(this.disk)}` : "read from disk: not measured",
    ];
  }
}

/** The factor by which one measurement moves a rate. */
function step(ratio: number): number {
  if (!Number.isFinite(ratio)) return 1;
  return 1 + WEIGHT * (Math.min(MOST, Math.max(1 / MOST, ratio)) - 1);
}

function correct(rate: { one: number; each: number }, tokens: number, ratio: number): void {
  if (rate.each * tokens > rate.one) rate.each *= step(ratio);
  else rate.one *= step(ratio);
}
