// Counters of a tier: numbers that only grow, so that the difference of two snapshots
// is an interval.

export interface LayerCounts {
  /** Experts used, counted once a step: always hits + misses. */
  routed: number;
  hits: number;
  misses: number;
  /** Misses that were admitted to a slot. */
  admissions: number;
}

export interface CounterValues {
  /** Steps, counted in the first layer, and their tokens. */
  steps: number;
  tokens: number;
  readonly layers: readonly LayerCounts[];
  /**
   * Bytes moved into the tier, by cause. `wasted` is the part of `prefetch` that was never used.
   */
  readonly bytes: { demand: number; admission: number; prefetch: number; wasted: number };
  /** Misses computed on the host, or on the device after an upload; predictions, and right ones. */
  readonly experts: { host: number; uploaded: number; predicted: number; predictedRight: number };
  /**
   * Milliseconds of the step's own thread. `sync`: waiting for the routes, including the device's
   * work before them; `upload`: handing bytes over; `stall`: waiting for uploads; `disk`: waiting
   * for reads with nothing else to do; `host`: computing experts.
   */
  readonly ms: { sync: number; upload: number; stall: number; disk: number; host: number };
}

export class Counters implements CounterValues {
  steps = 0;
  tokens = 0;
  readonly layers: readonly LayerCounts[];
  readonly bytes = { demand: 0, admission: 0, prefetch: 0, wasted: 0 };
  readonly experts = { host: 0, uploaded: 0, predicted: 0, predictedRight: 0 };
  readonly ms = { sync: 0, upload: 0, stall: 0, disk: 0, host: 0 };

  constructor(layers: number) {
    this.layers = Array.from({ length: layers }, () => ({ routed: 0, hits: 0, misses: 0, admissions: 0 }));
  }

  /** Counts the start of a layer's step of `tokens` tokens. */
  begin(layer: number, tokens: number, hits: number, misses: number): void {
    if (layer === 0) {
      this.steps++;
      this.tokens += tokens;
    }
    const counts = this.layers[layer]!;
    counts.routed += hits + misses;
    counts.hits += hits;
    counts.misses += misses;
  }

  /** A copy of the current numbers. */
  snapshot(): CounterValues {
    return {
      steps: this.steps,
      tokens: this.tokens,
      layers: this.layers.map((layer) => ({ ...layer })),
      bytes: { ...this.bytes },
      experts: { ...this.experts },
      ms: { ...this.ms },
    };
  }
}

/** What happened between two snapshots of the same counters. */
export function difference(later: CounterValues, earlier: CounterValues): CounterValues {
  return {
    steps: later.steps - earlier.steps,
    tokens: later.tokens - earlier.tokens,
    layers: later.layers.map((layer, i) => minus(layer, earlier.layers[i]!)),
    bytes: minus(later.bytes, earlier.bytes),
    experts: minus(later.experts, earlier.experts),
    ms: minus(later.ms, earlier.ms),
  };
}

/** The sum over all layers. */
export function total(layers: readonly LayerCounts[]): LayerCounts {
  const sum: LayerCounts = { routed: 0, hits: 0, misses: 0, admissions: 0 };
  for (const layer of layers) for (const key of keys(sum)) sum[key] += layer[key];
  return sum;
}

function minus<T extends { [key in keyof T]: number }>(a: T, b: T): T {
  const result = { ...a };
  for (const key of keys(result)) result[key] = (a[key] - b[key]) as T[typeof key];
  return result;
}

function keys<T extends object>(value: T): (keyof T)[] {
  return Object.keys(value) as (keyof T)[];
}
