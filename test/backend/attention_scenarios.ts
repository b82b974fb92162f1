// Scenarios of attention over paged keys: which tokens of which sequences each step has.

import type { Run } from "../support/panes.ts";

/** Positions a block. */
export const BLOCK = 16;

export interface Scenario {
  readonly name: string;
  readonly tables: readonly (readonly number[])[]; // block ids of each sequence, all that it will need
  readonly steps: readonly (readonly Run[])[];
}

export const BLOCK_EDGES: Scenario = {
  name: "one sequence over block edges",
  tables: [[0, 1, 2, 3, 4]],
  steps: [[[0, 0, 15]], [[0, 15, 1]], [[0, 16, 1]], [[0, 17, 14]], [[0, 31, 1]], [[0, 32, 1]], [[0, 33, 32]]],
};
export const RAGGED: Scenario = {
  name: "three sequences with interleaved blocks, prompt chunks beside decoded tokens",
  tables: [
    [0, 3, 5],
    [4, 1, 6],
    [2, 7],
  ],
  steps: [
    [
      [0, 0, 20],
      [1, 0, 1],
      [2, 0, 15],
    ],
    [
      [2, 15, 1],
      [0, 20, 1],
      [1, 1, 30],
    ],
    [[1, 31, 1]],
    [
      [0, 21, 12],
      [2, 16, 2],
      [1, 32, 1],
    ],
  ],
};
export const LONG: Scenario = {
  name: "chunks of the largest batch, then one token",
  tables: [[3, 0, 1, 7, 2, 5, 6, 4, 8]],
  steps: [[[0, 0, 65]], [[0, 65, 65]], [[0, 130, 1]]],
};
export const TILE_EDGES: Scenario = {
  name: "one token at a time about the edge of a tile of keys",
  tables: [[4, 1, 3, 0, 2, 5]],
  steps: [[[0, 0, 1]], [[0, 1, 61]], [[0, 62, 1]], [[0, 63, 1]], [[0, 64, 1]], [[0, 65, 1]]],
};
export const ROLLBACK: Scenario = {
  name: "positions written again after going back",
  tables: [[2, 0, 1]],
  steps: [[[0, 0, 40]], [[0, 10, 3]], [[0, 13, 5]]],
};
export const MANY: Scenario = {
  name: "twenty sequences decoding together",
  tables: Array.from({ length: 20 }, (_, s) => [(s * 7) % 20]),
  steps: [
    Array.from({ length: 20 }, (_, s): Run => [s, 0, 3]),
    Array.from({ length: 20 }, (_, s): Run => [19 - s, 3, 1]),
  ],
};
