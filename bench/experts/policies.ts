// Policies to compare the engine's own with, each for one layer. Four know nothing of the future,
// two know all of it.

import type { ExpertUse } from "../../src/backend/experts.ts";
import { randomFrom } from "../../src/engine/random.ts";
import type { Policy } from "../../src/experts/layer_cache.ts";

/**
 * Admits every miss, like a GPU that computes all experts itself. Experts of the current step are
 * evicted only if no other slot is left, so that the whole step is computed from the slots.
 */
abstract class Demand implements Policy {
  #inUse: ReadonlySet<number> = new Set();

  step(use: readonly ExpertUse[], _tokens?: number): void {
    this.#inUse = new Set(use.map(({ expert }) => expert));
    this.seen(use);
  }

  replaces(_missing: number, residents: readonly number[]): number {
    const free = residents.filter((expert) => !this.#inUse.has(expert));
    return this.choose(free.length > 0 ? free : residents);
  }

  protected abstract seen(use: readonly ExpertUse[]): void;
  /** Which of these to evict. */
  protected abstract choose(candidates: readonly number[]): number;
}

export class Random extends Demand {
  readonly #next: () => number;

  constructor(seed: number) {
    super();
    this.#next = randomFrom(seed);
  }

  protected seen(): void {}

  protected choose(candidates: readonly number[]): number {
    return candidates[Math.floor(this.#next() * candidates.length)]!;
  }
}

/** Evicts the least recently used; of those of one step, the first. */
export class Lru extends Demand {
  readonly #last = new Map<number, number>();
  #now = 0;

  protected seen(use: readonly ExpertUse[]): void {
    this.#now++;
    for (const { expert } of use) this.#last.set(expert, this.#now);
  }

  protected choose(candidates: readonly number[]): number {
    return least(candidates, (expert) => this.#last.get(expert) ?? 0);
  }
}

/** Evicts the expert that the fewest tokens have used. */
export class Lfu extends Demand {
  readonly #tokens = new Map<number, number>();

  protected seen(use: readonly ExpertUse[]): void {
    for (const { expert, tokens } of use) this.#tokens.set(expert, (this.#tokens.get(expert) ?? 0) + tokens);
  }

  protected choose(candidates: readonly number[]): number {
    return least(candidates, (expert) => this.#tokens.get(expert) ?? 0);
  }
}

/** Tokens in which a count of ClassLru halves. */
const HALF_LIFE = 128;
/** Its classes: counts below 2, below 4, and so on. */
const CLASSES = 8;

/**
 * llama.cpp 1.0's: uses are counted with a half-life of 128 tokens, evicted experts' too, in eight
 * classes by powers of two; the least recently used of the lowest class is evicted.
 */
export class ClassLru extends Demand {
  readonly #counts = new Map<number, number>();
  readonly #last = new Map<number, number>();
  #now = 0;

  override step(use: readonly ExpertUse[], tokens: number): void {
    const keep = 0.5 ** (tokens / HALF_LIFE);
    for (const [expert, count] of this.#counts) this.#counts.set(expert, count * keep);
    super.step(use);
  }

  protected seen(use: readonly ExpertUse[]): void {
    this.#now++;
    for (const { expert, tokens } of use) {
      this.#counts.set(expert, (this.#counts.get(expert) ?? 0) + tokens);
      this.#last.set(expert, this.#now);
    }
  }

  protected choose(candidates: readonly number[]): number {
    const classOf = (expert: number): number =>
      Math.min(CLASSES - 1, Math.floor(Math.log2(Math.max(1, this.#counts.get(expert) ?? 0))));
    const lowest = Math.min(...candidates.map(classOf));
    const of = candidates.filter((expert) => classOf(expert) === lowest);
    return least(of, (expert) => this.#last.get(expert) ?? 0);
  }
}

/** Never evicts and never admits: for slots that are full from the start. */
export class Static implements Policy {
  step(): void {}

  replaces(): null {
    return null;
  }
}

/**
 * For each step of a layer and each expert, the next step after it that uses the expert; Infinity
 * for none.
 */
class Future {
  readonly #uses: readonly number[][]; // by expert, ascending
  #now = -1;

  constructor(experts: number, steps: readonly (readonly ExpertUse[])[]) {
    const uses: number[][] = Array.from({ length: experts }, () => []);
    for (const [at, use] of steps.entries()) for (const { expert } of use) uses[expert]!.push(at);
    this.#uses = uses;
  }

  advance(): void {
    this.#now++;
    for (const uses of this.#uses) if (uses[0] !== undefined && uses[0] <= this.#now) uses.shift();
  }

  next(expert: number): number {
    return this.#uses[expert]![0] ?? Number.POSITIVE_INFINITY;
  }
}

/**
 * Evicts the expert with the most distant next use: optimal if every miss is
 * admitted (Belady 1966).
 */
export class Belady extends Demand {
  readonly #future: Future;

  /** @param steps all future steps of the layer */
  constructor(experts: number, steps: readonly (readonly ExpertUse[])[]) {
    super();
    this.#future = new Future(experts, steps);
  }

  protected seen(): void {
    this.#future.advance();
  }

  protected choose(candidates: readonly number[]): number {
    return least(candidates, (expert) => -this.#future.next(expert));
  }
}

/** The same, but does not admit an expert whose next use is the most distant: optimal. */
export class BeladyBypass implements Policy {
  readonly #future: Future;

  constructor(experts: number, steps: readonly (readonly ExpertUse[])[]) {
    this.#future = new Future(experts, steps);
  }

  step(): void {
    this.#future.advance();
  }

  replaces(missing: number, residents: readonly number[]): number | null {
    const last = least(residents, (expert) => -this.#future.next(expert));
    return this.#future.next(missing) < this.#future.next(last) ? last : null;
  }
}

/** The first element with the least `rank`. */
function least(experts: readonly number[], rank: (expert: number) => number): number {
  let best = experts[0]!;
  for (const expert of experts) if (rank(expert) < rank(best)) best = expert;
  return best;
}
