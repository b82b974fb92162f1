// The caching policies of a model's layers, for one tier of all its classes.

import { Adaptive } from "../experts/adaptive.ts";
import { byLayer, type ExpertClass } from "../experts/classes.ts";
import type { Scores } from "../experts/warm_start.ts";

/** Residents of each layer of a class; the first `extra` layers have one more. */
interface Quota {
  readonly slots: number;
  readonly extra: number;
}

/**
 * What an admission costs, in hits. A miss in RAM has read the record anyway. A miss on a device
 * that the host has computed has not been sent, so an admission sends it, but while the link is
 * idle.
 */
export const PRICE = { ram: 0, device: 0.5 } as const;

export class Policies {
  readonly #layers: readonly Adaptive[];
  readonly #seeds: Scores | null;

  /** @param quotas of the classes @param seeds what an earlier run learned */
  constructor(
    classes: readonly ExpertClass[],
    quotas: readonly Quota[],
    tier: keyof typeof PRICE,
    seeds: Scores | null = null,
  ) {
    this.#seeds = seeds;
    const made = classes.map(({ shape, layers }, c) => {
      const { slots, extra } = quotas[c]!;
      return layers.map((layer, i) => {
        const own = slots + Number(i < extra);
        return new Adaptive({ experts: shape.count, slots: own, price: PRICE[tier], seed: seeds?.[layer] });
      });
    });
    this.#layers = byLayer(classes, made);
  }

  /** The policies of a class's layers, counted from 0. */
  ofClass({ layers }: ExpertClass): (layer: number) => Adaptive {
    return (layer) => this.#layers[layers[layer]!]!;
  }

  get scores(): number[][] {
    return this.#layers.map(({ scores }) => [...scores]);
  }

  /** Forgets all but what an earlier run learned. */
  clear(): void {
    for (const [layer, policy] of this.#layers.entries()) policy.clear(this.#seeds?.[layer]);
  }
}
