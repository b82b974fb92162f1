// Routes of a simulated model, and predictions of them: a layer's logits, with noise that grows
// with the layers between. One number a distance gives what was measured of a model: how often both
// experts are right, and how often the first.

import { randomFrom, type Step } from "./fake_steps.ts";

/** Noise of predictions one layer ahead, two and so on, where logits differ by 1. */
export type Drift = readonly number[];

/** Of models/tales: the share of right predictions (predicted_tales.test.ts), and the drift. */
export const TALES = { right: [0.73, 0.65], drift: [0.56, 0.79] } as const;
/** As systems report of Mixtral 8x7B one layer ahead: 84 to 96 %. */
export const REPORTED = { right: [0.89, 0.83], drift: [0.18, 0.3] } as const;
/** All are right. */
export const ORACLE = { right: [1, 1], drift: [0, 0] } as const;

/** What experts are preferred by, from layer to layer, in logits. */
const SKEW = 0.35;

export interface Drifting {
  readonly steps: readonly Step[];
  /** The step whose layers are predicted. */
  at: number;
  /** The K likeliest experts of a layer further on, best first, of each row. */
  readonly predict: (layer: number, x: Float32Array, ahead?: number) => number[];
}

export function drifting(
  drift: Drift,
  {
    steps: count,
    layers,
    experts,
    k,
    rows = 1,
  }: Record<"steps" | "layers" | "experts" | "k", number> & { rows?: number },
): Drifting {
  const normal = normalFrom(randomFrom(1));
  const noise = normalFrom(randomFrom(2)); // its own, so that the routes do not depend on it
  const vector = (of: (expert: number) => number): number[] => Array.from({ length: experts }, (_, e) => of(e));
  const preferred = Array.from({ length: layers }, () => vector(() => SKEW * normal()));
  const predicted: number[][][][] = []; // [step][layer][distance]
  const steps = Array.from({ length: count }, () => {
    const ofStep: number[][][] = [];
    predicted.push(ofStep);
    return preferred.map((own) => {
      const likely: number[][] = drift.map(() => []);
      ofStep.push(likely);
      const ids = Array.from({ length: rows }, () => {
        const logits = vector((e) => own[e]! + normal());
        let [seen, before] = [logits, 0];
        for (const [i, amount] of drift.entries()) {
          const more = Math.sqrt(amount ** 2 - before ** 2);
          [seen, before] = [seen.map((value) => value + more * noise()), amount];
          likely[i]!.push(...best(seen, k));
        }
        return best(logits, k);
      });
      return Uint32Array.from(ids.flat());
    });
  });
  const made: Drifting = {
    steps,
    at: 0,
    predict: (layer, _, ahead = 1) => [...new Set(predicted[made.at]![layer + ahead]?.[ahead - 1] ?? [])],
  };
  return made;
}

/** The share of predicted experts, so many layers ahead, that are used. */
export function rightShare(made: Drifting, ahead: number): number {
  let [right, all] = [0, 0];
  for (const [at, step] of made.steps.entries()) {
    made.at = at;
    for (let layer = 0; layer + ahead < step.length; layer++) {
      const experts = made.predict(layer, new Float32Array(1), ahead);
      all += experts.length;
      right += experts.filter((expert) => step[layer + ahead]!.includes(expert)).length;
    }
  }
  return right / all;
}

function best(logits: readonly number[], k: number): number[] {
  return [...logits.keys()].sort((a, b) => logits[b]! - logits[a]!).slice(0, k);
}

/** Normally distributed numbers (Box and Muller). */
function normalFrom(random: () => number): () => number {
  return () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
