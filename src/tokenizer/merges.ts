// The merges of a byte-pair tokenizer: an open-addressing table from a pair of ids to its
// rank and result.

export interface Merge {
  readonly left: number;
  readonly right: number;
  /** Merges of lower rank go first; of equal rank, the leftmost first. */
  readonly rank: number;
  readonly result: number;
}

/** Ranks stay below this, so that rank and position fit into one double in the queue of bpe.ts. */
export const MAX_RANK = 2 ** 22;

export class Merges {
  readonly rank: Int32Array;
  readonly result: Int32Array;
  readonly #left: Int32Array;
  readonly #right: Int32Array;
  readonly #mask: number;

  /** If a pair is given twice, the later one counts, as in the reference implementation. */
  constructor(merges: readonly Merge[]) {
    let capacity = 16;
    while (capacity < merges.length * 2) capacity *= 2;
    this.#mask = capacity - 1;
    this.#left = new Int32Array(capacity).fill(-1);
    this.#right = new Int32Array(capacity);
    this.rank = new Int32Array(capacity);
    this.result = new Int32Array(capacity);
    for (const merge of merges) {
      const slot = this.#probe(merge.left, merge.right);
      this.#left[slot] = merge.left;
      this.#right[slot] = merge.right;
      this.rank[slot] = merge.rank;
      this.result[slot] = merge.result;
    }
  }

  /** Index into `rank` and `result`, or -1 if the two do not merge. A negative id never merges. */
  find(left: number, right: number): number {
    if (left < 0 || right < 0) return -1;
    const slot = this.#probe(left, right);
    return this.#left[slot] === -1 ? -1 : slot;
  }

  #probe(left: number, right: number): number {
    let hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
    hash ^= hash >>> 15;
    let slot = hash & this.#mask;
    while (this.#left[slot] !== -1 && (this.#left[slot] !== left || this.#right[slot] !== right)) {
      slot = (slot + 1) & this.#mask;
    }
    return slot;
  }
}

/**
 * Every merge that a vocabulary implies: two pieces join if their concatenation is a piece, with
 * the rank of the result. This is how SentencePiece and tiktoken merge.
 * @param pieces the ids of pieces that may be joined, or be a result
 * @param rank the rank of a result, by id
 */
export function mergesOfVocabulary(pieces: ReadonlyMap<string, number>, rank: (id: number) => number): Merges {
  const merges: Merge[] = [];
  for (const [piece, result] of pieces) {
    for (let cut = 1; cut < piece.length; cut++) {
      const left = pieces.get(piece.slice(0, cut));
      if (left === undefined) continue;
      const right = pieces.get(piece.slice(cut));
      if (right !== undefined) merges.push({ left, right, rank: rank(result), result });
    }
  }
  return new Merges(merges);
}
