// One line a kernel: its bindings in order, its params, its override constants, its grid. A test holds each line against the WGSL.

/** How a kernel sees a buffer: a uniform, a storage buffer that it reads, or one that it writes. */
export type Access = "uniform" | "read" | "write";

/** What a grid may depend on of the weights that a kernel reads. */
export interface PartShape {
  readonly rows: number;
  readonly groups: number;
}

/** Params that are f32; all others are u32. */
export const FLOAT_PARAMS: ReadonlySet<string> = new Set(["eps", "scale"]);

export interface KernelLine {
  readonly bindings: Readonly<Record<string, Access>>;
  /** Fields of its `Params`, in order, written to a uniform; u32 but for eps and scale. */
  readonly params: readonly string[];
  /** Constants of its pipeline. Few: each combination is compiled anew. */
  readonly overrides: readonly string[];
  /**
   * Workgroups: [linear count, second dimension]. `n` is the rows that the verb works on, `o` its params and overrides,
   * `part` the rows and groups of the weight part. The linear count is folded into x and y where it is too large for x.
   */
  readonly grid: (n: number, o: Readonly<Record<string, number>>, part: PartShape) => readonly [number, number];
}

const WEIGHTS = { w: "read", part: "uniform" } as const;
const per64 = (invocations: number) => [Math.ceil(invocations / 64), 1] as const;
/** Workgroups of a matrix-vector kernel, whose teams make `each` rows apiece. */
const teams = (rows: number, o: Readonly<Record<string, number>>, each = 8) =>
  Math.ceil(rows / each / (o.THREADS! / o.TEAM!));
const MATVEC = { ...WEIGHTS, p: "uniform", x: "read", norm: "read" } as const;
/** Tiles of 16 slots over all experts, at most: each expert may have one that is not full. */
const tiles = (n: number, o: Readonly<Record<string, number>>) =>
  Math.floor((n * o.K!) / 16) + Math.min(o.E!, n * o.K!);

/** Parts that the positions of each of n tokens are cut into, as kernels/lib/splits.wgsl has it. */
export const splits = (n: number, most: number) => Math.max(Math.floor(most / n), 1);

