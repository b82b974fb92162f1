// The threads that kernels run on: the caller's own, and workers that are woken through shared memory.

import { DeviceError } from "../../errors.ts";
import {
  ACTIVE,
  type Control,
  controlOf,
  FAILED,
  HEAP,
  JOB,
  JOBS,
  type Job,
  KERNEL,
  MAIL,
  MAX_ARGS,
  MODULE,
  NEXT,
  PAGES,
  PIECE,
  SLEEPERS,
  takePiece,
  takePieces,
  UNITS,
} from "./control.ts";
import type { BoundKernels, Heap } from "./heap.ts";
import type { WorkerMessage } from "./worker.ts";

/** A worker as the platform starts it (node_threads.ts, web_threads.ts). */
export interface PoolWorker {
  post(message: WorkerMessage): void;
  /** `ended` is called with the reason when the worker fails or ends; `started`: false where it never ran. */
  onEnd(ended: (reason: string, started?: boolean) => void): void;
  stop(): void;
}

/** Pieces a thread would take of an even job: more even out what threads lose to other programs. */
const PIECES = 8;
/** Looks at ACTIVE before the caller sleeps. */
const SPINS = 20_000;
/** A piece takes milliseconds, also where the machine swaps. */
const PATIENCE_MS = 30_000;
/** The length of one wait for a worker. */
const WAIT_MS = 100;

export class Pool {
  /** Threads that were to be, the caller's included. */
  readonly threads: number;
  readonly #control: Control | null;
  readonly #workers: PoolWorker[] = [];
  readonly #heaps: Heap[] = [];
  /** The modules that jobs may be in, by number. */
  readonly #modules: WebAssembly.Module[];
  readonly #patienceMs: number;
  readonly #fewer: boolean;
  #missing = 0;
  #failure: string | null = null;
  /** Finishes the job that is open while its caller does something else. */
  #present: (() => void) | null = null;
  #closed = false;

