// Reads ahead in the weights, which are read once and in order.

/** Bytes of memory after which addresses are looked up anew, and fetching ahead begins anew. */
const PAGE: usize = 4096;

/**
 * Once a page, a word of the next page before `end`: called with each address of which `step` bytes
 * (a power of two) are read. A processor that sees an address only when it is needed waits at each
 * page, for a tenth of the time where few tokens meet the weights. The word goes to the start of
 * the thread's scratch, which must be free: a load without a use would be removed.
 */
// @ts-ignore: decorator
@inline export function readAhead(at: usize, step: usize, end: usize, scratch: usize): void {
  if ((at & (PAGE - step)) == 0 && at + PAGE < end) store<u32>(scratch, load<u32>(at + PAGE));
}
