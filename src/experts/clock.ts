// Time as the schedulers see it: handed in, so that tests run them on a machine that does not exist.

import { turn } from "../turn.ts";

export interface Clock {
  /** Milliseconds since some moment. */
  now(): number;
  /** Resolves after what waits to be done now: answers that have arrived, signals, the consumer's own work. */
  turn(): Promise<void>;
}

export const CLOCK: Clock = { now: () => performance.now(), turn };
