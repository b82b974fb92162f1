// Amounts of memory in its two places, and which models have to leave so that others fit a budget.

/** Bytes in RAM and on the GPU. */
export interface Memory {
  readonly ram: number;
  readonly gpu: number;
}

const NO_MEMORY: Memory = { ram: 0, gpu: 0 };

export function sumOf(amounts: readonly Memory[]): Memory {
  return amounts.reduce(plus, NO_MEMORY);
}

export function plus(a: Memory, b: Memory): Memory {
  return { ram: a.ram + b.ram, gpu: a.gpu + b.gpu };
}

function minus(a: Memory, b: Memory): Memory {
  return { ram: a.ram - b.ram, gpu: a.gpu - b.gpu };
}

export function fits(need: Memory, budget: Memory): boolean {
  return need.ram <= budget.ram && need.gpu <= budget.gpu;
}

/**
 * Where a model is: not in memory; on its way out of it; in memory and to stay for now; in memory
 * and free to leave once its answers end.
 */
export type Place = "out" | "leaving" | "fixed" | "movable";

/** A model as the plan sees it. */
export interface Item {
  readonly need: Memory;
  readonly place: Place;
}

export interface RoomPlan<T> {
  /** Models in memory that take no further requests and leave. */
  readonly leave: ReadonlySet<T>;
  /** Models whose loading begins now. */
  readonly load: readonly T[];
}

/**
 * Plans for the models that requests wait for, in their order. The first one that cannot be given
 * room, now or once answers end, holds up those behind it: otherwise a row of small models would
 * keep a large one out. One behind another is loaded first only into room that the other does not
 * need.
 * @param items all models, in the order in which movable ones should leave
 * @param waiting those of them with waiting requests, in order of arrival
 */
export function planRoom<T extends Item>(budget: Memory, items: readonly T[], waiting: readonly T[]): RoomPlan<T> {
  const kept = new Set(items.filter(({ place }) => place === "fixed" || place === "movable"));
  const answered = new Set<T>();
  const leave = new Set<T>();
  const load: T[] = [];
  let used = sumOf(items.filter(({ place }) => place !== "out").map(needOf));
  let claimed = NO_MEMORY;

  /** What leaves so that `need` fits beside what is kept and claimed; null: that is not enough. */
  function victimsFor(need: Memory): T[] | null {
    const chosen: T[] = [];
    let total = plus(plus(need, claimed), sumOf([...kept].map(needOf)));
    for (const item of items) {
      if (fits(total, budget)) break;
      if (item.place !== "movable" || !kept.has(item) || answered.has(item)) continue;
      chosen.push(item);
      total = minus(total, item.need);
    }
    if (!fits(total, budget)) return null;
    // A later one may be large enough by itself: earlier ones then stay.
    return chosen.reverse().filter(({ need: own }) => {
      const stays = fits(plus(total, own), budget);
      if (stays) total = plus(total, own);
      return !stays;
    });
  }

  for (const item of waiting) {
    if (kept.has(item)) {
      answered.add(item); // its requests get their answers before it leaves
      continue;
    }
    const victims = victimsFor(item.need);
    if (victims === null) break;
    for (const victim of victims) {
      kept.delete(victim);
      leave.add(victim);
    }
    if (item.place === "out" && fits(plus(used, item.need), budget)) {
      load.push(item);
      kept.add(item);
      used = plus(used, item.need);
    } else claimed = plus(claimed, item.need);
  }
  return { leave, load };
}

function needOf({ need }: Item): Memory {
  return need;
}
