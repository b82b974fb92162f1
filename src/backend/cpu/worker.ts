// A thread of the pool: waits for a job, takes pieces of it, waits again. Runs in a worker of Node
// or a page.

import {
  ACTIVE,
  type Control,
  controlOf,
  FAILED,
  HEAP,
  JOB,
  MAIL,
  MODULE,
  PAGES,
  READING,
  SLEEPERS,
  takePieces,
} from "./control.ts";
import type { Kernels } from "./heap.ts";

/** The first message to a worker, then one for every further heap and for every further module. */
export type WorkerMessage =
  | {
      readonly control: SharedArrayBuffer;
      readonly thread: number;
      readonly module: WebAssembly.Module;
      readonly memory: WebAssembly.Memory;
    }
  | { readonly memory: WebAssembly.Memory }
  | { readonly module: WebAssembly.Module };

/**
 * How often a worker checks for the next job before it sleeps: about a millisecond, which covers
 * the gaps within a step and between decoding steps. Waking it takes about 50 us, as long as a
 * small model's job.
 */
const SPINS = 200_000;
/** The same between pieces of a file, each of which takes a disk milliseconds. */
const READING_SPINS = 2_000;

/** This thread's view of a heap: its memory may have grown since. */
interface WorkerHeap {
  readonly memory: WebAssembly.Memory;
  /** By the module's number; all but the first are bound on first use. */
  readonly kernels: Kernels[];
  pages: number;
}

/** Creates a worker's message handler. It returns when another message may be waiting. */
export function createWorker(report: (failure: string) => void): (message: WorkerMessage) => void {
  const heaps: WorkerHeap[] = [];
  let control: Control | null = null;
  const modules: WebAssembly.Module[] = [];
  let thread = 0;
  let read = 0;
  let last = 0; // the newest job seen
  return (message) => {
    read++;
    if ("control" in message) {
      control = controlOf(message.control);
      thread = message.thread;
    }
    if ("module" in message) modules.push(message.module);
    if ("memory" in message) {
      const { memory } = message;
      heaps.push({ memory, kernels: [bound(modules[0]!, memory)], pages: 0 });
    }
    const { state } = control!;
    // Read all posted messages before the loop: none arrive inside it.
    while (Atomics.load(state, MAIL) <= read) last = next(control!, heaps, modules, thread, last, report);
  };
}

/**
 * Waits for a job newer than `last`, does it, and returns its number; returns early for a message.
 */
function next(
  control: Control,
  heaps: readonly WorkerHeap[],
  modules: readonly WebAssembly.Module[],
  thread: number,
  last: number,
  report: (failure: string) => void,
): number {
  const { state } = control;
  const mail = Atomics.load(state, MAIL);
  let job = Atomics.load(state, JOB);
  while (job === last || job % 2 === 0) {
    if (Atomics.load(state, MAIL) !== mail) return last;
    if (!changes(state, job, mail)) {
      Atomics.add(state, SLEEPERS, 1);
      Atomics.wait(state, JOB, job);
      Atomics.sub(state, SLEEPERS, 1);
    }
    job = Atomics.load(state, JOB);
  }
  Atomics.add(state, ACTIVE, 1);
  const heap = heaps[state[HEAP]!];
  const number = state[MODULE]!;
  const module = modules[number];
  if (Atomics.load(state, JOB) === job && heap !== undefined && module !== undefined) {
    try {
      // V8 may not have updated this thread's view of a memory that grew; reading its size does.
      if (heap.pages !== state[PAGES]) heap.memory.grow(0);
      heap.pages = state[PAGES]!;
      heap.kernels[number] ??= bound(module, heap.memory);
      takePieces(control, heap.kernels[number], thread);
    } catch (error) {
      Atomics.store(state, FAILED, 1);
      report(error instanceof Error ? error.message : String(error));
    }
  }
  if (Atomics.sub(state, ACTIVE, 1) === 1) Atomics.notify(state, ACTIVE);
  return job;
}

/**
 * Checks again and again whether JOB or MAIL changes; false if that takes too long. By itself: it
 * is hot at once, and engines compile a short function in a tenth of the time of next().
 */
function changes(state: Int32Array, job: number, mail: number): boolean {
  const most = state[READING] === 0 ? SPINS : READING_SPINS;
  for (let spins = 0; spins < most; spins++)
    if (Atomics.load(state, JOB) !== job || Atomics.load(state, MAIL) !== mail) return true;
  return false;
}

function bound(module: WebAssembly.Module, memory: WebAssembly.Memory): Kernels {
  return new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Kernels;
}
