// One shared WebAssembly memory with the kernels bound to it, by module. Allocates addresses and
// grows on demand.

import { MemoryError, RequestError } from "../../errors.ts";
import { isWide } from "./instruction_set.ts";

/**
 * A kernel: units [from, to) of its work, the thread that computes them, then its own arguments.
 */
export type Kernel = (from: number, to: number, thread: number, ...args: readonly number[]) => void;

/** The exports of kernels/*.simd.ts. */
export type Kernels = Readonly<Record<string, Kernel>> & {
  readonly scratchEnd: () => number;
  readonly wideAt: () => number;
  readonly maxThreads: () => number;
  readonly quantizedBytes: (groups: number) => number;
  readonly attentionScratch: (
    blockSize: number,
    heads: number,
    kvHeads: number,
    headDim: number,
    valueDim: number,
    kind: number,
  ) => number;
};

/** The kernels of a module, bound to a heap's memory: a job runs one of them. */
export interface BoundKernels {
  readonly heap: Heap;
  /** The module's number in the pool; 0 has the kernels without a format. */
  readonly module: number;
  readonly kernels: Kernels;
}

const PAGE = 65536;
/** Pages of the largest WebAssembly memory: 4 GiB. */
const MAX_PAGES = 65536;
/** The smallest useful heap: 256 MiB. */
const MIN_PAGES = 4096;
/** Pages that hold the threads' scratch and the spare one. */
const SCRATCH_PAGES = 16;
/** Never allocated, so that no address is 2^32. */
const SPARE_PAGES = 1;
/** Bytes that one heap can allocate: all but that and the threads' scratch. */
export const HEAP_BYTES = (MAX_PAGES - SCRATCH_PAGES) * PAGE;
/** The smallest growth: each one stops all threads for a moment. */
const STEP_PAGES = 64;
/** The size of the buffer that tells V8 of a closed heap. */
const MAX_HINT_BYTES = 2 ** 30;
/** Cache lines and vectors: every address is a multiple of it. */
const ALIGN = 64;

/** A heap is also the kernels of module 0, bound to it. */
export class Heap implements BoundKernels {
  readonly module = 0;
  #memory: WebAssembly.Memory | null;
  /** By the module's number. */
  #kernels: (Kernels | undefined)[];
  readonly #maxPages: number;
  #end: number; // of all allocations so far
  #used = 0;
  #free: { at: number; bytes: number }[] = [];
  #bytes = new Uint8Array(0);
  #floats = new Float32Array(0);
  #words = new Uint32Array(0);

  private constructor(memory: WebAssembly.Memory, kernels: Kernels, maxPages: number) {
    this.#maxPages = maxPages;
    this.#memory = memory;
    this.#kernels = [kernels];
    this.#end = kernels.scratchEnd();
    this.#view();
  }

  /** @throws MemoryError if the platform has no address space left */
  static async create(module: WebAssembly.Module): Promise<Heap> {
    // Reserves address space for the largest size; with less of it, the heap is smaller.
    for (let maximum = MAX_PAGES; ; maximum /= 2) {
      try {
        const memory = new WebAssembly.Memory({ initial: SCRATCH_PAGES, maximum, shared: true });
        const { exports } = await WebAssembly.instantiate(module, { env: { memory } });
        const kernels = exports as unknown as Kernels;
        new Uint32Array(memory.buffer, kernels.wideAt(), 1)[0] = Number(isWide());
        return new Heap(memory, kernels, maximum);
      } catch (error) {
        if (maximum > MIN_PAGES) continue;
        throw new MemoryError(
          `CPU backend: no shared memory of ${(maximum * PAGE) / 2 ** 20} MiB could be reserved (${(error as Error).message}); close other models, or raise the limit on address space (ulimit -v)`,
        );
      }
    }
  }

  get memory(): WebAssembly.Memory {
    return this.#memory ?? closed();
  }

  get heap(): Heap {
    return this;
  }

  get kernels(): Kernels {
    return this.#kernelsOf(0);
  }

