// The cache of one layer: which experts are in its slots. The engine and the replay of
// traces share it.

import type { ExpertUse } from "../backend/experts.ts";

/**
 * The eviction and admission policy of one layer. Depends on its calls alone, so that
 * a replay agrees.
 */
export interface Policy {
  /** Records the experts that a step of `tokens` tokens uses. Once a step, before replaces(). */
  step(use: readonly ExpertUse[], tokens: number): void;
  /** Which of `residents` to evict for `missing`; null: do not admit it. All slots are taken. */
  replaces(missing: number, residents: readonly number[]): number | null;
}

export interface CacheCounters {
  /** Experts used, counted once a step, that were in a slot, and that were not. */
  hits: number;
  /** Those that were not in a slot. */
  misses: number;
  /** Misses that were admitted to a slot. */
  admissions: number;
}

export interface Admission {
  readonly slot: number;
  /** The expert that was evicted, or null. */
  readonly evicted: number | null;
}

export class LayerCache {
  readonly counters: CacheCounters = { hits: 0, misses: 0, admissions: 0 };
  readonly #policy: Policy;
  readonly #slotOf: Int32Array; // [E], -1: in none
  readonly #expertIn: Int32Array; // [slots], -1: free

  constructor(experts: number, slots: number, policy: Policy) {
    this.#policy = policy;
    this.#slotOf = new Int32Array(experts).fill(-1);
    this.#expertIn = new Int32Array(slots).fill(-1);
  }

  /** The expert's slot, or -1. */
  slotOf(expert: number): number {
    return this.#slotOf[expert]!;
  }

  /** Experts in slots now, in slot order. */
  get residents(): readonly number[] {
    return [...this.#expertIn].filter((expert) => expert >= 0);
  }

  /** Starts a step: counts its uses and splits them into hits and misses, in the order given. */
  begin(use: readonly ExpertUse[], tokens: number): { readonly hits: ExpertUse[]; readonly misses: ExpertUse[] } {
    this.#policy.step(use, tokens);
    const hits = use.filter(({ expert }) => this.slotOf(expert) >= 0);
    const misses = use.filter(({ expert }) => this.slotOf(expert) < 0);
    this.counters.hits += hits.length;
    this.counters.misses += misses.length;
    return { hits, misses };
  }

  /** Admits a missing expert to a slot, evicting another if needed; null: not admitted. */
  admit(expert: number): Admission | null {
    if (this.slotOf(expert) >= 0) throw new Error(`expert ${expert} has a slot`);
    if (this.#expertIn.length === 0) return null;
    const free = this.#expertIn.indexOf(-1);
    const evicted = free >= 0 ? null : this.#policy.replaces(expert, this.residents);
    if (free < 0 && evicted === null) return null;
    const slot = evicted === null ? free : this.slotOf(evicted);
    if (evicted !== null) this.#slotOf[evicted] = -1;
    this.#slotOf[expert] = slot;
    this.#expertIn[slot] = expert;
    this.counters.admissions++;
    return { slot, evicted };
  }

  /** Empties all slots and resets the counters. */
  clear(): void {
    this.#slotOf.fill(-1);
    this.#expertIn.fill(-1);
    Object.assign(this.counters, { hits: 0, misses: 0, admissions: 0 });
  }

  /** Removes an expert whose record never arrived. */
  drop(expert: number): void {
    const slot = this.slotOf(expert);
    if (slot < 0) return;
    this.#slotOf[expert] = -1;
    this.#expertIn[slot] = -1;
  }
}
