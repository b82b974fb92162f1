// Lines of the table of kernels (table.ts) for attention.

import { attentionCost, moves, type Params } from "./cost.ts";
import type { KernelLine } from "./line.ts";

/**
 * Parts that the positions of each of n tokens are cut into, as kernels/lib/attention/splits.wgsl
 * has it.
 */
export const splits = (n: number, most: number, unshared: number) =>
  n <= unshared ? most : Math.max(Math.floor(most / n), 1);

const PARAMS = ["block", "heads", "kv_heads", "pairs", "window", "scale", "stride", "y_stride"];
const SPLIT_PARAMS = [...PARAMS, "most", "unshared", "slices", "skip"];
const SPLIT_OVERRIDES = ["SINKS", "UNITS", "SLICES", "FOURS"];
/** Of single tokens: their positions in splits. */
const SINGLE: Pick<KernelLine, "grid" | "cost"> = {
  grid: (n, o) => [o.kv_heads! * Math.ceil(o.heads! / o.kv_heads! / 8), n * splits(n, o.most!, o.unshared!)],
  cost: (_, o, work, batch) => attentionCost(o, work, batch, 1),
};

/** Of append_q8: heads of queries, and of keys and values. */
const rotatedHeads = (o: Params) => (1 - o.LATENT!) * o.heads!;
const writtenHeads = (o: Params) => (o.LATENT === 1 ? 1 : 2 * o.kv_heads! * o.APPEND!);

export const ATTENTION = {
  attention: {
    bindings: {
      p: "uniform",
      runs: "read",
      step: "read",
      qkv: "read",
      keys: "read",
      values: "read",
      sinks: "read",
      y: "write",
    },
    params: [...PARAMS, "abreast", "chunk"],
    overrides: ["SINKS", "SHARES"],
    grid: (runs, o) => [o.kv_heads! * Math.ceil(o.heads! / o.kv_heads! / o.abreast!), runs],
    cost: (_, o, work, batch) => attentionCost(o, work, batch, Math.floor(256 / o.SHARES! / o.abreast!)),
  },
  append_q8: {
    bindings: { p: "uniform", step: "read", qkv: "read", queries: "write", keys: "write", values: "write" },
    params: ["block", "heads", "kv_heads", "pairs", "stride", "q_stride"],
    overrides: ["LATENT", "APPEND"],
    grid: (n, o) => [rotatedHeads(o) + writtenHeads(o), n],
    cost: (n, o, { kv }) => {
      const [made, written] = [rotatedHeads(o), writtenHeads(o)];
      const width = 2 * n * o.pairs!;
      return {
        bytes: width * (8 * made + (4 + kv) * written),
        flops: width * (made + written) * (1 + Math.log2(2 * o.pairs!)),
      };
    },
  },
  attention_latent: {
    bindings: { p: "uniform", runs: "read", step: "read", qkv: "read", keys: "read", y: "write" },
    params: [...PARAMS, "skip"],
    overrides: [],
    grid: (runs, o) => [o.groups!, runs],
    cost: (_, o, work, batch) => attentionCost(o, work, batch, o.longest!),
  },
  attention_split: {
    bindings: {
      p: "uniform",
      count: "uniform",
      step: "read",
      qkv: "read",
      keys: "read",
      values: "read",
      sinks: "read",
      y: "write",
    },
    params: SPLIT_PARAMS,
    overrides: SPLIT_OVERRIDES,
    ...SINGLE,
  },
  attention_turn: {
    bindings: {
      p: "uniform",
      count: "uniform",
      step: "read",
      qkv: "read",
      norms: "read",
      angles: "read",
      sinks: "read",
      keys: "write",
      values: "write",
      y: "write",
    },
    params: [...SPLIT_PARAMS, "turned", "q_size", "k_size", "eps", "clip"],
    overrides: [...SPLIT_OVERRIDES, "NORM", "CLIP"],
    ...SINGLE,
  },
  attention_reduce: {
    bindings: { p: "uniform", count: "uniform", x: "read", sinks: "read", y: "write" },
    params: ["heads", "pairs", "most", "unshared", "stride", "y_stride"],
    overrides: ["SINKS"],
    grid: (n, o) => [o.heads!, n],
    cost: (n, o) =>
      moves(n * o.heads! * o.pairs! * 2 * (splits(n, o.most!, o.unshared!) + 1), 3 * n * o.heads! * o.pairs! * o.most!),
  },
} as const satisfies Record<string, KernelLine>;
