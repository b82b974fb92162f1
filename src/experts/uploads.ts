// Uploads records to the device in pieces, with a limit in flight, and compares times
// with the model.

import type { DeviceExperts, DevicePlace, HostExperts } from "../backend/experts.ts";
import { PIECE } from "./calibrate.ts";
import type { Clock } from "./clock.ts";
import type { Costs } from "./costs.ts";
import type { Counters } from "./counters.ts";
import type { Cause } from "./ram_records.ts";
import type { Busy } from "./schedule.ts";

export interface Upload {
  readonly place: DevicePlace;
  /** The record's slot in RAM, pinned until all bytes are sent. */
  readonly from: number;
  readonly cause: Cause;
  /** Bytes handed to the device so far. */
  sent: number;
}

export interface UploadsOptions {
  readonly device: DeviceExperts;
  readonly host: HostExperts;
  readonly clock: Clock;
  readonly costs: Costs;
  readonly counters: Counters;
  /** Bytes of a piece; a multiple of 4. */
  readonly piece?: number | undefined;
}

/** Limit of bytes in flight: the backend holds copies of them in RAM. */
const IN_FLIGHT_BYTES = 400e6;
/** Limits of records in flight. Two at least: one on the link, the next being handed over. */
const IN_FLIGHT = { least: 2, most: 8 } as const;
/** An answer seen this soon after the thread was busy may have arrived long before. */
const PROMPT_MS = 0.05;

export class Uploads {
  readonly #options: UploadsOptions;
  readonly #piece: number;
  readonly #most: number;
  readonly #inFlight: Promise<void>[] = [];
  #failure: { readonly error: unknown } | null = null;
  /** When link and device should be free, and when the thread was last busy. */
  #linkFree = 0;
  #deviceFree = 0;
  #worked = Number.NEGATIVE_INFINITY;
  /** When the device last reported a record done; null: the time is not exact. */
  #answered: number | null = null;

  constructor(options: UploadsOptions) {
    this.#options = options;
    this.#piece = options.piece ?? PIECE;
    const most = Math.floor(IN_FLIGHT_BYTES / options.device.recordBytes);
    this.#most = Math.min(IN_FLIGHT.most, Math.max(IN_FLIGHT.least, most));
  }

  /** The share of the record that is not sent yet. */
  rest({ sent }: Upload): number {
    return 1 - sent / this.#options.device.recordBytes;
  }

  /** Sends the next piece; returns whether it was the last. @throws DeviceError */
  send(upload: Upload): boolean {
    const { device, host, clock, costs, counters } = this.#options;
    const begin = upload.sent;
    const end = Math.min(begin + this.#piece, device.recordBytes);
    const share = (end - begin) / device.recordBytes;
    const started = clock.now();
    device.write(upload.place, begin, host.slot(upload.from).subarray(begin, end));
    const now = this.worked();
    upload.sent = end;
    counters.bytes[upload.cause] += end - begin;
    counters.ms.upload += now - started;
    costs.copied(share, now - started);
    this.#linkFree = Math.max(this.#linkFree, now) + share * costs.link;
    return end === device.recordBytes;
  }

  /** Notes that the step's thread was busy until now: answers may have been waiting. */
  worked(): number {
    this.#worked = this.#options.clock.now();
    return this.#worked;
  }

  /** Whether an answer seen now has just arrived. */
  get prompt(): boolean {
    return this.#options.clock.now() - this.#worked > PROMPT_MS;
  }

  /** Notes that the device computes resident experts for `ms` from now on. */
  deviceBegins(ms: number): void {
    this.#deviceFree = Math.max(this.#deviceFree, this.#options.clock.now()) + ms;
  }

  /** Milliseconds until link and device are free. */
  get busy(): Busy {
    const now = this.#options.clock.now();
    return { link: Math.max(0, this.#linkFree - now), device: Math.max(0, this.#deviceFree - now) };
  }

  /** Whether the limit in flight is reached. */
  get full(): boolean {
    return this.#inFlight.length >= this.#most;
  }

  /** Resolves when the oldest upload has been computed with. @throws DeviceError */
  async room(): Promise<void> {
    await this.#inFlight[0];
    this.check();
  }

  /** @throws DeviceError that the device has reported since */
  check(): void {
    if (this.#failure) throw this.#failure.error;
  }

  /**
   * Notes that the device now computes with a complete record, for `tokens` rows.
   * @param timed whether the whole record was sent just now, so that its time measures the link
   */
  computes(tokens: number, timed: boolean): void {
    const { clock, costs, device } = this.#options;
    const handedOver = clock.now();
    const alone = timed && this.#inFlight.length === 0 && handedOver + costs.tail >= this.#deviceFree;
    const compute = costs.deviceCompute(tokens);
    this.#deviceFree = Math.max(this.#deviceFree, this.#linkFree) + compute;
    const answer = device.drained().then(
      () => {
        this.#inFlight.shift();
        const now = clock.now();
        const { prompt } = this;
        if (prompt && alone) {
          costs.uploaded(tokens, (now - handedOver) / (costs.tail + compute + costs.sync));
        } else if (prompt && timed && this.#answered !== null && this.#answered >= handedOver) {
          costs.uploaded(tokens, (now - this.#answered) / Math.max(costs.link, compute));
        }
        this.#answered = prompt ? now : null;
      },
      (error: unknown) => {
        this.#inFlight.shift();
        this.#failure ??= { error };
      },
    );
    this.#inFlight.push(answer);
  }

  /** Resolves when the device is idle, or has failed: check() throws then. */
  async idle(): Promise<void> {
    try {
      await this.#options.device.drained();
    } catch (error) {
      this.#failure ??= { error };
    }
  }
}

/** The transit slots, used in turn: reads of a slot are submitted before its next write. */
export class Ring {
  readonly #slots: number;
  /** Slots whose records are for a later step. */
  readonly #held = new Set<number>();
  #last = -1;

  constructor(slots: number) {
    this.#slots = slots;
  }

  /** How many more slots may be held: one is always left. */
  get spare(): number {
    return this.#slots - 1 - this.#held.size;
  }

  take(): number {
    do this.#last = (this.#last + 1) % this.#slots;
    while (this.#held.has(this.#last));
    return this.#last;
  }

  hold(): number {
    const slot = this.take();
    this.#held.add(slot);
    return slot;
  }

  free(slot: number): void {
    this.#held.delete(slot);
  }
}
