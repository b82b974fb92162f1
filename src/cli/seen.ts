// A set of texts that takes 24 to 48 bytes of memory a text, however long it is: it keeps digests.

import { createHash } from "node:crypto";

/** Words of 32 bits kept of each digest: too many for two of a trillion texts to be mistaken. */
const WORDS = 3;

export class Seen {
  #table = new Uint32Array(1024 * WORDS);
  #size = 0;

  /** Adds a text; false if it was there already. */
  add(text: string): boolean {
    const digest = createHash("sha256").update(text).digest();
    // The first word is never 0, which marks a free place.
    const words = [digest.readUInt32LE(0) || 1, digest.readUInt32LE(4), digest.readUInt32LE(8)] as const;
    const at = placeOf(this.#table, words);
    if (this.#table[at] !== 0) return false;
    this.#table.set(words, at);
    if (++this.#size * 2 * WORDS > this.#table.length) this.#grow();
    return true;
  }

  #grow(): void {
    const old = this.#table;
    this.#table = new Uint32Array(old.length * 2);
    for (let at = 0; at < old.length; at += WORDS) {
      if (old[at] === 0) continue;
      const words = old.subarray(at, at + WORDS);
      this.#table.set(words, placeOf(this.#table, words));
    }
  }
}

/** Where a digest is in the table, or belongs. */
function placeOf(table: Uint32Array, words: ArrayLike<number>): number {
  const places = table.length / WORDS;
  for (let place = words[0]! % places; ; place = (place + 1) % places) {
    const at = place * WORDS;
    if (table[at] === 0 || (table[at] === words[0] && table[at + 1] === words[1] && table[at + 2] === words[2]))
      return at;
  }
}
