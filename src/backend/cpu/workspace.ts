// Named scratch memory in a heap: each name keeps its place from step to step and moves
// only to grow.

import type { Heap } from "./heap.ts";

export class Workspace {
  readonly #heap: Heap;
  readonly #places = new Map<string, { at: number; bytes: number }>();

  constructor(heap: Heap) {
    this.#heap = heap;
  }

  /**
   * Address of at least `bytes` bytes, the same for the same name until it grows;
   * contents are undefined.
   */
  at(name: string, bytes: number): number {
    const place = this.#places.get(name);
    if (place !== undefined && place.bytes >= bytes) return place.at;
    if (place !== undefined) this.#heap.free(place.at, place.bytes);
    this.#places.delete(name);
    const made = { at: this.#heap.allocate(bytes, `working memory "${name}"`), bytes };
    this.#places.set(name, made);
    return made.at;
  }
}
