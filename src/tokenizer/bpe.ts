// Byte-pair encoding of one word: a queue of merges, by rank and then from left to right, over a
// linked list of symbols.

import { SPACE_MARK } from "./characters.ts";
import type { TokenizerSpec } from "./types.ts";

/**
 * Positions of a word must stay below this: rank * POSITIONS + position is exact in a double (ranks
 * < 2^22).
 */
const POSITIONS = 2 ** 30;
const INNER_SPACE = /[^\u2581]\u2581/;
/** Scratch for up to so many symbols is kept between calls. */
const KEEP = 1 << 16;

type Vocabulary = Pick<TokenizerSpec, "ordinary" | "merges" | "byteIds" | "unkId" | "fuseUnk" | "wholeWords">;

/**
 * Encodes words of any length in O(n log n); the result equals the textbook loop that always
 * applies the merge of lowest rank, the leftmost of equals.
 */
export class Bpe {
  readonly #vocabulary: Vocabulary;
  /** The id of the piece that is a single character, by code point. */
  readonly #characters = new Map<number, number>();
  /**
   * Whether no merge crosses from a character to a "▁" after it, so that words may be cut there.
   */
  readonly #cutsAtSpace: boolean;
  #scratch = new Scratch(256);

  constructor(vocabulary: Vocabulary) {
    this.#vocabulary = vocabulary;
    let cutsAtSpace = vocabulary.ordinary.has(SPACE_MARK);
    for (const [piece, id] of vocabulary.ordinary) {
      // A merge across the cut would result in a piece with "▁" after another character.
      if (cutsAtSpace && INNER_SPACE.test(piece)) cutsAtSpace = false;
      const point = piece.codePointAt(0);
      if (point !== undefined && piece.length === (point > 0xffff ? 2 : 1)) this.#characters.set(point, id);
    }
    this.#cutsAtSpace = cutsAtSpace;
  }

  /** Appends the ids of `word` to `out`. */
  encode(word: string, out: number[]): void {
    if (this.#vocabulary.wholeWords) {
      const whole = this.#vocabulary.ordinary.get(word);
      if (whole !== undefined) {
        out.push(whole);
        return;
      }
    }
    for (let from = 0; from < word.length; ) {
      let to = this.#cutsAtSpace ? word.indexOf(SPACE_MARK, from + 1) : -1;
      while (to > 0 && word[to - 1] === SPACE_MARK) to = word.indexOf(SPACE_MARK, to + 1);
      if (to < 0) to = word.length;
      this.#encodePart(word.slice(from, to), out);
      from = to;
    }
  }

  #encodePart(word: string, out: number[]): void {
    const s = this.#scratch.capacity >= word.length ? this.#scratch : new Scratch(word.length);
    if (s.capacity <= KEEP) this.#scratch = s;
    const count = this.#read(word, s);
    this.#merge(count, s);
    this.#write(s, out);
  }

  /**
   * Fills `symbol` with ids, or -1 - code point for characters without a piece.
   * Returns their number.
   */
  #read(word: string, s: Scratch): number {
    let count = 0;
    for (let at = 0; at < word.length; ) {
      const point = word.codePointAt(at) as number;
      at += point > 0xffff ? 2 : 1;
      s.symbol[count] = this.#characters.get(point) ?? -1 - point;
      s.previous[count] = count - 1;
      s.next[count] = ++count;
    }
    if (count > 0) s.next[count - 1] = -1;
    return count;
  }

  #merge(count: number, s: Scratch): void {
    const { merges } = this.#vocabulary;
    const { symbol, previous, next, heap } = s;
    heap.length = 0;
    for (let at = 0; at + 1 < count; at++) {
      const found = merges.find(symbol[at]!, symbol[at + 1]!);
      if (found >= 0) heap.push(merges.rank[found]! * POSITIONS + at);
    }
    for (let i = (heap.length >> 1) - 1; i >= 0; i--) siftDown(heap, i);
    while (heap.length > 0) {
      const key = pop(heap);
      const at = key % POSITIONS;
      const right = next[at]!;
      // Entries stay in the heap when an earlier merge changes their pair: a symbol that was merged
      // away has next = GONE, and a changed pair has another rank (with the same rank it is due now
      // all the same).
      if (right < 0) continue;
      const found = merges.find(symbol[at]!, symbol[right]!);
      if (found < 0 || merges.rank[found] !== (key - at) / POSITIONS) continue;
      const after = next[right]!;
      symbol[at] = merges.result[found]!;
      next[at] = after;
      next[right] = GONE;
      if (after >= 0) {
        previous[after] = at;
        const right = merges.find(symbol[at]!, symbol[after]!);
        if (right >= 0) push(heap, merges.rank[right]! * POSITIONS + at);
      }
      const before = previous[at]!;
      if (before >= 0) {
        const left = merges.find(symbol[before]!, symbol[at]!);
        if (left >= 0) push(heap, merges.rank[left]! * POSITIONS + before);
      }
    }
    s.first = count > 0 ? 0 : -1;
  }

  #write(s: Scratch, out: number[]): void {
    const { byteIds, unkId, fuseUnk } = this.#vocabulary;
    let wasUnknown = false;
    for (let at = s.first; at >= 0; at = s.next[at]!) {
      const id = s.symbol[at]!;
      if (id >= 0) {
        out.push(id);
        wasUnknown = false;
      } else if (byteIds !== null) {
        for (const byte of new TextEncoder().encode(String.fromCodePoint(-1 - id))) out.push(byteIds[byte]!);
        wasUnknown = false;
      } else {
        if (unkId !== null && !(fuseUnk && wasUnknown)) out.push(unkId);
        wasUnknown = true;
      }
    }
  }
}

/** Marks a symbol in `next` that was merged into the one on its left. */
const GONE = -2;

/** Working memory for one word of at most `capacity` symbols. */
class Scratch {
  readonly capacity: number;
  readonly symbol: Int32Array;
  readonly previous: Int32Array;
  readonly next: Int32Array;
  /** Merges to try, a binary heap of rank * POSITIONS + position of the left symbol. */
  readonly heap: number[] = [];
  first = -1;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.symbol = new Int32Array(capacity);
    this.previous = new Int32Array(capacity);
    this.next = new Int32Array(capacity);
  }
}

function push(heap: number[], key: number): void {
  let i = heap.length;
  heap.push(key);
  while (i > 0) {
    const parent = (i - 1) >> 1;
    const other = heap[parent]!;
    if (other <= key) break;
    heap[i] = other;
    i = parent;
  }
  heap[i] = key;
}

function pop(heap: number[]): number {
  const least = heap[0]!;
  const last = heap.pop()!;
  if (heap.length > 0) {
    heap[0] = last;
    siftDown(heap, 0);
  }
  return least;
}

function siftDown(heap: number[], from: number): void {
  const key = heap[from]!;
  let i = from;
  for (;;) {
    let child = 2 * i + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && heap[child + 1]! < heap[child]!) child++;
    if (heap[child]! >= key) break;
    heap[i] = heap[child]!;
    i = child;
  }
  heap[i] = key;
}