  #kernelsOf(number: number): Kernels {
    return this.#kernels[number] ?? closed();
  }

  /** Binds the kernels of another module, with its number in the pool. */
  async bind(module: WebAssembly.Module, number: number): Promise<BoundKernels> {
    const { exports } = await WebAssembly.instantiate(module, { env: { memory: this.memory } });
    if (this.#memory !== null) this.#kernels[number] = exports as unknown as Kernels;
    const kernelsOf = (): Kernels => this.#kernelsOf(number);
    return {
      heap: this,
      module: number,
      get kernels() {
        return kernelsOf();
      },
    };
  }

  /** Releases the memory even if the heap is still referenced, for example by a closed model. */
  close(): void {
    // V8 does not count shared memories for garbage collection, so a process that opens
    // models one after the other would keep all of them. It does count an ordinary buffer,
    // which is dropped unused.
    try {
      new ArrayBuffer(Math.min(this.#bytes.length, MAX_HINT_BYTES));
    } catch {
      // No room for it: V8 is under pressure anyway.
    }
    this.#memory = null;
    this.#kernels = [];
    this.#bytes = new Uint8Array(0);
    this.#floats = new Float32Array(0);
    this.#words = new Uint32Array(0);
  }

  /** Allocated bytes. */
  get used(): number {
    return this.#used;
  }

  get #limit(): number {
    return (this.#maxPages - SPARE_PAGES) * PAGE;
  }

  /** Whether `bytes` more can be allocated. */
  fits(bytes: number): boolean {
    return this.#end + align(bytes) <= this.#limit;
  }

  /** Size of the memory in pages of 64 KiB. */
  get pages(): number {
    return this.#bytes.length / PAGE;
  }

  // Views of the current memory. They are replaced when it grows, so get them
  // again after allocate().
  get bytes(): Uint8Array<ArrayBufferLike> {
    return this.#bytes;
  }
  get floats(): Float32Array<ArrayBufferLike> {
    return this.#floats;
  }
  get words(): Uint32Array<ArrayBufferLike> {
    return this.#words;
  }

  /**
   * The address of `bytes` bytes, a multiple of 64. Contents are undefined.
   * @param what for the message
   * @throws MemoryError
   */
  allocate(bytes: number, what: string): number {
    const size = align(bytes);
    const hole = this.#free.findIndex((block) => block.bytes >= size);
    if (hole >= 0) {
      const block = this.#free[hole]!;
      const { at } = block;
      block.at += size;
      block.bytes -= size;
      if (block.bytes === 0) this.#free.splice(hole, 1);
      this.#used += size;
      return at;
    }
    const at = this.#end;
    if (at + size > this.#limit)
      throw refused(what, bytes, `one memory holds at most ${this.#limit} bytes here, ${this.#used} are in use`);
    this.#grow(at + size, what, bytes);
    this.#end += size;
    this.#used += size;
    return at;
  }

  /** Frees an allocation; `bytes` must be its size. */
  free(at: number, bytes: number): void {
    const size = align(bytes);
    this.#used -= size;
    if (at + size === this.#end) this.#end = at;
    else this.#free.push({ at, bytes: size });
  }

  #grow(end: number, what: string, bytes: number): void {
    const present = this.pages;
    const missing = Math.ceil(end / PAGE) - present;
    if (missing <= 0) return;
    try {
      this.memory.grow(Math.min(Math.max(missing, STEP_PAGES), this.#maxPages - present));
    } catch (error) {
      throw refused(what, bytes, (error as Error).message);
    }
    this.#view();
  }

  #view(): void {
    this.#bytes = new Uint8Array(this.memory.buffer);
    this.#floats = new Float32Array(this.memory.buffer);
    this.#words = new Uint32Array(this.memory.buffer);
  }
}

function closed(): never {
  throw new RequestError("The CPU backend is closed; open the model again");
}

function align(bytes: number): number {
  return Math.ceil(bytes / ALIGN) * ALIGN;
}

function refused(what: string, bytes: number, why: string): MemoryError {
  return new MemoryError(
    `${what}: ${bytes} bytes could not be allocated (${why}); free memory, choose a smaller precision, a shorter context or a smaller chunk`,
  );
}
