// What a replay's counts say: rates, uploads, and how much of what is possible a policy reaches.

import type { Trace } from "../../src/experts/trace.ts";
import { CONTESTANTS, type Contestant, type Counts, layerSteps, replay } from "./replay.ts";

/** Of decode steps only, where nothing else is said. */
export interface Figures {
  readonly slots: number;
  /** Uses of experts that found them in a slot. */
  readonly hitRate: number;
  /** Experts brought to a slot to stay, a token, over all layers. */
  readonly uploads: number;
  /** Steps of a layer that missed no expert. */
  readonly complete: number;
  /** (policy - random) / (Belady - random), in hit rate; null where chance and foresight are less than a point apart. */
  readonly gap: number | null;
  /** Slots more that LRU would need for this hit rate, between whole ones in proportion; null where LRU hits always. */
  readonly extraSlots: number | null;
  /** Hit rate of each layer. */
  readonly layers: readonly number[];
  readonly counts: Readonly<Counts>;
  /** The steps of prompts. */
  readonly prefill: Readonly<Counts>;
}

export interface PolicyFigures {
  readonly policy: string;
  readonly bySlots: readonly Figures[];
}

/** Differences in hit rate below this are chance. */
const POINT = 0.01;

const hitRate = ({ hits, misses }: Counts): number => (hits + misses === 0 ? 0 : hits / (hits + misses));

/** Every contestant with each number of slots. Traces without a decoded token give zeros. */
export function figuresOf(trace: Trace, slots: readonly number[]): PolicyFigures[] {
  const steps = layerSteps(trace);
  const run = (contestant: Contestant, n: number) => replay(trace, contestant, n, steps);
  const named = (name: string): Contestant => CONTESTANTS.find((one) => one.name === name)!;
  /** Hit rates of LRU with 0, 1, ... E slots. */
  const lru = Array.from({ length: trace.experts + 1 }, (_, n) => (n === 0 ? 0 : hitRate(run(named("LRU"), n).decode)));
  const ends = slots.map((n) => ["random", "Belady"].map((name) => hitRate(run(named(name), n).decode)));
  return CONTESTANTS.map((contestant) => ({
    policy: contestant.name,
    bySlots: slots.map((n, i) => {
      const { decode, prefill, layers } = run(contestant, n);
      const [random, belady] = ends[i] as [number, number];
      const rate = hitRate(decode);
      return {
        slots: n,
        hitRate: rate,
        uploads: ratio(decode.admissions, decode.tokens),
        complete: ratio(decode.complete, decode.layerSteps),
        gap: belady - random < POINT ? null : (rate - random) / (belady - random),
        extraSlots: n >= trace.experts ? null : slotsFor(rate, lru) - n,
        layers,
        counts: decode,
        prefill,
      };
    }),
  }));
}

/** The number of slots, between two whole ones in proportion, at which a rising curve (from 0 slots on) reaches `rate`. */
export function slotsFor(rate: number, curve: readonly number[]): number {
  const above = curve.findIndex((at) => at >= rate);
  if (above <= 0) return above === 0 ? 0 : curve.length - 1;
  const [low, high] = [curve[above - 1]!, curve[above]!];
  return above - 1 + (rate - low) / (high - low);
}

function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}

/** The numbers that are averaged over traces, each trace weighing the same. */
export type Metric = "hitRate" | "uploads" | "complete" | "gap" | "extraSlots";
export type Means = Readonly<Record<Metric, number | null>> & { readonly slots: number };

/** Means over traces; null where a trace has none. @param traces figures of each, of the same policies and slots */
export function means(traces: readonly (readonly PolicyFigures[])[]): { policy: string; bySlots: Means[] }[] {
  return traces[0]!.map(({ policy, bySlots }, p) => ({
    policy,
    bySlots: bySlots.map(({ slots }, s) => {
      const mean = (metric: Metric): number | null => {
        const values = traces.map((figures) => figures[p]!.bySlots[s]![metric]);
        return values.some((value) => value === null)
          ? null
          : values.reduce<number>((sum, value) => sum + (value ?? 0), 0) / values.length;
      };
      return {
        slots,
        hitRate: mean("hitRate"),
        uploads: mean("uploads"),
        complete: mean("complete"),
        gap: mean("gap"),
        extraSlots: mean("extraSlots"),
      };
    }),
  }));
}
