// Counters and histograms in the text format that Prometheus reads.

export type Labels = Readonly<Record<string, string>>;

/** A counter with labels. */
export interface Counter {
  add(labels: Labels, value?: number): void;
  text(): string;
}

/** A histogram, for each combination of labels. */
export interface Histogram {
  observe(value: number, labels?: Labels): void;
  text(): string;
}

/** The lines in front of a metric's values. */
export function heading(name: string, type: "counter" | "gauge" | "histogram", help: string): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
}

/** One value: `name{label="value"} 1`. */
export function sample(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([key, text]) => `${key}="${text.replace(/[\\"\n]/g, "_")}"`);
  return `${name}${pairs.length > 0 ? `{${pairs.join(",")}}` : ""} ${value}\n`;
}

/** A metric whose values are known now. */
export function metric(
  name: string,
  type: "counter" | "gauge",
  help: string,
  values: number | readonly (readonly [Labels, number])[],
): string {
  const all = typeof values === "number" ? [[{}, values] as const] : values;
  return heading(name, type, help) + all.map(([labels, value]) => sample(name, labels, value)).join("");
}

/** The values of `labels` must come from a bounded set: each combination is kept forever. */
export function createCounter(name: string, help: string): Counter {
  const values = new Map<string, { labels: Labels; value: number }>();
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

interface Series {
  readonly labels: Labels;
  readonly counts: number[];
  count: number;
  sum: number;
}

/**
 * @param bounds upper bounds of the buckets, ascending
 * @param first labels of a series that exists from the start. As with a counter, labels must come
 * from a bounded set.
 */
export function createHistogram(
  name: string,
  help: string,
  bounds: readonly number[],
  first: Labels | null = {},
): Histogram {
  const series = new Map<string, Series>();
  const of = (labels: Labels): Series => {
    const key = JSON.stringify(labels);
    const found = series.get(key) ?? { labels, counts: new Array<number>(bounds.length).fill(0), count: 0, sum: 0 };
    series.set(key, found);
    return found;
  };
  if (first) of(first);
  return {
    observe(value, labels = {}) {
      const one = of(labels);
      one.count++;
      one.sum += value;
      for (const [i, bound] of bounds.entries()) if (value <= bound) one.counts[i]!++;
    },
    text: () =>
      heading(name, "histogram", help) +
      [...series.values()]
        .map(({ labels, counts, count, sum }) =>
          [
            ...bounds.map((bound, i) => sample(`${name}_bucket`, { ...labels, le: String(bound) }, counts[i]!)),
            sample(`${name}_bucket`, { ...labels, le: "+Inf" }, count),
            sample(`${name}_sum`, labels, sum),
            sample(`${name}_count`, labels, count),
          ].join(""),
        )
        .join(""),
  };
}
