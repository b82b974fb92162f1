// A group of a GGUF file's blocks to row-major planes, of formats that look nothing up. A format's
// split.simd.ts stands for this file where its types have codebooks.

import { splitGroup } from "./format.simd";

/**
 * @param bytes of the group's blocks: they say which of the format's types it is
 * @param book the type's codebook (GgmlType)
 */
// @ts-ignore: decorator
@inline export function splitBlock(block: usize, bytes: usize, book: usize, p0: usize, p1: usize, p2: usize, p3: usize): void {
  splitGroup(block, p0, p1, p2, p3);
}
