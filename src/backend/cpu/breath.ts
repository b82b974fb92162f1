// Turns of the event loop within a step: the CPU backend computes on the caller's thread, and a long step may take seconds.

import { turn } from "../../turn.ts";

/** How long a step may keep signals, timers and sockets waiting, give or take one expert. */
const MAX_BREATH_MS = 50;

export class Breath {
  #last = 0;

  /** A step begins: the loop had its turn just before. */
  begin(): void {
    this.#last = performance.now();
  }

  /** Lets the event loop run, if its last turn was long ago. */
  async take(): Promise<void> {
    if (performance.now() - this.#last < MAX_BREATH_MS) return;
    await turn();
    this.begin();
  }
}
