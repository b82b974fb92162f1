// One line a kernel: its bindings in order, its params, its override constants, its grid, what it
// reads and computes. A test holds each line against the WGSL.

import { ATTENTION } from "./attention_lines.ts";
import { CHOOSING } from "./choosing_lines.ts";
import { expertPasses, experts, moves, type Params, passes, product, tiled, tiledExperts } from "./cost.ts";
import { type KernelLine, per64 } from "./line.ts";
import { RECURRENT } from "./recurrent_lines.ts";
import type { Variant } from "./shader.ts";

/** Params that are f32; all others are u32. */
export const FLOAT_PARAMS: ReadonlySet<string> = new Set("eps clip scale added least factor jitter".split(" "));

/** What kernels of experts bind besides, if these have biases: kernels/lib/ffn/*bias_added.wgsl. */
export const BIASED = { biases: "read", chosen: "read" } as const;

/** Override constants that only some variants have. */
export function variantOverrides({ activation, biases }: Variant): readonly string[] {
  return [...(activation === "swiglu_oai" ? ["LIMIT"] : []), ...(biases ? ["BIAS_ROWS"] : [])];
}

const WEIGHTS = { w: "read", part: "uniform" } as const;
/** Workgroups of a matrix-vector kernel, whose teams make `each` rows apiece. */
const teams = (rows: number, o: Params, each = 8) => Math.ceil(rows / each / (o.THREADS! / o.TEAM!));
/** A norm of each row. */
const NORM: Omit<KernelLine, "bindings"> = {
  params: ["D", "vectors", "eps"],
  overrides: ["THREADS"],
  grid: (n) => [n, 1],
  cost: (n, o) => moves((2 * n + 1) * o.D!, 4 * n * o.D!),
};
const MATVEC = { ...WEIGHTS, p: "uniform", x: "read" } as const;
/** Tiles of assignments over all experts, at most: each expert may have one that is not full. */
const tiles = (assignments: number, o: Params) => Math.floor(assignments / o.tokens!) + Math.min(o.E!, assignments);

