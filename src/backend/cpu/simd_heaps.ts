// The heaps of a model: home, which holds a step's values and what weights fit beside them, and further ones for the rest.

import type { Format } from "../../tensor/format.ts";
import { type BoundKernels, HEAP_BYTES, Heap } from "./heap.ts";
import type { KernelModules } from "./modules.ts";
import type { Pool } from "./pool.ts";
import { Slots } from "./slots.ts";

/** How much goes where, in bytes; tests want less in one place than there is room for. */
export interface HeapLimits {
  /** Weights in the home heap: the rest of it is for values of steps and for cached keys. */
  readonly homeWeights: number;
  /** Weights in a further heap, which keeps room for copies of a step's values and for rows on their way in. */
  readonly weights: number;
  /** Keys and values of the longest sequence, in the home heap and in one of their own: other sequences come beside it. */
  readonly homeKv: number;
  readonly kv: number;
  /** What each heap leaves unused at its start. */
  readonly skip: number;
  /** Also the smallest work is shared by all threads. */
  readonly shareAll: boolean;
}

const LIMITS: HeapLimits = {
  homeWeights: 1.5 * 2 ** 30,
  weights: HEAP_BYTES - 256 * 2 ** 20,
  homeKv: 0.75 * 2 ** 30,
  kv: 1.5 * 2 ** 30,
  skip: 0,
  shareAll: false,
};

export class SimdHeaps {
  readonly pool: Pool;
  readonly limits: HeapLimits;
  readonly #modules: KernelModules;
  /** The formats in use, by name: the number of their module in the pool. */
  readonly #formats = new Map<string, Promise<{ readonly module: WebAssembly.Module; readonly number: number }>>();
  readonly #kernels = new Map<Heap, Map<string, BoundKernels>>();
  readonly #home: Heap;
  readonly #weights: Heap[];
  readonly #slots = new Map<Heap, Slots>();

  /** `limits`: other ones than the default, for tests. */
  constructor(modules: KernelModules, home: Heap, pool: Pool, limits?: Partial<HeapLimits>) {
    this.limits = { ...LIMITS, ...limits };
    this.pool = pool;
    this.#modules = modules;
    this.#home = home;
    this.#weights = [home];
    this.#take(home);
  }

  /** Bytes handed out in all heaps. */
  get used(): number {
    let sum = 0;
    for (const heap of this.#slots.keys()) sum += heap.used;
    return sum;
  }

  close(): void {
    for (const heap of this.#slots.keys()) heap.close();
  }

  /** A heap's working storage. */
  slots(heap: Heap): Slots {
    return this.#slots.get(heap)!;
  }

  /** Makes a format's kernels ready in a heap, and in home, where inputs are made for them. */
  async prepare(format: Format, heap: Heap): Promise<void> {
    let made = this.#formats.get(format.name);
    if (!made) {
      made = this.#modules.of(format).then((module) => ({ module, number: this.pool.addModule(module) }));
      this.#formats.set(format.name, made);
      made.catch(() => this.#formats.delete(format.name));
    }
    const { module, number } = await made;
    for (const one of new Set([heap, this.#home])) {
      const bound = this.#kernels.get(one)!;
      if (!bound.has(format.name)) bound.set(format.name, await one.bind(module, number));
    }
  }

  /** The kernels of a format for which prepare() was called with this heap. */
  kernels(format: Format, heap: Heap): BoundKernels {
    return this.#kernels.get(heap)!.get(format.name)!;
  }

  /** A heap with room for `bytes` of weights. @throws MemoryError */
  async forWeights(bytes: number): Promise<Heap> {
    const last = this.#weights.at(-1)!;
    const limit = last === this.#home ? this.limits.homeWeights : this.limits.weights;
    if (last.used + bytes <= limit && last.fits(bytes)) return last;
    const heap = await this.#add();
    this.#weights.push(heap);
    return heap;
  }

  /** A heap for cached keys: home where they are few, one of their own where not. */
  async forKv(small: boolean): Promise<Heap> {
    return small ? this.#home : this.#add();
  }

  async #add(): Promise<Heap> {
    const heap = await Heap.create(await this.#modules.base());
    this.#take(heap);
    this.pool.add(heap);
    return heap;
  }

  #take(heap: Heap): void {
    if (this.limits.skip > 0) heap.allocate(this.limits.skip, "unused");
    this.#slots.set(heap, new Slots(heap));
    this.#kernels.set(heap, new Map());
  }
}
