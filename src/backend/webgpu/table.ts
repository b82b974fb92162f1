// One line a kernel: its bindings in order, its override constants, its grid. A test holds each line against the WGSL.

/** How a kernel sees a buffer: a uniform, a storage buffer that it reads, or one that it writes. */
export type Access = "uniform" | "read" | "write";

export interface KernelLine {
  readonly bindings: Readonly<Record<string, Access>>;
  readonly overrides: readonly string[];
  /**
   * Workgroups: [linear count, second dimension]. `n` is the rows that the verb works on, `o` its override constants,
   * `rows` the rows of the weight part. The linear count is folded into x and y where it is too large for x.
   */
  readonly grid: (n: number, o: Readonly<Record<string, number>>, rows: number) => readonly [number, number];
}

const WEIGHTS = { w: "read", part: "uniform" } as const;
const per64 = (invocations: number) => [Math.ceil(invocations / 64), 1] as const;
/** Tiles of 32 slots over all experts, at most: each expert may have one that is not full. */
const tiles = (n: number, o: Readonly<Record<string, number>>) =>
  Math.floor((n * o.K!) / 32) + Math.min(o.E!, n * o.K!);

export const TABLE = {
  embed: {
    bindings: { ...WEIGHTS, count: "uniform", tokens: "read", y: "write" },
    overrides: ["GROUPS"],
    grid: (n, o) => per64(n * o.GROUPS! * 4),
  },
  rms_norm: {
    bindings: { count: "uniform", x: "read", w: "read", y: "write" },
    overrides: ["D", "EPS", "VECTORS", "THREADS"],
    grid: (n) => [n, 1],
  },
  matmul_vec: {
    bindings: { ...WEIGHTS, x: "read", y: "write" },
    overrides: ["GROUPS", "Y_STRIDE", "THREADS"],
    grid: (n, _, rows) => [Math.ceil(rows / 4), n],
  },
  matmul: {
    bindings: { ...WEIGHTS, count: "uniform", x: "read", y: "write" },
    overrides: ["GROUPS", "Y_STRIDE"],
    grid: (n, _, rows) => [Math.ceil(rows / 64), Math.ceil(n / 32)],
  },
  rope: {
    bindings: { count: "uniform", angles: "read", qkv: "write" },
    overrides: ["TURNED", "PAIRS", "STRIDE"],
    grid: (n, o) => per64(n * o.TURNED! * o.PAIRS!),
  },
  append: {
    bindings: { count: "uniform", tokens: "read", blocks: "read", qkv: "read", keys: "write", values: "write" },
    overrides: ["BLOCK", "KV_HEADS", "PAIRS", "HEADS", "STRIDE"],
    grid: (n, o) => per64(n * o.KV_HEADS! * o.PAIRS!),
  },
  attention: {
    bindings: { tokens: "read", blocks: "read", qkv: "read", keys: "read", values: "read", y: "write" },
    overrides: ["BLOCK", "KV_HEADS", "PAIRS", "HEADS", "WINDOW", "SCALE", "STRIDE", "Y_STRIDE", "THREADS"],
    grid: (n, o) => [o.HEADS!, n],
  },
  route: {
    bindings: { count: "uniform", logits: "read", ids: "write", weights: "write" },
    overrides: ["E", "K", "STRIDE"],
    grid: (n) => per64(n),
  },
  group: {
    bindings: { count: "uniform", ids: "read", starts: "write", sorted: "write" },
    overrides: ["E", "K"],
    grid: (_, o) => [o.E!, 1],
  },
  expert_up_vec: {
    bindings: { ...WEIGHTS, x: "read", ids: "read", y: "write" },
    overrides: ["GROUPS", "K", "Y_STRIDE", "THREADS"],
    grid: (n, o, rows) => [Math.ceil(rows / 4), n * o.K!],
  },
  expert_up: {
    bindings: { ...WEIGHTS, x: "read", starts: "read", sorted: "read", y: "write" },
    overrides: ["GROUPS", "E", "K", "Y_STRIDE"],
    grid: (n, o, rows) => [Math.ceil(rows / 64), tiles(n, o)],
  },
  expert_down_vec: {
    bindings: { ...WEIGHTS, x: "read", ids: "read", y: "write" },
    overrides: ["GROUPS", "Y_STRIDE", "THREADS"],
    grid: (n, _, rows) => [Math.ceil(rows / 4), n],
  },
  expert_down: {
    bindings: { ...WEIGHTS, x: "read", starts: "read", sorted: "read", y: "write" },
    overrides: ["GROUPS", "E", "Y_STRIDE"],
    grid: (n, o, rows) => [Math.ceil(rows / 64), tiles(n, { ...o, K: 1 })],
  },
  combine: {
    bindings: { count: "uniform", x: "read", weights: "read", y: "write" },
    overrides: ["K", "VECTORS"],
    grid: (n, o) => per64(n * o.VECTORS!),
  },
  add: {
    bindings: { count: "uniform", x: "write", y: "read" },
    overrides: ["VECTORS"],
    grid: (n, o) => per64(n * o.VECTORS!),
  },
  rows: {
    bindings: { count: "uniform", x: "read", outputs: "read", y: "write" },
    overrides: ["VECTORS"],
    grid: (n, o) => per64(n * o.VECTORS!),
  },
} as const satisfies Record<string, KernelLine>;

export type KernelName = keyof typeof TABLE;
