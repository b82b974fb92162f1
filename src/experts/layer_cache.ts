// Which experts of one layer are in its slots, and what became of each use: the table that engine and replay share.

import type { ExpertUse } from "../backend/experts.ts";

/** Decides who stays, for one layer. What it is told is all that it may go by: the replay of a trace decides the same. */
export interface Policy {
  /** A step of `tokens` tokens uses these experts. Called once a step, before anything is asked. */
  step(use: readonly ExpertUse[], tokens: number): void;
  /** Which of `residents` (all slots are taken) makes room for `missing`; null: `missing` is not admitted. */
  replaces(missing: number, residents: readonly number[]): number | null;
}

export interface CacheCounters {
  /** Uses of experts (one for each expert that a step uses) that were in a slot, and that were not. */
  hits: number;
  misses: number;
  /** Misses that were given a slot. */
  admissions: number;
}

export interface Admission {
  readonly slot: number;
  /** Who was there before, or null. */
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

  /** Experts in slots now, in the order of the slots. */
  get residents(): readonly number[] {
    return [...this.#expertIn].filter((expert) => expert >= 0);
  }

  /** A step begins: counts its uses and tells who is there and who is not, in the order given. */
  begin(use: readonly ExpertUse[], tokens: number): { readonly hits: ExpertUse[]; readonly misses: ExpertUse[] } {
    this.#policy.step(use, tokens);
    const hits = use.filter(({ expert }) => this.slotOf(expert) >= 0);
    const misses = use.filter(({ expert }) => this.slotOf(expert) < 0);
    this.counters.hits += hits.length;
    this.counters.misses += misses.length;
    return { hits, misses };
  }

  /** Gives a missing expert a slot, from now on, or not: null. */
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

  /** Empties all slots and forgets what was counted. */
  clear(): void {
    this.#slotOf.fill(-1);
    this.#expertIn.fill(-1);
    Object.assign(this.counters, { hits: 0, misses: 0, admissions: 0 });
  }

  /** Takes an expert out of its slot: what was to be there never arrived. */
  drop(expert: number): void {
    const slot = this.slotOf(expert);
    if (slot < 0) return;
    this.#slotOf[expert] = -1;
    this.#expertIn[slot] = -1;
  }
}
