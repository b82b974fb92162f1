// Figures from a replay's counts: hit rates, uploads, and the share of the possible gain.

import type { Trace } from "../../src/experts/trace.ts";
import { CONTESTANTS, type Contestant, type Counts, layerSteps, replay } from "./replay.ts";

/** Figures of decode steps only, unless noted. */
export interface Figures {
  readonly slots: number;
  /** Share of expert uses that were hits. */
  readonly hitRate: number;
  /** Missing experts for each token, over all layers: what is read if only slots hold records. */
  readonly reads: number;
  /** Admitted experts for each token, over all layers. */
  readonly uploads: number;
  /** Share of a layer's steps without a miss. */
  readonly complete: number;
  /**
   * (policy - random) / (Belady - random) in hit rate; null if they differ by less than a point.
   */
  readonly gap: number | null;
  /** Additional slots that LRU needs for this hit rate, interpolated; null if LRU always hits. */
  readonly extraSlots: number | null;
  /** Hit rate of each layer. */
  readonly layers: readonly number[];
  readonly counts: Readonly<Counts>;
  /** Steps of prompts. */
  readonly prefill: Readonly<Counts>;
}

export interface PolicyFigures {
  readonly policy: string;
  readonly bySlots: readonly Figures[];
}

/** Smaller differences in hit rate are noise. */
const POINT = 0.01;

const hitRate = ({ hits, misses }: Counts): number => (hits + misses === 0 ? 0 : hits / (hits + misses));

/** Figures of every policy with each number of slots; zeros for a trace without decoded tokens. */
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
        reads: ratio(decode.misses, decode.tokens),
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

/** The interpolated number of slots at which a rising curve (from 0 slots on) reaches `rate`. */
export function slotsFor(rate: number, curve: readonly number[]): number {
  const above = curve.findIndex((at) => at >= rate);
  if (above <= 0) return above === 0 ? 0 : curve.length - 1;
  const [low, high] = [curve[above - 1]!, curve[above]!];
  return above - 1 + (rate - low) / (high - low);
}

function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}

/** Means over traces with equal weights. */
export type Metric = "hitRate" | "reads" | "uploads" | "complete" | "gap" | "extraSlots";
export type Means = Readonly<Record<Metric, number | null>> & { readonly slots: number };

/**
 * Means over traces; null if a trace has none.
 * @param traces figures with the same policies and slots
 */
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
        reads: mean("reads"),
        uploads: mean("uploads"),
        complete: mean("complete"),
        gap: mean("gap"),
        extraSlots: mean("extraSlots"),
      };
    }),
  }));
}
