// Calls of a verb on given weights and tensors, planned once, so that a step makes no bind group
// and hardly a string.

import type { Call } from "./commands.ts";
import type { StepEncoder } from "./encoder.ts";

export class Plans {
  readonly #encoder: StepEncoder;
  readonly #plans = new Map<string, readonly Call[]>();

  constructor(encoder: StepEncoder) {
    this.#encoder = encoder;
  }

  /** Encodes a verb's calls over n rows, which are planned the first time. */
  run(key: string, n: number, make: () => readonly Call[]): void {
    this.dispatch(this.plan(key, make), n);
  }

  plan(key: string, make: () => readonly Call[]): readonly Call[] {
    let calls = this.#plans.get(key);
    if (!calls) {
      calls = make();
      this.#plans.set(key, calls);
    }
    return calls;
  }

  /** Encodes calls over n rows; nothing for none. */
  dispatch(calls: readonly Call[], n: number): void {
    if (n > 0) for (const call of calls) this.#encoder.dispatch(call, n);
  }

  /** Drops all: buffers have been replaced. */
  clear(): void {
    this.#plans.clear();
  }
}