export const TABLE = {
  embed: {
    bindings: { ...WEIGHTS, count: "uniform", step: "read", y: "write" },
    params: [],
    overrides: [],
    grid: (n, _, { groups }) => per64(n * groups * 4),
  },
  rms_norm: {
    bindings: { p: "uniform", count: "uniform", x: "read", w: "read", y: "write" },
    params: ["D", "vectors", "eps"],
    overrides: ["THREADS"],
    grid: (n) => [n, 1],
  },
  matmul_vec: {
    bindings: { ...MATVEC, y: "write" },
    params: ["D", "eps", "y_stride"],
    overrides: ["THREADS", "TEAM", "NORM", "ADD"],
    grid: (n, o, { rows }) => [teams(rows, o), n],
  },
  qkv_vec: {
    bindings: { ...MATVEC, angles: "read", step: "read", y: "write", keys: "write", values: "write" },
    params: ["D", "eps", "y_stride", "block", "heads", "kv_heads", "pairs"],
    overrides: ["THREADS", "TEAM", "NORM"],
    grid: (n, o, { rows }) => [teams(rows, o, 16), n],
  },
  quantize: {
    bindings: { p: "uniform", count: "uniform", x: "read", norm: "read", y: "write" },
    params: ["D", "eps", "groups"],
    overrides: ["THREADS", "NORM"],
    grid: (n) => [n, 1],
  },
  matmul: {
    bindings: { ...WEIGHTS, p: "uniform", count: "uniform", x: "read", y: "write" },
    params: ["y_stride"],
    overrides: ["ADD"],
    grid: (n, _, { rows }) => [Math.ceil(rows / 128), Math.ceil(n / 16)],
  },
  rope: {
    bindings: { p: "uniform", count: "uniform", step: "read", angles: "read", qkv: "write" },
    params: ["turned", "pairs", "stride"],
    overrides: [],
    grid: (n, o) => per64(n * o.turned! * o.pairs!),
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
    overrides: [],
    grid: (n, o) => per64(n * o.kv_heads! * o.pairs!),
  },
  attention: {
    bindings: {
      p: "uniform",
      runs: "read",
      step: "read",
      qkv: "read",
      keys: "read",
      values: "read",
      y: "write",
    },
    params: ["block", "heads", "kv_heads", "pairs", "window", "scale", "stride", "y_stride", "abreast", "chunk"],
    overrides: ["SHARES"],
    grid: (runs, o) => [o.kv_heads! * Math.ceil(o.heads! / o.kv_heads! / o.abreast!), runs],
  },
  attention_split: {
    bindings: {
      p: "uniform",
      count: "uniform",
      step: "read",
      qkv: "read",
      keys: "read",
      values: "read",
      y: "write",
    },
    params: ["block", "heads", "kv_heads", "pairs", "window", "scale", "stride", "y_stride", "most", "slices"],
    overrides: ["UNITS", "SLICES", "FOURS"],
    grid: (n, o) => [o.kv_heads! * Math.ceil(o.heads! / o.kv_heads! / 8), n * splits(n, o.most!)],
  },
  attention_reduce: {
    bindings: { p: "uniform", count: "uniform", x: "read", y: "write" },
    params: ["heads", "pairs", "most", "stride", "y_stride"],
    overrides: [],
    grid: (n, o) => [o.heads!, n],
  },
  route: {
    bindings: { ...MATVEC, ids: "write", weights: "write" },
    params: ["D", "eps", "K"],
    overrides: ["THREADS", "TEAM", "NORM"],
    grid: (n) => [n, 1],
  },
  group: {
    bindings: { p: "uniform", count: "uniform", ids: "read", starts: "write", sorted: "write" },
    params: ["E", "K"],
    overrides: [],
    grid: (_, o) => [o.E!, 1],
  },
  expert_up_vec: {
    bindings: { ...MATVEC, ids: "read", y: "write" },
    params: ["D", "eps", "K", "y_stride"],
    overrides: ["THREADS", "TEAM", "NORM"],
    grid: (n, o, { rows }) => [teams(rows, o), n * o.K!],
  },
  expert_up: {
    bindings: { ...WEIGHTS, p: "uniform", x: "read", starts: "read", sorted: "read", y: "write" },
    params: ["E", "K", "y_stride"],
    overrides: [],
    grid: (n, o, { rows }) => [Math.ceil(rows / 128), tiles(n, o)],
  },
  expert_down_vec: {
    bindings: { ...MATVEC, ids: "read", weights: "read", y: "write" },
    params: ["D", "eps", "K", "y_stride"],
    overrides: ["THREADS", "TEAM", "NORM", "ADD"],
    grid: (n, o, { rows }) => [teams(rows, o), n],
  },
  expert_down: {
    bindings: { ...WEIGHTS, p: "uniform", x: "read", starts: "read", sorted: "read", y: "write" },
    params: ["E", "y_stride"],
    overrides: [],
    grid: (n, o, { rows }) => [Math.ceil(rows / 128), tiles(n, { ...o, K: 1 })],
  },
  combine: {
    bindings: { p: "uniform", count: "uniform", x: "read", weights: "read", y: "write" },
    params: ["K", "vectors"],
    overrides: ["ADD"],
    grid: (n, o) => per64(n * o.vectors!),
  },
  add: {
    bindings: { p: "uniform", count: "uniform", x: "write", y: "read" },
    params: ["vectors"],
    overrides: [],
    grid: (n, o) => per64(n * o.vectors!),
  },
  rows: {
    bindings: { p: "uniform", count: "uniform", x: "read", outputs: "read", y: "write" },
    params: ["vectors"],
    overrides: [],
    grid: (n, o) => per64(n * o.vectors!),
  },
} as const satisfies Record<string, KernelLine>;

export type KernelName = keyof typeof TABLE;
