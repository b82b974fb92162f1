// Records on their way to the device: sent in pieces, so many at a time, and timed against what was expected.

import type { DeviceExperts, DevicePlace, HostExperts } from "../backend/experts.ts";
import { PIECE } from "./calibrate.ts";
import type { Clock } from "./clock.ts";
import type { Costs } from "./costs.ts";
import type { Counters } from "./counters.ts";
import type { Cause } from "./host.ts";
import type { Busy } from "./schedule.ts";

export interface Upload {
  readonly place: DevicePlace;
  /** Slot in RAM whose record it is: pinned until all is sent. */
  readonly from: number;
  readonly cause: Cause;
  /** Bytes that the device has been given. */
  sent: number;
}

export interface UploadsOptions {
  readonly device: DeviceExperts;
  readonly host: HostExperts;
  readonly clock: Clock;
  readonly costs: Costs;
  readonly counters: Counters;
  /** Bytes that are handed over at a time; a multiple of 4. */
  readonly piece?: number | undefined;
}

/** Bytes that may wait in front of the link: a backend holds copies of them in RAM. */
const IN_FLIGHT_BYTES = 400e6;
/** Records, at least: one goes, the next is handed over. And at most. */
const IN_FLIGHT = { least: 2, most: 8 } as const;
/** An answer this soon after the thread was busy may have arrived long before. */
const PROMPT_MS = 0.05;

export class Uploads {
  readonly #options: UploadsOptions;
  readonly #piece: number;
  readonly #most: number;
  readonly #inFlight: Promise<void>[] = [];
  #failure: { readonly error: unknown } | null = null;
  /** When link and device are expected to be free, and the thread was last seen working. */
  #linkFree = 0;
  #deviceFree = 0;
  #worked = Number.NEGATIVE_INFINITY;
  /** When the device last said that it is done with a record; null: perhaps earlier than that. */
  #answered: number | null = null;

  constructor(options: UploadsOptions) {
    this.#options = options;
    this.#piece = options.piece ?? PIECE;
    const most = Math.floor(IN_FLIGHT_BYTES / options.device.recordBytes);
    this.#most = Math.min(IN_FLIGHT.most, Math.max(IN_FLIGHT.least, most));
  }

  /** What an upload still lacks, as a share of its record. */
  rest({ sent }: Upload): number {
    return 1 - sent / this.#options.device.recordBytes;
  }

  /** Hands the next piece over; returns whether it was the last. @throws DeviceError */
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

  /** The step's thread has been at work until now: answers may have waited. */
  worked(): number {
    this.#worked = this.#options.clock.now();
    return this.#worked;
  }

  /** Whether an answer that is heard of now has just arrived. */
  get prompt(): boolean {
    return this.#options.clock.now() - this.#worked > PROMPT_MS;
  }

  /** The device computes for `ms` from now on: experts that it has. */
  deviceBegins(ms: number): void {
    this.#deviceFree = Math.max(this.#deviceFree, this.#options.clock.now()) + ms;
  }

  /** From now on. */
  get busy(): Busy {
    const now = this.#options.clock.now();
    return { link: Math.max(0, this.#linkFree - now), device: Math.max(0, this.#deviceFree - now) };
  }

  /** Whether a record that is handed over now has to be held for long. */
  get full(): boolean {
    return this.#inFlight.length >= this.#most;
  }

  /** Resolves when the oldest record on its way has been computed with. @throws DeviceError */
  async room(): Promise<void> {
    await this.#inFlight[0];
    this.check();
  }

  /** @throws DeviceError that the device has announced since */
  check(): void {
    if (this.#failure) throw this.#failure.error;
  }

  /**
   * The device was told to compute with a record that is all there, for `tokens` rows.
   * @param timed whether the whole record was sent just now, so that its time says something about the link
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

  /** Resolves when the device has nothing left to do, or has failed: check() tells. */
  async idle(): Promise<void> {
    try {
      await this.#options.device.drained();
    } catch (error) {
      this.#failure ??= { error };
    }
  }
}

/** The transit slots, taken in turn: what the device has yet to read from one is submitted before it is written again. */
export class Ring {
  readonly #slots: number;
  /** Slots whose records wait for a later step. */
  readonly #held = new Set<number>();
  #last = -1;

  constructor(slots: number) {
    this.#slots = slots;
  }

  /** How many more may be held: one is always left. */
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
