// What the backend has to know of the threads' scratch: how many threads there may be, and where
// its own storage begins.

export { maxThreads, scratchEnd } from "./lib/simd/scratch.simd";
