// Which kernel attention takes, and how its work is cut: by runs of tokens, or token by token with
// their positions in splits.

import { RequestError } from "../../../errors.ts";
import { rowOf } from "../../kv_block.ts";
import type { Attention, KvStore, Matrix } from "../../ops.ts";
import type { Buffer } from "../device/device.ts";
import { splits } from "../dispatch/attention_lines.ts";
import type { Call } from "../dispatch/commands.ts";
import type { GpuVector } from "../weights/space.ts";
import type { AttentionTools } from "./attention_tools.ts";
import type { Cache } from "./kv.ts";
import { Q8Calls } from "./q8.ts";
import type { GpuTensor } from "./scratch.ts";
import { turnOverrides, turnParams } from "./turn.ts";

/**
 * Up to so many tokens, even of one sequence, are worth more workgroups than keys that are read
 * only once.
 */
const FEW_TOKENS = 8;
/** Rows of attention.wgsl: each of its 64 invocations has four, or a share of four. */
const ROWS = 256;
/** Rows of attention_latent.wgsl, and dimensions of a value: a slab. */
const LATENT_ROWS = 32;
const LATENT_SLAB = 512;
/**
 * Workgroups that fill a large GPU several times over, and as many as a processor that plays one
 * has use for.
 */
const WORKGROUPS = { gpu: 512, software: 4 } as const;
/** Splits that attention_reduce.wgsl takes: one an invocation. */
const MAX_SPLITS = 64;
/** Positions that are worth a split: two tiles at the least, whatever the head. */
const SPLIT_POSITIONS = 64;
/** Below so many positions one workgroup is done sooner than two dispatches are. */
const WHOLE_POSITIONS = 128;

/**
 * attention.wgsl's cut: the longest run of tokens that one workgroup takes, and of how many heads.
 */
function runsOf({ heads, kvHeads, headDim }: Attention) {
  const shares = Math.max(1, 2 ** Math.ceil(Math.log2(headDim / 16)));
  const rows = ROWS / shares;
  const abreast = Math.min(heads / kvHeads, rows);
  return { shares, abreast, longest: Math.floor(rows / abreast) };
}

/**
 * The same of attention_latent.wgsl, whose workgroups take 32 rows: the fewest tokens whose heads
 * are whole workgroups.
 */
function latentRunsOf({ heads }: Attention) {
  let longest = 1;
  while ((longest * heads) % LATENT_ROWS !== 0) longest *= 2;
  return { longest, groups: (longest * heads) / LATENT_ROWS };
}

/**
 * Splits of all tokens of a step together, at most: what fills the device, but no more than the
 * layer's store has `positions` for. It follows from the store's size and not from any sequence's
 * length, so that scratch stays as it is while sequences grow, and grids from WHOLE_POSITIONS on;
 * each token's own splits and their spans are found on the device
 * (kernels/lib/attention/splits.wgsl).
 */
export function mostSplits(positions: number, { heads, kvHeads }: Attention, software: boolean): number {
  const groups = kvHeads * Math.ceil(heads / kvHeads / 8);
  const wanted = Math.floor(WORKGROUPS[software ? "software" : "gpu"] / groups);
  return Math.max(1, Math.min(wanted, MAX_SPLITS, Math.ceil(positions / SPLIT_POSITIONS)));
}

/** Over runs; over tokens whose positions are not split; over tokens whose positions are. */
type AttentionKernel = "runs" | "whole" | "split";

type Cut = Readonly<Record<"most" | "stride" | "yStride" | "rowOfParts", number>>;
type Buffers = Readonly<Record<"step" | "runs" | "qkv" | "keys" | "values" | "y", Buffer>> & {
  readonly parts: Buffer | null;
};

export class AttentionCalls {
  readonly #tools: AttentionTools;
  readonly #q8: Q8Calls;
  /** Weights of norms of q and then of k, by those of q. */
  readonly #norms = new Map<GpuVector, Buffer>();

  constructor(tools: AttentionTools) {
    this.#tools = tools;
    this.#q8 = new Q8Calls(tools);
  }

