// Plans where each missing expert of a layer's step is computed, and in which order, so that the
// layer ends soonest.
//
// Three resources work in parallel. The host's thread computes experts or copies records; the link
// transfers what was copied; the device computes what has arrived. Link and device work in the
// order of the copies.
//
//   host    [copy A][copy B][compute C          ]
//   link       [A          ][B          ]
//   device  [hits]          [A]          [B]         the layer ends with the last

/** The costs of one expert's record in ms. */
export interface CostModel {
  hostCompute(tokens: number): number;
  /** The host's thread hands a record over to the device. */
  readonly copy: number;
  /** Link time of a record when others are queued before it. */
  readonly link: number;
  /** From the end of the copy until the record is on the device, on an idle link. */
  readonly tail: number;
  deviceCompute(tokens: number): number;
}

export interface Miss {
  /** Rows of the step that use the expert. */
  readonly tokens: number;
  /** Milliseconds until its record is in RAM; 0: it is there. */
  readonly ready: number;
  /** Share of the record that is not on the device: 1, or less if it was prefetched. */
  readonly rest: number;
}

/** Milliseconds until link and device have finished earlier work. */
export interface Busy {
  readonly link: number;
  readonly device: number;
}

export type Where = "host" | "device";

export interface Choice {
  /** Index of the miss. */
  readonly miss: number;
  readonly where: Where;
}

export interface Plan {
  /** In the order of the host's thread. */
  readonly order: readonly Choice[];
  /** Milliseconds until all misses are computed. */
  readonly ms: number;
}

/** Up to this many misses are planned exactly, more greedily. */
export const EXACT = 8;
const ANYWHERE: readonly Where[] = ["host", "device"];

/** When host, link and device are free after the choices so far. */
interface Reached {
  readonly host: number;
  readonly link: number;
  readonly device: number;
  readonly choice: Choice | null;
  readonly before: Reached | null;
}

/** The plan that ends soonest; of equals, the one that frees the link first. */
export function plan(misses: readonly Miss[], costs: CostModel, busy: Busy, places: readonly Where[] = ANYWHERE): Plan {
  const start: Reached = { host: 0, link: busy.link, device: busy.device, choice: null, before: null };
  const good = greedy(misses, costs, start, places);
  return toPlan(misses.length > EXACT ? good : exact(misses, costs, start, places, good));
}

function take(from: Reached, misses: readonly Miss[], costs: CostModel, miss: number, where: Where): Reached {
  const { tokens, ready, rest } = misses[miss]!;
  const begin = Math.max(from.host, ready);
  const choice = { miss, where };
  if (where === "host") return { ...from, host: begin + costs.hostCompute(tokens), choice, before: from };
  const host = begin + rest * costs.copy;
  const link = Math.max(host + rest * costs.tail, from.link + rest * costs.link);
  return { host, link, device: Math.max(from.device, link) + costs.deviceCompute(tokens), choice, before: from };
}

function end({ host, device }: Reached): number {
  return Math.max(host, device);
}

function better(a: Reached, b: Reached): boolean {
  return end(a) < end(b) || (end(a) === end(b) && a.link < b.link);
}

/** For each number of uploads: uploads the misses with the most tokens, in order of readiness. */
function greedy(misses: readonly Miss[], costs: CostModel, start: Reached, places: readonly Where[]): Reached {
  const most = misses.map((_, i) => i).sort((a, b) => misses[b]!.tokens - misses[a]!.tokens);
  let best: Reached | null = null;
  for (let uploads = 0; uploads <= misses.length; uploads++) {
    if (uploads > 0 && !places.includes("device")) break;
    if (uploads < misses.length && !places.includes("host")) continue;
    const left = most.map((miss, i): Choice => ({ miss, where: i < uploads ? "device" : "host" }));
    let reached = start;
    while (left.length > 0) {
      const soonest = Math.min(...left.map(({ miss }) => misses[miss]!.ready));
      const now = Math.max(reached.host, soonest);
      const next = left.findIndex(({ miss }) => misses[miss]!.ready <= now);
      const [{ miss, where }] = left.splice(next, 1) as [Choice];
      reached = take(reached, misses, costs, miss, where);
    }
    if (best === null || better(reached, best)) best = reached;
  }
  return best ?? start;
}

/**
 * Searches all orders and places, level by level. Prunes states that free nothing sooner
 * than another state with the same misses done, and orders that take the later of two
 * equal misses first.
 */
function exact(
  misses: readonly Miss[],
  costs: CostModel,
  start: Reached,
  places: readonly Where[],
  good: Reached,
): Reached {
  const byReady = misses.map((_, i) => i).sort((a, b) => misses[a]!.ready - misses[b]!.ready);
  const twins = byReady.map((a, i) => byReady.findIndex((b, j) => j < i && equal(misses[a]!, misses[b]!)));
  /** States by the set of misses done: one bit for each, in the order of `byReady`. */
  let level = new Map<number, Reached[]>([[0, [start]]]);
  for (let done = 0; done < misses.length; done++) {
    const next = new Map<number, Reached[]>();
    for (const [set, ways] of level) {
      for (const [bit, miss] of byReady.entries()) {
        if (set & (1 << bit) || equalBefore(set, bit, twins)) continue;
        for (const from of ways) {
          for (const where of places) {
            const reached = take(from, misses, costs, miss, where);
            if (end(reached) > end(good)) continue;
            keep(next, set | (1 << bit), reached);
          }
        }
      }
    }
    level = next;
  }
  let best = good;
  for (const ways of level.values()) for (const way of ways) if (better(way, best)) best = way;
  return best;
}

function equal(a: Miss, b: Miss): boolean {
  return a.tokens === b.tokens && a.rest === b.rest;
}

/** Whether an equal miss that is ready sooner is not done yet. */
function equalBefore(set: number, bit: number, twins: readonly number[]): boolean {
  // `twins` holds the first of a group of equal misses; members of a group have the same first.
  const first = twins[bit]!;
  if (first < 0) return false;
  for (let other = first; other < bit; other++) {
    if ((other === first || twins[other] === first) && !(set & (1 << other))) return true;
  }
  return false;
}

/** Adds a state unless another dominates it; removes the states that it dominates. */
function keep(level: Map<number, Reached[]>, set: number, way: Reached): void {
  const ways = level.get(set);
  if (!ways) {
    level.set(set, [way]);
    return;
  }
  if (ways.some((other) => noLater(other, way))) return;
  const kept = ways.filter((other) => !noLater(way, other));
  kept.push(way);
  level.set(set, kept);
}

function noLater(a: Reached, b: Reached): boolean {
  return a.host <= b.host && a.link <= b.link && a.device <= b.device;
}

function toPlan(reached: Reached): Plan {
  const order: Choice[] = [];
  for (let at: Reached | null = reached; at?.choice; at = at.before) order.push(at.choice);
  return { order: order.reverse(), ms: end(reached) };
}
