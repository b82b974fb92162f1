// The shared state of a pool's threads: a few integers that say which job is open, and
// the job itself.
//
// Life of a job: the caller writes it, adds 1 to JOB (odd: open), wakes sleeping workers, and takes
// pieces like them until none is left. Then it adds 1 to JOB (even: closed) and waits until ACTIVE
// is 0. A late worker finds the job closed and has touched nothing. So no worker has to answer, and
// a worker that does not join costs nothing.

import type { Kernels } from "./heap.ts";

/** Kernels that may be a job, by number; each is in one module, or in that of every format. */
export const JOBS = [
  "matmul",
  "expertUp",
  "expertDown",
  "activateRows",
  "addWeighted",
  "quantize",
  "rmsNorm",
  "layerNorm",
  "qkNorm",
  "rope",
  "add",
  "addBias",
  "conv",
  "deltaRule",
  "gate",
  "append",
  "appendQ8",
  "attention",
  "embed",
  "rows",
  "reorder",
  "pack",
  "split",
  "weave",
] as const satisfies readonly (keyof Kernels)[];
export type Job = (typeof JOBS)[number];

// Indices of the Int32Array.
/** Grows by 1 whenever a job opens (odd) or closes (even). */
export const JOB = 0;
/** Workers that are in the open job. */
export const ACTIVE = 1;
/** The first unit that no thread has taken. */
export const NEXT = 2;
/** Workers that sleep until JOB changes. */
export const SLEEPERS = 3;
/** Messages posted to the workers so far; a worker that has read fewer reads its messages first. */
export const MAIL = 4;
/** Nonzero: a kernel threw in a worker. */
export const FAILED = 5;
// The job, valid while it is open.
export const KERNEL = 6; // number in JOBS
export const HEAP = 7; // number of the heap that it works in
export const UNITS = 8;
export const PIECE = 9; // units taken at a time
export const PAGES = 10; // size of the heap's memory
export const MODULE = 11; // number of the module that the kernel is in
/** Nonzero: the next job comes when something was read, so workers should not wait awake. */
export const READING = 12;
/** Nonzero: pieces are taken from the last to the first. */
export const BACKWARD = 13;

/** Most arguments of a kernel after its range and thread. */
const MAX_ARGS = 19;

export interface Control {
  readonly buffer: SharedArrayBuffer;
  readonly state: Int32Array;
  readonly args: Float64Array;
}

const INTS = 16;

export function controlOf(buffer = new SharedArrayBuffer(4 * INTS + 8 * MAX_ARGS)): Control {
  return { buffer, state: new Int32Array(buffer, 0, INTS), args: new Float64Array(buffer, 4 * INTS, MAX_ARGS) };
}

/**
 * What a kernel is called with: from, to, thread, arguments. Those that it does not have are
 * ignored. Filled once a job: so many loads in the call itself take an engine four times as long to
 * compile.
 */
const call: unknown[] = new Array(3 + MAX_ARGS).fill(undefined);

/**
 * Takes pieces of the open job, at most so many; false if none is left. The only function that
 * calls kernels on threads: each thread's engine compiles it once.
 */
export function takePieces(
  { state, args }: Control,
  kernels: Kernels,
  thread: number,
  most = Number.POSITIVE_INFINITY,
): boolean {
  const units = state[UNITS]!;
  const piece = state[PIECE]!;
  const last = state[BACKWARD] === 0 ? -1 : piece * (Math.ceil(units / piece) - 1);
  const kernel = kernels[JOBS[state[KERNEL]!]!]!;
  call[2] = thread;
  for (let i = 0; i < MAX_ARGS; i++) call[3 + i] = args[i];
  for (let taken = 0; taken < most; taken++) {
    const next = Atomics.add(state, NEXT, piece);
    if (next >= units) return false;
    const from = last < 0 ? next : last - next;
    call[0] = from;
    call[1] = Math.min(units, from + piece);
    Reflect.apply(kernel, undefined, call);
  }
  return true;
}
