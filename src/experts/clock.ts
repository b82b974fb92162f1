// The clock of the schedulers, injected so that tests can run them on a simulated machine.

import { turn } from "../turn.ts";

export interface Clock {
  /** Milliseconds since an arbitrary point in time. */
  now(): number;
  /** One turn of the event loop: pending callbacks, signals and the caller's own work run first. */
  turn(): Promise<void>;
}

export const CLOCK: Clock = { now: () => performance.now(), turn };