  /** Writes k and v of every token to the cache. */
  append(cache: Cache, qkv: GpuTensor, shape: Attention): void {
    const { store: kv, keys, values, words } = cache;
    if (kv.precision === "q8") {
      this.#q8.append(cache, qkv, shape);
      return;
    }
    const { heads, kvHeads, headDim, latent } = shape;
    const { plans, step, encoder } = this.#tools;
    plans.run(`append ${keys.id} ${qkv.buffer.id}`, qkv.shape[0], () => [
      encoder.call("append", {
        variant: { kv: kv.precision },
        params: { block: kv.blockSize, heads, kv_heads: kvHeads, pairs: headDim / 2, stride: qkv.stride },
        overrides: { VALUES: latent ? 0 : 1 },
        buffers: {
          count: step.counts.tokens,
          step: words ?? step.words,
          qkv: qkv.buffer,
          keys,
          values: latent ? this.#tools.scratch.storage("no values", 1, 4, "outputs") : values,
        },
      }),
    ]);
  }

  /**
   * Encodes attention of qkv's rows over a layer's cache.
   * @param unturned the projection in place of qkv, of tokens of different sequences, which is to
   * be turned and appended too
   */
  encode(cache: Cache, qkv: GpuTensor, shape: Attention, unturned: Buffer | null = null): GpuTensor {
    const { store: kv, keys, values, words, positions } = cache;
    const { plans, scratch, step, software, agree } = this.#tools;
    const n = qkv.shape[0];
    const { valueDim } = rowOf(shape);
    const runs = step.runs((shape.latent ? latentRunsOf(shape) : runsOf(shape)).longest);
    // Tokens that agree are cut alike, however many there are and however large the store is.
    const most = mostSplits(agree > 0 ? Number.POSITIVE_INFINITY : positions, shape, software);
    // Rows of a split: outputs, then a maximum and a sum a head.
    const rowOfParts = shape.heads * (valueDim + 2);
    const together = Math.max(1, agree) * most;
    const parts = most > 1 ? scratch.storage("attention splits", together, rowOfParts, "outputs") : null;
    const y = scratch.tensor("attention", n, shape.heads * valueDim, "tokens");
    const rotated = kv.precision === "q8" && !shape.latent ? this.#q8.queries(cache, qkv, shape) : null;
    const from = unturned ?? rotated?.buffer ?? qkv.buffer;
    const turn = unturned ? this.#turn(shape) : null;
    const key = `${keys.id} ${from.id} ${y.buffer.id} ${turn?.key}`;
    const cut = { most, stride: rotated?.stride ?? qkv.stride, yStride: y.stride, rowOfParts };
    const buffers = { step: words ?? step.words, runs: runs.buffer, qkv: from, keys, values, parts, y: y.buffer };
    const bind = (kernel: AttentionKernel) => () => this.#bind(kernel, kv, shape, cut, buffers, turn);
    // All at once: a warm-up with one token serves prompts too.
    const calls: Record<AttentionKernel, readonly Call[]> = {
      runs: turn ? [] : plans.plan(`attention runs ${key}`, bind("runs")),
      whole: plans.plan(`attention whole ${key}`, bind("whole")),
      split: plans.plan(`attention split ${key}`, bind("split")),
    };
    const tiled = !turn && (!shape.latent || !shape.sinks); // attention_latent.wgsl takes no sinks
    if (tiled && runs.count < n && n > FEW_TOKENS) plans.dispatch(calls.runs, runs.count);
    else plans.dispatch(splits(n, most, agree) > 1 && this.#far(n, shape) ? calls.split : calls.whole, n);
    return y;
  }

  /**
   * Whether a token of the step sees positions that are worth more workgroups than one; tokens that
   * agree are taken to, wherever they are.
   */
  #far(n: number, { window }: Attention): boolean {
    if (n <= this.#tools.agree) return true;
    const seen = (position: number): number => Math.min(position + 1, window ?? position + 1);
    return this.#tools.step.batch!.positions.some((position) => seen(position) >= WHOLE_POSITIONS);
  }

  /** What attention_turn.wgsl takes besides. */
  #turn(shape: Attention): Turn {
    const { qkNorm } = shape;
    const [q, k] = [qkNorm?.q as GpuVector | undefined, qkNorm?.k as GpuVector | undefined];
    const norms = q && k && this.#normsOf(q, k);
    const angles = this.#tools.step.angles(shape.rope);
    return {
      params: turnParams(shape),
      overrides: turnOverrides(shape),
      buffers: { angles, ...(norms && { norms }) },
      key: `${angles.id} ${norms?.id}`,
    };
  }