export const TABLE = {
  ...RECURRENT,
  ...ATTENTION,
  embed: {
    bindings: { ...WEIGHTS, count: "uniform", step: "read", y: "write" },
    params: [],
    overrides: [],
    grid: (n, _, { groups }) => per64(n * groups * 4),
    cost: (n, _, { rows, groups, bytes }) => ({ bytes: n * (bytes / rows + 128 * groups), flops: 0 }),
  },
  rms_norm: { ...NORM, bindings: { p: "uniform", count: "uniform", x: "read", w: "read", y: "write" } },
  layer_norm: { ...NORM, bindings: { p: "uniform", count: "uniform", x: "read", w: "read", b: "read", y: "write" } },
  matmul_vec: {
    bindings: { ...MATVEC, norm: "read", y: "write" },
    params: ["D", "eps", "y_stride"],
    overrides: ["BIAS", "THREADS", "TEAM", "AT_ONCE", "NORM", "ADD"],
    grid: (n, o, { rows }) => [teams(rows, o), n],
    weights: (n, _, { bytes }) => n * bytes,
    cost: (n, _, work) => product(n, work),
  },
  matmul_few: {
    bindings: { ...WEIGHTS, p: "uniform", x: "read", count: "uniform", y: "write" },
    params: ["y_stride"],
    overrides: ["BIAS", "THREADS", "TEAM", "ADD"],
    grid: (n, o, { rows }) => [teams(rows, o, o.rows) * passes(n, o), 1],
    weights: (n, o, { bytes }) => passes(n, o) * bytes,
    cost: (n, _, work) => product(n, work),
  },
  qkv_vec: {
    bindings: { ...MATVEC, norm: "read", angles: "read", step: "read", y: "write", keys: "write", values: "write" },
    params: ["D", "eps", "y_stride", "block", "heads", "kv_heads", "pairs"],
    overrides: ["BIAS", "THREADS", "TEAM", "AT_ONCE", "PANELS", "NORM"],
    grid: (n, o, { rows }) => [teams(rows, o, 16), n],
    weights: (n, _, { bytes }) => n * bytes,
    cost: (n, _, work) => product(n, work),
  },
  qkv_mixed: {
    bindings: {
      ...MATVEC,
      norm: "read",
      y: "write",
      ...{ w_second: "read", part_second: "uniform", w_third: "read", part_third: "uniform" },
    },
    params: ["D", "eps", "y_stride"],
    overrides: ["BIAS", "BIAS_second", "BIAS_third", "THREADS", "TEAM", "AT_ONCE", "NORM", "PARTS"],
    grid: (n, o) => [o.workgroups!, n],
    weights: (n, o) => n * o.bytes!,
    cost: (n, o, work) => product(n, { ...work, values: o.values! }),
  },
  qkv_few: {
    bindings: {
      ...WEIGHTS,
      p: "uniform",
      x: "read",
      count: "uniform",
      angles: "read",
      step: "read",
      y: "write",
      keys: "write",
      values: "write",
    },
    params: ["y_stride", "block", "heads", "kv_heads", "pairs"],
    overrides: ["BIAS", "THREADS", "TEAM"],
    grid: (n, o, { rows }) => [teams(rows, o, 2 * o.rows!) * passes(n, o), 1],
    weights: (n, o, { bytes }) => passes(n, o) * bytes,
    cost: (n, _, work) => product(n, work),
  },
  quantize: {
    bindings: { p: "uniform", count: "uniform", x: "read", norm: "read", y: "write" },
    params: ["D", "eps", "groups", "each"],
    overrides: ["THREADS", "NORM"],
    grid: (n) => [n, 1],
    cost: (n, o) => moves(n * (o.D! + 9 * o.groups!), 2 * n * o.D! * (1 + o.NORM!)),
  },
  to_f16: {
    bindings: { p: "uniform", count: "uniform", x: "read", norm: "read", y: "write" },
    params: ["D", "eps", "groups", "each"],
    overrides: ["THREADS", "NORM"],
    grid: (n) => [n, 1],
    cost: (n, o) => moves(n * (o.D! + 16 * o.groups!), 2 * n * o.D! * (1 + o.NORM!)),
  },
  matmul: {
    bindings: { ...WEIGHTS, p: "uniform", x: "read", count: "uniform", y: "write" },
    params: ["y_stride"],
    overrides: ["BIAS", "ADD"],
    grid: (n, o, { rows }) => [Math.ceil(rows / o.rows!), Math.ceil(n / o.tokens!)],
    weights: (n, o, { bytes }) => passes(n, o) * bytes,
    cost: (n, _, work) => tiled(n, work),
  },
  qkv_turn: {
    bindings: {
      p: "uniform",
      x: "read",
      q_norm: "read",
      k_norm: "read",
      angles: "read",
      step: "read",
      y: "write",
      keys: "write",
      values: "write",
    },
    params: ["stride", "block", "heads", "kv_heads", "pairs", "turned", "q_size", "k_size", "eps", "clip"],
    overrides: ["THREADS", "NORM", "CLIP", "APPEND"],
    grid: (n, o) => [o.heads! + 2 * o.kv_heads!, n],
    cost: (n, o, { kv }) => {
      const [turned, written] = [o.heads! + o.kv_heads!, 2 * o.kv_heads! * o.APPEND!];
      const values = 2 * n * o.pairs! * (turned + o.kv_heads!);
      return {
        bytes: 8 * values + 2 * n * o.pairs! * written * kv,
        flops: n * turned * (6 * o.turned! + 8 * o.pairs! * o.NORM!),
      };
    },
  },
  append: {
    bindings: {
      p: "uniform",
      count: "uniform",
      step: "read",
      qkv: "read",
      keys: "write",
      values: "write",
    },
    params: ["block", "heads", "kv_heads", "pairs", "stride"],
    overrides: ["VALUES"],
    grid: (n, o) => per64(n * o.kv_heads! * o.pairs!),
    cost: (n, o, { kv }) => ({ bytes: 2 * (1 + o.VALUES!) * n * o.kv_heads! * o.pairs! * (4 + kv), flops: 0 }),
  },
  head_rows: {
    bindings: { p: "uniform", count: "uniform", x: "read", y: "write" },
    params: ["heads", "stride", "each", "size", "padded"],
    overrides: [],
    grid: (n, o) => per64(n * o.heads! * o.padded!),
    cost: (n, o) => moves(n * o.heads! * (o.size! + o.padded!)),
  },
  heads: {
    bindings: { ...WEIGHTS, p: "uniform", x: "read", count: "uniform", y: "write" },
    params: ["heads", "y_stride", "y_each"],
    overrides: ["THREADS", "TEAM"],
    grid: (n, o, { rows }) => [o.heads! * passes(n, o), teams(rows, o, o.rows)],
    weights: (n, o, { bytes }) => passes(n, o) * bytes,
    cost: (n, o, work) => product(n * o.heads!, work),
  },
  latent_turn: {
    bindings: {
      p: "uniform",
      q: "read",
      absorbed: "read",
      c: "read",
      norm: "read",
      angles: "read",
      step: "read",
      y: "write",
      keys: "write",
    },
    params: ["q_stride", "c_stride", "y_stride", "block", "heads", "kv_heads", "pairs", "nope", "turned", "eps"],
    overrides: ["APPEND"],
    grid: (n, o) => [o.heads! + 1, n],
    cost: (n, o, { kv }) => {
      const values = 2 * n * o.pairs! * (o.heads! + 1);
      return { bytes: 8 * values + 2 * n * o.pairs! * o.APPEND! * kv, flops: 6 * n * o.turned! * (o.heads! + 1) };
    },
  },
  route: {
    bindings: { ...MATVEC, norm: "read", bias: "read", ids: "write", weights: "write", y: "write", share: "read" },
    params: [
      ...["D", "eps", "K", "normalize", "sigmoid", "biased", "by_score", "groups", "kept", "by_two"],
      ...["added", "least", "factor", "jitter", "share_at"],
    ],
    overrides: ["BIAS", "THREADS", "TEAM", "NORM", "ROWS", "EXPERTS", "RULE", "SHARE"],
    grid: (n) => [n, 1],
    weights: (n, o, { bytes, groups }) => n * (bytes + o.SHARE! * 1024 * groups), // a panel of f32
    cost: (n, o, work) => {
      const { bytes, flops } = product(n, work);
      return { bytes: bytes + (o.ROWS! > 0 ? n * o.D! * (o.ROWS === 1 ? 4 : 1) : 0), flops };
    },
  },
  place: {
    bindings: {
      p: "uniform",
      count: "uniform",
      ids: "read",
      weights: "read",
      table: "read",
      slots: "write",
      shares: "write",
    },
    params: ["K", "first"],
    overrides: ["ADD"],
    grid: (n, o) => per64(n * o.K!),
    cost: (n, o) => moves(5 * n * o.K!),
  },
  group: {
    bindings: { p: "uniform", count: "uniform", ids: "read", starts: "write", sorted: "write" },
    params: ["E", "K"],
    overrides: [],
    grid: (_, o) => [o.E!, 1],
    cost: (n, o) => moves(2 * n * o.K! + o.E! + 1),
  },
  expert_up_vec: {
    bindings: { ...MATVEC, ids: "read", y: "write" },
    params: ["K", "y_stride"],
    overrides: ["THREADS", "TEAM", "AT_ONCE"],
    grid: (n, o, { rows }) => [teams(rows, o), n * o.K!],
    weights: (n, o, { bytes }) => (n * o.K! * bytes) / o.E!,
    cost: (n, o, work) => experts(n * o.K!, o, work),
  },
  expert_up_few: {
    bindings: { ...WEIGHTS, p: "uniform", x: "read", starts: "read", sorted: "read", y: "write" },
    params: ["E", "K", "y_stride"],
    overrides: ["THREADS", "TEAM", "TURNS"],
    grid: (n, o, { rows }) => [tiles(n * o.K!, o), teams(rows, o, o.rows! * o.TURNS!)],
    weights: (n, o, { bytes }) => expertPasses(n * o.K!, o) * bytes,
    cost: (n, o, work) => experts(n * o.K!, o, work),
  },
  expert_up: {
    bindings: { ...WEIGHTS, p: "uniform", x: "read", starts: "read", sorted: "read", y: "write" },
    params: ["E", "K", "y_stride"],
    overrides: [],
    grid: (n, o, { rows }) => [Math.ceil(rows / o.rows!), tiles(n * o.K!, o)],
    weights: (n, o, { bytes }) => expertPasses(n * o.K!, o) * bytes,
    cost: (n, o, work) => tiledExperts(n * o.K!, o, work),
  },
  expert_down_vec: {
    bindings: { ...MATVEC, ids: "read", weights: "read", y: "write" },
    params: ["K", "y_stride", "weights_at"],
    overrides: ["THREADS", "TEAM", "AT_ONCE", "SIDES", "ADD"],
    grid: (n, o, { rows }) => [teams(rows, o), n],
    weights: (n, o, { bytes }) => (n * o.K! * bytes) / o.E!,
    cost: (n, o, work) => experts(n * o.K!, o, work),
  },
  expert_down_few: {
    bindings: { ...WEIGHTS, p: "uniform", x: "read", starts: "read", sorted: "read", y: "write" },
    params: ["E", "y_stride"],
    overrides: ["THREADS", "TEAM"],
    grid: (assignments, o, { rows }) => [tiles(assignments, o), teams(rows, o, o.rows)],
    weights: (assignments, o, { bytes }) => expertPasses(assignments, o) * bytes,
    cost: (assignments, o, work) => experts(assignments, o, work),
  },
  expert_down: {
    bindings: { ...WEIGHTS, p: "uniform", x: "read", starts: "read", sorted: "read", y: "write" },
    params: ["E", "y_stride"],
    overrides: [],
    grid: (n, o, { rows }) => [Math.ceil(rows / o.rows!), tiles(n, o)],
    weights: (assignments, o, { bytes }) => expertPasses(assignments, o) * bytes,
    cost: (assignments, o, work) => tiledExperts(assignments, o, work),
  },
  combine: {
    bindings: { p: "uniform", count: "uniform", x: "read", weights: "read", y: "write" },
    params: ["K", "vectors", "weights_at", "width"],
    overrides: ["ADD"],
    grid: (n, o) => per64(n * o.vectors!),
    cost: (n, o) => moves(4 * n * o.vectors! * (o.K! + 1), 8 * n * o.vectors! * o.K!),
  },
  add: {
    bindings: { p: "uniform", count: "uniform", x: "write", y: "read" },
    params: ["vectors"],
    overrides: [],
    grid: (n, o) => per64(n * o.vectors!),
    cost: (n, o) => moves(12 * n * o.vectors!, 4 * n * o.vectors!),
  },
  rows: {
    bindings: { p: "uniform", count: "uniform", x: "read", outputs: "read", y: "write" },
    params: ["vectors"],
    overrides: [],
    grid: (n, o) => per64(n * o.vectors!),
    cost: (n, o) => moves(8 * n * o.vectors!),
  },
  reorder: {
    bindings: { p: "uniform", count: "uniform", x: "read", order: "read", ids: "read", y: "write" },
    params: ["D", "K", "stride"],
    overrides: ["EXPERTS"],
    grid: (n, o) => per64(n * o.K! * o.D!),
    cost: (n, o) => moves(n * o.D! * (1 + 2 * o.K!)),
  },
  copy: {
    bindings: { p: "uniform", x: "read", y: "write" },
    params: ["vectors"],
    overrides: [],
    grid: (_, o) => [Math.ceil(o.vectors! / 1024), 1],
    cost: (_, o) => moves(8 * o.vectors!),
  },
  subgroup_places: {
    bindings: { y: "write" },
    params: [],
    overrides: ["THREADS"],
    grid: () => [1, 1],
    cost: (_, o) => moves(o.THREADS!),
  },
  ...CHOOSING,
} as const satisfies Record<string, KernelLine>;

export type KernelName = keyof typeof TABLE;
