// The heaps of a model: home, with a step's values and some weights, and further heaps
// for the rest.

import type { Format } from "../../tensor/format.ts";
import { type BoundKernels, HEAP_BYTES, Heap } from "./heap.ts";
import type { KernelModules } from "./modules.ts";
import type { Pool } from "./pool.ts";
import { Workspace } from "./workspace.ts";

/** Limits in bytes; tests use smaller ones. */
export interface HeapLimits {
  /** Weights in the home heap; the rest of it is for values of steps and cached keys. */
  readonly homeWeights: number;
  /**
   * Weights in a further heap, which keeps room for copies of a step's values and for
   * rows being loaded.
   */
  readonly weights: number;
  /**
   * Keys and values of the longest sequence, in the home heap and in one of their own; others need
   * room too.
   */
  readonly homeKv: number;
  readonly kv: number;
  /** Unused bytes at the start of each heap. */
  readonly skip: number;
  /** Shares even the smallest work among all threads. */
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

/** The most heaps that so many bytes are spread over. */
export function heapsFor(bytes: number): number {
  return 1 + Math.ceil(Math.max(0, bytes - LIMITS.homeWeights) / LIMITS.weights);
}

export class SimdHeaps {
  readonly pool: Pool;
  readonly limits: HeapLimits;
  readonly #modules: KernelModules;
  /** Module numbers in the pool of the formats in use, by name. */
  readonly #formats = new Map<string, Promise<{ readonly module: WebAssembly.Module; readonly number: number }>>();
  readonly #kernels = new Map<Heap, Map<string, BoundKernels>>();
  readonly #home: Heap;
  readonly #weights: Heap[];
  readonly #workspaces = new Map<Heap, Workspace>();

  /** @param limits for tests */
  constructor(modules: KernelModules, home: Heap, pool: Pool, limits?: Partial<HeapLimits>) {
    this.limits = { ...LIMITS, ...limits };
    this.pool = pool;
    this.#modules = modules;
    this.#home = home;
    this.#weights = [home];
    this.#take(home);
  }

  /** Allocated bytes in all heaps. */
  get used(): number {
    let sum = 0;
    for (const heap of this.#workspaces.keys()) sum += heap.used;
    return sum;
  }

  close(): void {
    for (const heap of this.#workspaces.keys()) heap.close();
  }

  /** A heap's scratch memory. */
  workspace(heap: Heap): Workspace {
    return this.#workspaces.get(heap)!;
  }

  /** Binds a format's kernels to a heap, and to home, where their inputs are prepared. */
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

  /** The kernels of a format, after prepare() with this heap. */
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

  /** A heap for cached keys: home if they are few, else one of their own. */
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
    this.#workspaces.set(heap, new Workspace(heap));
    this.#kernels.set(heap, new Map());
  }
}
