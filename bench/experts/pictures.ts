// The two charts of a replay: hit rate and uploads of every policy over the number of slots.

import { chartSvg } from "../chart/lines.ts";
import type { Metric, means } from "./figures.ts";

type Mean = ReturnType<typeof means>;

/** The style of each policy, best first; policies that know the whole trace are dashed. */
const LOOKS: readonly {
  readonly policy: string;
  readonly colour: number;
  readonly dashed?: boolean;
  readonly bold?: boolean;
}[] = [
  { policy: "Belady+bypass", colour: 4, dashed: true },
  { policy: "Belady", colour: 5, dashed: true },
  { policy: "hotset, RAM", colour: 2, bold: true },
  { policy: "hotset, device", colour: 7, bold: true },
  { policy: "static", colour: 6, dashed: true },
  { policy: "ClassLRU", colour: 6 },
  { policy: "LFU", colour: 3 },
  { policy: "LRU", colour: 1 },
  { policy: "random", colour: 0 },
];

const NOTE = "dashed: by hindsight";

function lines(mean: Mean, metric: Metric) {
  return LOOKS.map(({ policy, colour, dashed = false, bold = false }) => ({
    name: policy,
    colour,
    dashed,
    bold,
    points: mean
      .find((one) => one.policy === policy)!
      .bySlots.map((figures) => [figures.slots, figures[metric] ?? 0] as const),
  }));
}

export function hitRateChart(mean: Mean, slots: readonly number[], subtitle: string, experts: number): string {
  const least = Math.min(...mean.flatMap(({ bySlots }) => bySlots.map(({ hitRate }) => hitRate ?? 0)));
  const bottom = Math.floor(least * 5) / 5;
  const ticks = Array.from({ length: Math.round((1 - bottom) * 10) + 1 }, (_, i) => bottom + i / 10);
  return chartSvg({
    title: "Experts that are in a slot when a token needs them",
    subtitle,
    x: { label: `slots a layer, of ${experts} experts`, ticks: slots },
    y: { label: "hit rate", ticks, show: (value) => `${Math.round(100 * value)} %` },
    lines: lines(mean, "hitRate"),
    note: NOTE,
  });
}

export function uploadsChart(mean: Mean, slots: readonly number[], subtitle: string, experts: number): string {
  const most = Math.max(...mean.flatMap(({ bySlots }) => bySlots.map(({ uploads }) => uploads ?? 0)), 0.01);
  const step =
    [1, 2, 5, 10, 20].map((n) => n * 10 ** Math.floor(Math.log10(most) - 0.7)).find((n) => most / n <= 6) ?? most;
  const ticks = Array.from({ length: Math.ceil(most / step) + 1 }, (_, i) => i * step);
  return chartSvg({
    title: "Experts uploaded to stay, a decoded token",
    subtitle,
    x: { label: `slots a layer, of ${experts} experts`, ticks: slots },
    y: { label: "uploads a token", ticks, show: (value) => String(Number(value.toPrecision(3))) },
    lines: lines(mean, "uploads"),
    note: NOTE,
  });
}
