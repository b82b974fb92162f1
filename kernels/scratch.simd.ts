// What the backend has to know of the start of every memory: how many threads there may be, where
// its own storage begins, and where a word says what the engine can do.

export { maxThreads, scratchEnd } from "./lib/simd/scratch.simd";
export { wideAt } from "./lib/simd/wide.simd";
