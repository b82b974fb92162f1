// The threads of the kernels: the caller's own, and workers that are woken through shared memory.

import { DeviceError } from "../../errors.ts";
import {
  ACTIVE,
  BACKWARD,
  type Control,
  controlOf,
  FAILED,
  HEAP,
  JOB,
  JOBS,
  type Job,
  KERNEL,
  MAIL,
  MODULE,
  NEXT,
  PAGES,
  PIECE,
  READING,
  SLEEPERS,
  takePieces,
  UNITS,
} from "./control.ts";
import type { BoundKernels, Heap } from "./heap.ts";
import type { WorkerMessage } from "./worker.ts";

/** A worker of the platform (node_threads.ts, web_threads.ts). */
export interface PoolWorker {
  post(message: WorkerMessage): void;
  /**
   * Calls `ended` with the reason when the worker fails or ends; `started` is false if
   * it never ran.
   */
  onEnd(ended: (reason: string, started?: boolean) => void): void;
  stop(): void;
}

/** Jobs of weights that are being loaded. */
const LOADING: ReadonlySet<Job> = new Set(["split", "pack", "weave"]);
/** Pieces for each thread of an even job: several balance what threads lose to other programs. */
const PIECES = 8;
/** Checks of ACTIVE before the caller sleeps. */
const SPINS = 20_000;
/**
 * How long a worker may hold a closed job: a piece takes milliseconds, longer on a
 * machine that swaps.
 */
const PATIENCE_MS = 30_000;
/** The length of one wait for a worker. */
const WAIT_MS = 100;

export class Pool {
  /** The requested threads, including the caller's. */
  readonly threads: number;
  readonly #control: Control | null;
  readonly #workers: PoolWorker[] = [];
  readonly #heaps: Heap[] = [];
  /** The modules of jobs, by number. */
  readonly #modules: WebAssembly.Module[];
  readonly #patienceMs: number;
  readonly #fewer: boolean;
  #missing = 0;
  #failure: string | null = null;
  /** Finishes the open job while its caller does something else. */
  #present: (() => void) | null = null;
  #closed = false;

  /**
   * @param threads including the caller's
   * @param start starts a worker; null without shared memory: then there is one thread
   * @param patienceMs how long a worker may hold a closed job before it counts as failed
   * @param fewer continues without a worker that could not be started
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

  /** The running threads. */
  get running(): number {
    return this.threads - this.#missing;
  }

  #start(worker: PoolWorker, thread: number): void {
    worker.onEnd((reason, started = true) => {
      if (!started && this.#fewer)
        this.#missing++; // the other threads take its jobs
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

  /** Registers a heap for jobs. */
  add(heap: Heap): void {
    this.#heaps.push(heap);
    this.#post({ memory: heap.memory });
  }

  /** Registers a module for jobs and returns its number. */
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
   * Runs units [0, units) of a kernel on all threads and returns when they are done. Threads take
   * multiples of `grain` units. Work up to that size stays on the calling thread: waking others
   * takes longer.
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

  /** Units of a piece, a multiple of `grain`. */
  piece(units: number, grain: number): number {
    return grain * Math.ceil(units / (this.threads * PIECES * grain));
  }

  /**
   * The same in pieces of `piece` units: yields after each piece of the calling thread,
   * while the others continue. Leaving the iteration ends the job: pieces that were not
   * started are not computed.
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
    // Another job may start while this one is open.
    this.#present = () => {
      try {
        takePieces(control, bound.kernels, 0);
      } finally {
        end();
      }
    };
    try {
      while (open && takePieces(control, bound.kernels, 0, 1)) yield;
    } finally {
      if (open) Atomics.store(control.state, NEXT, units);
      end();
    }
  }

  #check(): void {
    this.#present?.();
    if (this.#failure !== null) throw new DeviceError(this.#failure);
  }

  /** Opens a job: workers now take pieces of it. */
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
    state[READING] = LOADING.has(job) ? 1 : 0;
    // A prompt's last tokens see the most positions: what takes longest is begun first, so that no
    // thread waits for it at the end.
    state[BACKWARD] = job === "attention" ? 1 : 0;
    control.args.set(args); // kernels ignore what an earlier job has left behind them
    Atomics.store(state, NEXT, 0);
    Atomics.add(state, JOB, 1);
    if (Atomics.load(state, SLEEPERS) > 0) Atomics.notify(state, JOB);
  }

  /** Closes the job, and waits for the workers that are still in it. */
  #end({ state }: Control): void {
    Atomics.add(state, JOB, 1);
    this.#join(state);
    if (Atomics.load(state, FAILED) !== 0) {
      this.#failure ??= "a thread of the CPU backend failed in a kernel; open the model again";
      throw new DeviceError(this.#failure);
    }
  }

  /** Wakes sleeping workers, because jobs will follow soon. */
  wake(): void {
    if (this.#control && Atomics.load(this.#control.state, SLEEPERS) > 0) Atomics.notify(this.#control.state, JOB);
  }

  /** Waits until no worker holds the closed job. */
  #join(state: Int32Array): void {
    if (spin(state)) return;
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
      // Makes workers leave the loop, awake or asleep (JOB changes, and stays even): a page
      // terminates a worker that does not return to its events only after two seconds, and until
      // then it keeps all memories.
      const { state } = this.#control;
      Atomics.add(state, MAIL, 1);
      Atomics.add(state, JOB, 2);
      Atomics.notify(state, JOB);
    }
    for (const worker of this.#workers) worker.stop();
    this.#workers.length = 0;
  }
}

/** Looks at ACTIVE until it is 0; false if that takes too long. By itself: it is hot at once. */
function spin(state: Int32Array): boolean {
  for (let spins = 0; spins < SPINS; spins++) if (Atomics.load(state, ACTIVE) === 0) return true;
  return false;
}

/**
 * Waits at most WAIT_MS until ACTIVE is no longer `active`. Returns the milliseconds that passed.
 */
function wait(state: Int32Array, active: number): number {
  const started = performance.now();
  try {
    if (Atomics.wait(state, ACTIVE, active, WAIT_MS) === "timed-out") return WAIT_MS;
  } catch {
    // A page's main thread must not sleep.
    while (Atomics.load(state, ACTIVE) === active && performance.now() - started < WAIT_MS);
  }
  return Math.min(WAIT_MS, performance.now() - started);
}
