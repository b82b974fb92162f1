// Lines of the table of kernels (table.ts) for the choice of tokens.

import { moves } from "./cost.ts";
import type { KernelLine } from "./line.ts";

/** What both first halves of choosing read, and what both second halves write. */
const CHOOSE = {
  p: "uniform",
  count: "uniform",
  step: "read",
  outputs: "read",
  choosers: "read",
  tables: "read",
  logits: "read",
} as const;
const CHOSEN = { step: "write", choosers: "write", tables: "write", ids: "write" } as const;

export const CHOOSING = {
  choose_best: {
    bindings: { ...CHOOSE, slices: "write" },
    params: ["V", "stride", "slices", "first"],
    overrides: [],
    grid: (n, o) => [o.slices!, n],
    cost: (n, o) => moves(n * o.V!),
  },
  choose_top: {
    bindings: { ...CHOOSE, slices: "write", ranked: "write" },
    params: ["V", "stride", "slices", "first"],
    overrides: [],
    grid: (n, o) => [o.slices!, n],
    cost: (n, o) => moves(n * (o.V! + 512 * o.slices!), 4 * n * o.V!),
  },
  choose_greedy: {
    bindings: { p: "uniform", count: "uniform", outputs: "read", slices: "read", ...CHOSEN },
    params: ["V", "slices", "first"],
    overrides: [],
    grid: (n) => [n, 1],
    cost: (n, o) => moves(4 * n * o.slices!),
  },
  choose_draw: {
    bindings: { p: "uniform", count: "uniform", outputs: "read", slices: "read", ranked: "read", ...CHOSEN },
    params: ["V", "slices", "first"],
    overrides: [],
    grid: (n) => [n, 1],
    cost: (n, o) => moves(516 * n * o.slices!),
  },
} as const satisfies Record<string, KernelLine>;
