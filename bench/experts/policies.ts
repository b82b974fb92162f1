// The policies that the engine's own is compared with, each for one layer. Three know nothing of the future, two know all of it.

import type { ExpertUse } from "../../src/backend/experts.ts";
import { randomFrom } from "../../src/engine/random.ts";
import type { Policy } from "../../src/experts/layer_cache.ts";

/**
 * Admits everybody, as a GPU must that computes all experts itself. Whoever is used in this step stays, where a slot is left
 * without them: the whole step is computed from the slots.
 */
abstract class Demand implements Policy {
  #inUse: ReadonlySet<number> = new Set();

  step(use: readonly ExpertUse[]): void {
    this.#inUse = new Set(use.map(({ expert }) => expert));
    this.seen(use);
  }

  replaces(_missing: number, residents: readonly number[]): number {
    const free = residents.filter((expert) => !this.#inUse.has(expert));
    return this.choose(free.length > 0 ? free : residents);
  }

  protected abstract seen(use: readonly ExpertUse[]): void;
  /** Which of these goes. */
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

/** Least recently used goes; of those of one step, the first. */
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

/** Used by the fewest tokens so far goes. */
export class Lfu extends Demand {
  readonly #tokens = new Map<number, number>();

  protected seen(use: readonly ExpertUse[]): void {
    for (const { expert, tokens } of use) this.#tokens.set(expert, (this.#tokens.get(expert) ?? 0) + tokens);
  }

  protected choose(candidates: readonly number[]): number {
    return least(candidates, (expert) => this.#tokens.get(expert) ?? 0);
  }
}

/** Nobody comes or goes: for slots that are full from the start. */
export class Static implements Policy {
  step(): void {}

  replaces(): null {
    return null;
  }
}

/** For each step of a layer and each expert, the next step after it that uses the expert; Infinity for none. */
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

/** Whose next use is furthest away goes: of all that admit everybody, none hits more (Belady 1966). */
export class Belady extends Demand {
  readonly #future: Future;

  /** @param steps the layer's steps, all that will come */
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

/** The same, but whoever is needed later than all residents does not come in: nothing hits more. */
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

/** The first of those for whom `rank` is least. */
function least(experts: readonly number[], rank: (expert: number) => number): number {
  let best = experts[0]!;
  for (const expert of experts) if (rank(expert) < rank(best)) best = expert;
  return best;
}
