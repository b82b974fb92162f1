// Measures the initial rates of Costs, through the interfaces used later; the fastest of
// a few runs.

import type { DeviceExperts, HostExperts } from "../backend/experts.ts";
import type { Clock } from "./clock.ts";
import type { Rates } from "./costs.ts";

/** Bytes of an upload's piece: small enough to stop in between, large enough to be worth a call. */
export const PIECE = 8 << 20;

export interface CalibrateOptions {
  readonly host: HostExperts;
  /** A slot in RAM that holds a record. */
  readonly slot: number;
  readonly device: DeviceExperts;
  readonly clock: Clock;
  /** Reads a record from disk, another one at each call; absent if all are in RAM. */
  readonly read?: (() => Promise<unknown>) | undefined;
  /** Bytes of an upload's piece. */
  readonly piece?: number | undefined;
}

/** Rows of the second measurement on the host: more than a kernel handles in one pass. */
const ROWS = 8;
const REPEATS = 3;

/**
 * Computes and uploads about nine experts (to the first transit slot) and reads three. The device's
 * own time per expert is assumed to be small, and corrected by the first uses: Costs.uploaded().
 * @throws DeviceError, WeightsError
 */
export async function calibrate({ host, slot, device, clock, read, piece = PIECE }: CalibrateOptions): Promise<Rates> {
  const computing = calibrateHost(host, slot, clock);
  await device.drained();
  let sync = Number.POSITIVE_INFINITY;
  for (let i = 0; i < REPEATS; i++) sync = Math.min(sync, await timed(clock, () => device.drained()));
  let disk = Number.POSITIVE_INFINITY;
  for (let i = 0; read && i < REPEATS; i++) disk = Math.min(disk, await timed(clock, read));
  const rates = { host: computing, sync, disk: read ? disk : 0 };
  if (device.transit === 0) return { ...rates, copy: 0, link: 0, tail: 0, device: { one: 0, each: 0 } };
  let copy = Number.POSITIVE_INFINITY;
  let single = Number.POSITIVE_INFINITY;
  let both = Number.POSITIVE_INFINITY;
  for (let i = 0; i < REPEATS; i++) {
    const started = clock.now();
    send(device, host.slot(slot), piece);
    copy = Math.min(copy, clock.now() - started);
    await device.drained();
    single = Math.min(single, clock.now() - started - sync);
    const again = clock.now();
    send(device, host.slot(slot), piece);
    const first = device.drained(); // a device may start only when it is asked to finish
    send(device, host.slot(slot), piece);
    await Promise.all([first, device.drained()]);
    both = Math.min(both, clock.now() - again - sync);
  }
  const tail = Math.max(0, single - copy);
  // If the copy is slower than the link, only the last piece shows the link's time.
  const pieces = Math.ceil(device.recordBytes / piece);
  const link = Math.max(0, both - single > 1.05 * copy ? both - single : Math.min(both - single, pieces * tail));
  // A device computes an expert in a fraction of its upload time, and each row of many in a
  // fraction of that.
  const assumed = { one: Math.max(copy, link) / 20, each: Math.max(copy, link) / 640 };
  return { ...rates, copy, link, tail, device: assumed };
}

/** Measures Rates.host with the record in `slot`. */
export function calibrateHost(host: HostExperts, slot: number, clock: Clock): Rates["host"] {
  const one = quickest(REPEATS, clock, () => compute(host, slot, 1));
  const each = quickest(1, clock, () => compute(host, slot, ROWS)) / ROWS;
  return { one, each: Math.min(each, one) };
}

function compute(host: HostExperts, slot: number, rows: number): void {
  const { hidden } = host.shape;
  const x = new Float32Array(rows * hidden).fill(0.01);
  const tokens = Uint32Array.from({ length: rows }, (_, i) => i);
  host.compute(slot, x, tokens, new Float32Array(rows).fill(1), new Float32Array(rows * hidden));
}

function send(device: DeviceExperts, record: Uint8Array, piece: number): void {
  for (let at = 0; at < record.length; at += piece) device.write({ transit: 0 }, at, record.subarray(at, at + piece));
}

function quickest(repeats: number, clock: Clock, work: () => void): number {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < repeats; i++) {
    const started = clock.now();
    work();
    best = Math.min(best, clock.now() - started);
  }
  return best;
}

async function timed(clock: Clock, work: () => Promise<unknown>): Promise<number> {
  const started = clock.now();
  await work();
  return clock.now() - started;
}
