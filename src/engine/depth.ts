// How far streams (stream.ts) run ahead of their consumers.

/**
 * Steps that run or wait on the backend beyond the token that the consumer waits for. Two hide the
 * way of an id to the host and of the next step's commands to the backend as long as that takes
 * less than a step; the third is for the jitter of an event loop that others use too. More would
 * only be more to throw away at a stop. (models/tales on llvmpipe, against 3: 0.60 of the speed at
 * depth 0, 0.89 at 1, 0.97 at 6; medians of 25 alternating runs.)
 */
export const DEPTH = 3;
