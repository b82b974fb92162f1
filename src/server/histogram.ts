// Counters and histograms in the text format that Prometheus reads.

/** A counter with labels. */
export interface Counter {
  add(labels: Readonly<Record<string, string>>, value?: number): void;
  text(): string;
}

export interface Histogram {
  observe(value: number): void;
  text(): string;
}

/** The lines in front of a metric's values. */
export function heading(name: string, type: "counter" | "gauge" | "histogram", help: string): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
}

/** One value: `name{label="value"} 1`. */
export function sample(name: string, labels: Readonly<Record<string, string>>, value: number): string {
  const pairs = Object.entries(labels).map(([key, text]) => `${key}="${text.replace(/[\\"\n]/g, "_")}"`);
  return `${name}${pairs.length > 0 ? `{${pairs.join(",")}}` : ""} ${value}\n`;
}

/** The values of `labels` must be of a bounded set: each combination is kept for ever. */
export function createCounter(name: string, help: string): Counter {
  const values = new Map<string, { labels: Readonly<Record<string, string>>; value: number }>();
  return {
    add(labels, value = 1) {
      const key = JSON.stringify(labels);
      const entry = values.get(key) ?? { labels, value: 0 };
      entry.value += value;
      values.set(key, entry);
    },
    text: () =>
      heading(name, "counter", help) + [...values.values()].map((one) => sample(name, one.labels, one.value)).join(""),
  };
}

/** @param bounds upper bounds of the buckets, ascending */
export function createHistogram(name: string, help: string, bounds: readonly number[]): Histogram {
  const counts = new Array<number>(bounds.length).fill(0);
  let [count, sum] = [0, 0];
  return {
    observe(value) {
      count++;
      sum += value;
      for (const [i, bound] of bounds.entries()) if (value <= bound) counts[i]!++;
    },
    text: () =>
      [
        heading(name, "histogram", help),
        ...bounds.map((bound, i) => sample(`${name}_bucket`, { le: String(bound) }, counts[i]!)),
        sample(`${name}_bucket`, { le: "+Inf" }, count),
        sample(`${name}_sum`, {}, sum),
        sample(`${name}_count`, {}, count),
      ].join(""),
  };
}
