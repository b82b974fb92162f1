// Where a thread keeps what does not fit in registers: some kilobytes at the start
// of every memory.

/**
 * First byte of the first thread's scratch. Nothing but a word (wide.simd.ts) is stored below it,
 * so that a null pointer does no harm.
 */
const FIRST: usize = 1024;
/** Bytes a thread has. */
const BYTES: usize = 10752;

/** Most threads that may compute at once. */
export function maxThreads(): u32 {
  return 64;
}

/** The first byte after all scratch: the heap's own allocations begin here. */
export function scratchEnd(): usize {
  return FIRST + <usize>maxThreads() * BYTES;
}

/** 10,752 bytes that belong to this thread until its kernel returns. */
// @ts-ignore: decorator
@inline export function scratchOf(thread: u32): usize {
  return FIRST + <usize>thread * BYTES;
}
