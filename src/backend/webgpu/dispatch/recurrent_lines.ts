// Lines of the table of kernels (table.ts) for layers with states.

import type { Batch } from "../../ops.ts";
import { moves, type Params, type Work } from "./cost.ts";
import { per64 } from "./line.ts";

/** Rows of all runs of a batch: a dispatch takes them run by run. */
const rowsOf = (runs: number, { tokens }: Batch): number => Math.max(runs, tokens.length);

export const RECURRENT = {
  conv: {
    bindings: { p: "uniform", runs: "read", x: "read", w: "read", state: "write", y: "write" },
    params: ["C", "taps", "stride", "y_stride"],
    overrides: ["GATED"],
    grid: (n: number, o: Params) => [Math.ceil(o.C! / 64), n] as const,
    cost: (n: number, o: Params, _: Work, batch: Batch) => {
      const rows = rowsOf(n, batch);
      return moves(o.C! * (rows * (2 + 2 * o.GATED!) + 3 * n * o.taps!), 2 * rows * o.C! * o.taps!);
    },
  },
  delta_factors: {
    bindings: {
      p: "uniform",
      count: "uniform",
      qkv: "read",
      gates: "read",
      a_log: "read",
      dt_bias: "read",
      factors: "write",
    },
    params: ["key_heads", "value_heads", "dk", "stride", "gate_stride", "tiled"],
    overrides: [],
    grid: (n: number, o: Params) => per64(n * o.value_heads!),
    cost: (n: number, o: Params) =>
      moves(n * (2 * o.key_heads! * o.dk! + 6 * o.value_heads!), 4 * n * o.value_heads! * o.dk!),
  },
  delta_rule: {
    bindings: { p: "uniform", runs: "read", qkv: "read", factors: "read", state: "write", y: "write" },
    params: ["key_heads", "value_heads", "dv", "stride", "y_stride", "tiled"],
    overrides: ["DK", "QUADS"],
    grid: (n: number, o: Params) => [o.value_heads! * Math.ceil(o.dv! / 16), n] as const,
    cost: (n: number, o: Params, _: Work, batch: Batch) => {
      const [rows, columns] = [rowsOf(n, batch), o.value_heads! * o.dv!];
      return moves(2 * columns * (n * o.DK! + 2 * rows), 7 * rows * columns * o.DK!);
    },
  },
  gate: {
    bindings: { p: "uniform", count: "uniform", x: "write", g: "read" },
    params: ["vectors"],
    overrides: [],
    grid: (n: number, o: Params) => per64(n * o.vectors!),
    cost: (n: number, o: Params) => moves(12 * n * o.vectors!, 16 * n * o.vectors!),
  },
  gated_norm: {
    bindings: { p: "uniform", x: "write", g: "read", w: "read" },
    params: ["D", "runs", "stride", "eps"],
    overrides: ["THREADS"],
    grid: (n: number, o: Params) => [o.runs!, n] as const,
    cost: (n: number, o: Params) => moves(n * o.D! * (4 * o.runs! + 1), 10 * n * o.D! * o.runs!),
  },
} as const;