  /**
   * @param threads that compute, the caller's included
   * @param start starts a worker; null where there is no shared memory between threads: then there is one thread
   * @param patienceMs how long a worker may hold a closed job before it is given up
   * @param fewer goes on without a worker that could not be started
   */
  constructor(
    module: WebAssembly.Module,
    home: Heap,
    threads: number,
    start: (() => PoolWorker) | null,
    patienceMs = PATIENCE_MS,
    fewer = false,
  ) {
    this.#fewer = fewer;
    this.#modules = [module];
    this.#patienceMs = patienceMs;
    this.#heaps.push(home);
    this.threads = start === null ? 1 : Math.min(threads, home.kernels.maxThreads());
    this.#control = this.threads > 1 ? controlOf() : null;
    for (let thread = 1; thread < this.threads; thread++) this.#start(start!(), thread);
    if (this.#control) Atomics.store(this.#control.state, MAIL, 1);
  }

  /** Threads that compute, without those that could not be started. */
  get running(): number {
    return this.threads - this.#missing;
  }

  #start(worker: PoolWorker, thread: number): void {
    worker.onEnd((reason, started = true) => {
      if (!started && this.#fewer)
        this.#missing++; // jobs are taken by those who are there
      else if (!this.#closed)
        this.#failure ??= `thread ${thread} of the CPU backend failed: ${reason}; open the model again`;
    });
    worker.post({
      control: this.#control!.buffer,
      thread,
      module: this.#modules[0]!,
      memory: this.#heaps[0]!.memory,
    });
    this.#workers.push(worker);
  }

  /** Lets jobs run in another heap. */
  add(heap: Heap): void {
    this.#heaps.push(heap);
    this.#post({ memory: heap.memory });
  }

  /** Lets jobs run kernels of another module. Returns its number. */
  addModule(module: WebAssembly.Module): number {
    this.#post({ module });
    return this.#modules.push(module) - 1;
  }

  #post(message: WorkerMessage): void {
    if (!this.#control) return;
    for (const worker of this.#workers) worker.post(message);
    const { state } = this.#control;
    Atomics.add(state, MAIL, 1);
    Atomics.notify(state, JOB);
  }

  /**
   * Runs units [0, units) of a kernel on all threads and returns when they are done. Threads take multiples of `grain`
   * units; work of no more than that stays on the calling thread, which is sooner done than the others are told.
   * @throws DeviceError if a thread has failed
   */
  run(job: Job, bound: BoundKernels, units: number, grain: number, ...args: readonly number[]): void {
    this.#check();
    const control = this.#control;
    if (control === null || units <= grain) {
      bound.kernels[job]!(0, units, 0, ...args);
      return;
    }
    this.#begin(control, job, bound, units, this.piece(units, grain), args);
    try {
      takePieces(control, bound.kernels, 0);
    } finally {
      this.#end(control);
    }
  }

  /** Units that a thread takes at a time of so many, in multiples of `grain`. */
  piece(units: number, grain: number): number {
    return grain * Math.ceil(units / (this.threads * PIECES * grain));
  }

  /**
   * The same in pieces of `piece` units: yields after each that the calling thread has computed. The others go on meanwhile.
   * Leaving the iteration ends the job: pieces that nobody has begun are not computed.
   */
  *pieces(job: Job, bound: BoundKernels, units: number, piece: number, args: readonly number[]): Generator<void> {
    this.#check();
    const control = this.#control;
    if (control === null) {
      for (let from = 0; from < units; from += piece) {
        bound.kernels[job]!(from, Math.min(units, from + piece), 0, ...args);
        yield;
      }
      return;
    }
    this.#begin(control, job, bound, units, piece, args);
    let open = true;
    const end = (): void => {
      if (!open) return;
      open = false;
      this.#present = null;
      this.#end(control);
    };
    // Another job may come while this one is open.
    this.#present = () => {
      try {
        takePieces(control, bound.kernels, 0);
      } finally {
        end();
      }
    };
    try {
      while (open && takePiece(control, bound.kernels, 0)) yield;
    } finally {
      if (open) Atomics.store(control.state, NEXT, units);
      end();
    }
  }

  #check(): void {
    this.#present?.();
    if (this.#failure !== null) throw new DeviceError(this.#failure);
  }

  /** Opens a job: workers take pieces of it from now on. */
  #begin(
    control: Control,
    job: Job,
    { heap, module }: BoundKernels,
    units: number,
    piece: number,
    args: readonly number[],
  ): void {
    const { state } = control;
    state[KERNEL] = JOBS.indexOf(job);
    state[HEAP] = this.#heaps.indexOf(heap);
    state[PAGES] = heap.pages;
    state[MODULE] = module;
    state[UNITS] = units;
    state[PIECE] = piece;
    for (let i = 0; i < MAX_ARGS; i++) control.args[i] = args[i] ?? 0;
    Atomics.store(state, NEXT, 0);
    Atomics.add(state, JOB, 1);
    if (Atomics.load(state, SLEEPERS) > 0) Atomics.notify(state, JOB);
  }

  /** Closes the job, and waits for those who are still in it. */
  #end({ state }: Control): void {
    Atomics.add(state, JOB, 1);
    this.#join(state);
    if (Atomics.load(state, FAILED) !== 0) {
      this.#failure ??= "a thread of the CPU backend failed in a kernel; open the model again";
      throw new DeviceError(this.#failure);
    }
  }

  /** Jobs are about to come: whoever sleeps had better be awake by then. */
  wake(): void {
    if (this.#control && Atomics.load(this.#control.state, SLEEPERS) > 0) Atomics.notify(this.#control.state, JOB);
  }

  /** Waits until no worker holds the closed job. */
  #join(state: Int32Array): void {
    for (let spins = 0; spins < SPINS; spins++) if (Atomics.load(state, ACTIVE) === 0) return;
    for (let waited = 0; waited < this.#patienceMs; ) {
      const active = Atomics.load(state, ACTIVE);
      if (active === 0) return;
      waited += wait(state, active);
    }
    this.#failure = `a thread of the CPU backend has stopped in the middle of its work (no answer for ${this.#patienceMs / 1000} s); open the model again`;
    throw new DeviceError(this.#failure);
  }

  close(): void {
    this.#closed = true;
    this.#present?.();
    if (this.#control && this.#workers.length > 0) {
      // Out of the loop, awake or asleep (JOB changes, and stays even): a page kills a worker that does not come back to its
      // events only after two seconds, and until then it holds all memories.
      const { state } = this.#control;
      Atomics.add(state, MAIL, 1);
      Atomics.add(state, JOB, 2);
      Atomics.notify(state, JOB);
    }
    for (const worker of this.#workers) worker.stop();
    this.#workers.length = 0;
  }
}

/** Waits until ACTIVE is no longer `active`, WAIT_MS at most. Returns how long, in milliseconds. */
function wait(state: Int32Array, active: number): number {
  const started = performance.now();
  try {
    if (Atomics.wait(state, ACTIVE, active, WAIT_MS) === "timed-out") return WAIT_MS;
  } catch {
    // The main thread of a page may not sleep.
    while (Atomics.load(state, ACTIVE) === active && performance.now() - started < WAIT_MS);
  }
  return Math.min(WAIT_MS, performance.now() - started);
}
