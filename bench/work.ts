// What benchmarks under load count: tokens, the time that they took, and percentiles of waits.

/** Tokens that were made, over all rounds, and what they took. */
export class Work {
  tokens = 0;
  #seconds = 0;
  /** Of the whole process, all threads. */
  #cpuSeconds = 0;

  /** Counts the time of `task`. */
  async during(task: () => Promise<unknown>): Promise<void> {
    const started = performance.now();
    const before = process.cpuUsage();
    await task();
    this.#seconds += (performance.now() - started) / 1000;
    const { user, system } = process.cpuUsage(before);
    this.#cpuSeconds += (user + system) / 1e6;
  }

  get tokensPerSecond(): number {
    return this.tokens / this.#seconds;
  }

  /** To two decimals. On a shared machine this says more than the elapsed time. */
  get cpuMsPerToken(): number {
    return Math.round((1e5 * this.#cpuSeconds) / this.tokens) / 100;
  }
}

/** The value below which a `share` of `values` lies; NaN of none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}
