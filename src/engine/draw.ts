// Draws a token from softmax(logits / temperature) after top-k, top-p and min-p.
//
// The order of the draw is part of what a seed means: first the RANKED (256) most likely tokens, by
// descending logit (equal ones by ascending id), then the others by id. A GPU knows that many and
// the total mass, and draws the same token (or reports that it cannot: ARCHITECTURE.md says how
// often). Here no more than those are sorted, unless top-k or the nucleus is larger.

import { RANKED } from "../backend/ops.ts";

export interface Filters {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
}

/**
 * @param logits [V], `max` is the largest of them, finite; -Infinity is banned. Overwritten.
 * @param random uniform in [0, 1)
 */
export function draw(logits: Float32Array, max: number, s: Filters, random: number): number {
  const ranked = largest(logits, s.topK > 0 ? s.topK : RANKED);
  // Unnormalized probabilities; the largest is 1.
  const first = ranked.map((id) => Math.exp((logits[id]! - max) / s.temperature));
  const belowMinP = first[first.length - 1]! < s.minP;
  if (s.topK > 0 || ranked.length < RANKED || (belowMinP && s.topP === 1)) {
    return drawFrom(ranked, first, sum(first), s, random);
  }
  const weights = logits; // from here on
  let total = 0;
  for (let id = 0; id < weights.length; id++) {
    weights[id] = Math.exp((logits[id]! - max) / s.temperature);
    total += weights[id]!;
  }
  if (s.topP < 1 && (belowMinP || sum(first) >= s.topP * total)) return drawFrom(ranked, first, total, s, random);
  for (const id of ranked) weights[id] = 0;
  if (s.topP === 1) return drawById(ranked, first, weights, s.minP, random);

  // No token below the tail is in the nucleus: all of them together have less mass than what it
  // leaves out.
  const tail = (total * (1 - s.topP)) / weights.length;
  const others = descending(weights, tail);
  return drawFrom([...ranked, ...others], [...first, ...others.map((id) => weights[id]!)], total, s, random);
}

/** Ids of the positive weights of at least `floor`, largest first, equal ones by ascending id. */
function descending(weights: Float32Array, floor: number): number[] {
  // One number for each, weight above id, because numbers sort many times faster without a compare
  // function. The 31 bits of positive f32 sort like their values, and leave 22 of the 53 exact bits
  // for the id.
  const bits = new Uint32Array(weights.buffer, weights.byteOffset, weights.length);
  const keys = new Float64Array(weights.length);
  let n = 0;
  for (let id = 0; id < weights.length; id++) {
    if (weights[id]! > 0 && weights[id]! >= floor) keys[n++] = bits[id]! * 2 ** 22 + (2 ** 22 - 1 - id);
  }
  return Array.from(keys.subarray(0, n).sort().reverse(), (key) => 2 ** 22 - 1 - (key % 2 ** 22));
}

/** Cuts a list of tokens, most likely first, by top-p of `total` and min-p, and draws one. */
function drawFrom(
  ids: readonly number[],
  weights: readonly number[],
  total: number,
  s: Filters,
  random: number,
): number {
  let n = ids.length;
  if (s.topP < 1) {
    let reached = weights[0]!;
    n = 1;
    while (n < ids.length && reached < s.topP * total) reached += weights[n++]!;
  }
  while (n > 1 && !(weights[n - 1]! > 0 && weights[n - 1]! >= s.minP)) n--;
  let left = random * sum(weights.slice(0, n));
  for (let rank = 0; rank < Math.min(n, RANKED); rank++) {
    left -= weights[rank]!;
    if (left < 0) return ids[rank]!;
  }
  if (n > RANKED) {
    // By id, each with its rank below it.
    const behind = Float64Array.from(ids.slice(RANKED, n), (id, i) => id * 2 ** 32 + RANKED + i).sort();
    for (const key of behind) {
      left -= weights[key % 2 ** 32]!;
      if (left < 0) return Math.floor(key / 2 ** 32);
    }
  }
  return ids[n - 1]!; // rounding: the draw fell on the very end
}

/**
 * Draws with min-p only. `weights` [V] has zeros for the ranked tokens, whose weights
 * are in `first`.
 */
function drawById(
  ranked: readonly number[],
  first: readonly number[],
  weights: Float32Array,
  minP: number,
  random: number,
): number {
  let mass = sum(first);
  for (let id = 0; id < weights.length; id++) if (weights[id]! >= minP) mass += weights[id]!;
  let left = random * mass;
  let last = 0;
  for (const [rank, id] of ranked.entries()) {
    left -= first[rank]!;
    last = id;
    if (left < 0) return id;
  }
  for (let id = 0; id < weights.length; id++) {
    if (weights[id] === 0 || weights[id]! < minP) continue;
    left -= weights[id]!;
    last = id;
    if (left < 0) return id;
  }
  return last;
}

function sum(weights: readonly number[]): number {
  return weights.reduce((total, weight) => total + weight, 0);
}

/**
 * Ids of the n largest values, largest first, equal ones by ascending id; -Infinity does not count.
 */
function largest(x: Float32Array, n: number): number[] {
  const heap: number[] = []; // the worst of those found so far on top
  const worse = (a: number, b: number): boolean => x[a]! < x[b]! || (x[a]! === x[b]! && a > b);
  const sink = (at: number): void => {
    const id = heap[at]!;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && worse(heap[child + 1]!, heap[child]!)) child++;
      if (!worse(heap[child]!, id)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = id;
  };
  let floor = Number.NEGATIVE_INFINITY;
  for (let id = 0; id < x.length; id++) {
    if (!(x[id]! > floor)) continue; // of equal values the earlier one, with the lower id, stays
    if (heap.length < n) {
      heap.push(id);
      if (heap.length === n) for (let at = (n >> 1) - 1; at >= 0; at--) sink(at);
    } else {
      heap[0] = id;
      sink(0);
    }
    if (heap.length === n) floor = x[heap[0]!]!;
  }
  return heap.sort((a, b) => x[b]! - x[a]! || a - b);
}