  #normsOf(q: GpuVector, k: GpuVector): Buffer {
    let buffer = this.#norms.get(q);
    if (!buffer) {
      const both = Float32Array.from([...q.values.subarray(0, q.size), ...k.values.subarray(0, k.size)]);
      buffer = this.#tools.device.buffer("weights of norms of q and k", both.byteLength, "weights", "storage");
      this.#tools.device.gpu.queue.writeBuffer(buffer.gpu, 0, both);
      this.#norms.set(q, buffer);
    }
    return buffer;
  }

  #bind(
    kernel: AttentionKernel,
    kv: KvStore,
    shape: Attention,
    { most, stride, yStride, rowOfParts }: Cut,
    { runs, parts, y, ...cached }: Buffers,
    turn: Turn | null,
  ): readonly Call[] {
    const { encoder, step } = this.#tools;
    const { heads, kvHeads, headDim, scale } = shape;
    const { valueDim } = rowOf(shape);
    const { shares, abreast } = runsOf(shape);
    const units = Math.ceil(headDim / 8);
    const fours = heads / kvHeads > 4 ? 2 : 1;
    // Of 128 invocations with four heads in registers, 64 with eight; 16 slices keep a tile within
    // 64 positions.
    const slices = Math.max(1, Math.min(16, Math.floor(128 / fours / units)));
    const variant = { kv: kv.precision };
    const registers = this.#tools.fewRegisters ? ({ registers: "few" } as const) : {};
    const params = {
      block: kv.blockSize,
      heads,
      kv_heads: kvHeads,
      pairs: headDim / 2,
      window: shape.window ?? 0,
      scale,
      stride,
      y_stride: yStride,
      abreast,
      chunk: shares < 16 ? 8 : 4,
      most,
      unshared: this.#tools.agree,
      slices,
      skip: headDim - valueDim,
    };
    const SINKS = shape.sinks ? 1 : 0;
    const overrides = { SINKS, SHARES: shares, UNITS: units, SLICES: slices, FOURS: fours };
    const count = step.counts.tokens;
    const sinks = (shape.sinks as GpuVector | null)?.buffer;
    const buffers = { count, ...cached, sinks: sinks ?? cached.qkv };
    if (kernel === "runs" && shape.latent) {
      const { longest, groups } = latentRunsOf(shape);
      const slabs = Math.ceil((units - Math.floor(params.skip / 8)) / (LATENT_SLAB / 8));
      const own = { ...params, longest, groups: groups * slabs };
      const { values: _, ...read } = cached;
      return [encoder.call("attention_latent", { variant, params: own, buffers: { ...read, runs, y } })];
    }
    if (kernel === "runs")
      return [encoder.call("attention", { variant, params, overrides, buffers: { ...buffers, runs, y } })];
    const split = (to: Buffer, own: Readonly<Record<"most" | "y_stride", number>>): Call =>
      encoder.call(turn ? "attention_turn" : "attention_split", {
        variant: { ...variant, ...registers },
        params: { ...params, ...turn?.params, ...own },
        overrides: { ...overrides, ...turn?.overrides },
        buffers: { ...buffers, ...turn?.buffers, norms: turn?.buffers.norms ?? cached.qkv, y: to },
      });
    if (kernel === "whole") return [split(y, { most: 1, y_stride: yStride })];
    if (parts === null) return []; // a store that small is never split
    const reduced = {
      params: { ...params, pairs: valueDim / 2, stride: rowOfParts },
      overrides: { SINKS },
      buffers: { count, x: parts, sinks: sinks ?? parts, y },
    };
    return [split(parts, { most, y_stride: rowOfParts }), encoder.call("attention_reduce", reduced)];
  }
}

/** How attention turns q and k itself. */
interface Turn {
  readonly params: Readonly<Record<string, number>>;
  readonly overrides: Readonly<Record<string, number>>;
  readonly buffers: { readonly angles: Buffer; readonly norms?: Buffer };
  /** Different for different buffers. */
  readonly key: string;
}

/** Rows of q, k and v together. @throws RequestError for parts that are not whole heads */
export function widthOfHeads(matrices: readonly Matrix[], { heads, kvHeads, headDim }: Attention): number {
  const width = matrices.reduce((sum, { rows }) => sum + rows, 0);
  const whole = matrices.every(({ rows }) => rows % headDim === 0);
  if (width !== (heads + 2 * kvHeads) * headDim || !whole || headDim % 2 !== 0)
    throw new RequestError(
      `${matrices.map(({ name }) => name).join(", ")}: ${matrices.map(({ rows }) => rows).join(" + ")} rows for ${heads} + 2 x ${kvHeads} heads of ${headDim} (even)`,
    );
  return width;
}
