// The projection of rows to q, k and v: with RoPE and the append in one dispatch a matrix, or
// products alone, of several matrices in one dispatch.

import type { Attention } from "../../ops.ts";
import type { Buffer } from "../device/device.ts";
import type { Call } from "../dispatch/commands.ts";
import type { Arithmetic } from "../dispatch/shader.ts";
import { fewCalls } from "../tuning/few.ts";
import { type MatvecInput, matvecCalls } from "../tuning/matvec.ts";
import type { GpuMatrix } from "../weights/space.ts";
import type { Cache } from "./kv.ts";
import type { PendingDispatch } from "./pending.ts";
import { checkWidth, type ProductContext } from "./product_context.ts";
import type { GpuTensor } from "./scratch.ts";
import { turn } from "./turn.ts";

/** Matrices that qkv_mixed.wgsl takes. */
const MIXED = 3;

/** Products with one matrix (products.ts). */
interface RowProducts {
  matmul(x: GpuTensor, w: GpuMatrix, y: Buffer, stride: number, add: boolean): void;
  rows(x: GpuTensor, to: Arithmetic): Buffer;
  matvec(x: GpuTensor, w: GpuMatrix, panels?: number): MatvecInput;
}

export class Projections {
  readonly #context: ProductContext;
  readonly #products: RowProducts;

  constructor(context: ProductContext, products: RowProducts) {
    this.#context = context;
    this.#products = products;
  }

  /** Whether encode() can do all of it in one dispatch a matrix, and fewer dispatches cannot. */
  fused(n: number, matrices: readonly GpuMatrix[], { headDim, rope, qkNorm, clip }: Attention): boolean {
    const usual = 2 * rope.inverse.length === headDim && qkNorm === null && clip === undefined;
    const whole = matrices.every(({ ranges }) => ranges.every(({ rows }) => rows % headDim === 0));
    const form = this.#context.tuning.form(n);
    return form !== "tile" && whole && headDim % 16 === 0 && usual && !(form === "vec" && mixes(matrices));
  }

  /**
   * Projection by stacked() matrices, norms and RoPE; with `cache` k and v are appended too.
   * Returns what of it is not encoded, because attention may do it.
   */
  encode(
    x: GpuTensor,
    matrices: readonly GpuMatrix[],
    attention: Attention,
    y: GpuTensor,
    cache: Cache | null,
  ): PendingDispatch | null {
    for (const w of matrices) checkWidth(x, w);
    if (cache && this.fused(x.shape[0], matrices, attention)) {
      this.#fused(x, matrices, attention, y, cache);
      return null;
    }
    const { scratch, step, tuning } = this.#context;
    const projection = scratch.storage("projection", x.shape[0], y.stride, "tokens");
    this.#multiply(x, matrices, projection, y.stride);
    const turned = (to: Cache | null) => (): void => turn(this.#context, projection, attention, y, to);
    // Tokens of one sequence are never turned by attention: where they agree, no others are.
    if (cache && step.apart && tuning.agree === 0)
      return {
        tensor: y,
        alone: turned(cache),
        unturned: { projection, keys: cache.keys, turn: turned(null) },
      };
    turned(cache)();
    return null;
  }

  #fused(x: GpuTensor, matrices: readonly GpuMatrix[], attention: Attention, y: GpuTensor, cache: Cache): void {
    const { heads, kvHeads, headDim, rope } = attention;
    const { plans, step, encoder, tuning } = this.#context;
    const n = x.shape[0];
    const form = tuning.form(n);
    const angles = step.angles(rope);
    const { store, keys, values, words } = cache;
    const params = { y_stride: y.stride, block: store.blockSize, heads, kv_heads: kvHeads, pairs: headDim / 2 };
    const buffers = { angles, step: words ?? step.words, y: y.buffer, keys, values };
    const kv = { kv: store.precision };
    for (const w of matrices) {
      if (form !== "vec" && form !== "tile") {
        const few = tuning.few(w, form, tuning.fewInt8(w));
        const from = this.#products.rows(x, few.arithmetic);
        plans.run(`qkv_few ${form} ${w.id} ${from.id} ${y.buffer.id} ${keys.id} ${angles.id}`, n, () =>
          fewCalls(encoder, "qkv_few", few, w, params, { ...buffers, count: step.counts.tokens, x: from }, kv),
        );
        continue;
      }
      const input = this.#products.matvec(x, w, 2);
      const PANELS = tuning.panelsAtOnce;
      plans.run(`qkv_vec ${w.id} ${x.buffer.id} ${input.key} ${y.buffer.id} ${keys.id} ${angles.id}`, n, () =>
        matvecCalls(encoder, "qkv_vec", w, input, { ...params, PANELS }, buffers, kv),
      );
    }
  }

  /** y = x q | k | v. */
  #multiply(x: GpuTensor, matrices: readonly GpuMatrix[], y: Buffer, stride: number): void {
    const n = x.shape[0];
    if (this.#context.tuning.form(n) !== "vec" || !mixes(matrices)) {
      for (const w of matrices) this.#products.matmul(x, w, y, stride, false);
      return;
    }
    const input = this.#input(x, matrices);
    const ids = matrices.map(({ id }) => id);
    this.#context.plans.run(`qkv_mixed ${ids} ${x.buffer.id} ${input.key} ${y.id}`, n, () => [
      this.#mixed(matrices, input, y, stride),
    ]);
  }

  /** The variant that suits the largest of the matrices, in an arithmetic that all of them have. */
  #input(x: GpuTensor, matrices: readonly GpuMatrix[]): MatvecInput {
    const [largest] = [...matrices].sort((a, b) => b.bytes - a.bytes);
    const inputs = matrices.map((w) => this.#products.matvec(x, w));
    const same = inputs.every(({ arithmetic }) => arithmetic === inputs[0]!.arithmetic);
    const input = inputs[matrices.indexOf(largest!)]!;
    return { ...input, ...(!same && { arithmetic: "f32" }), atOnce: inputs.some(({ atOnce }) => atOnce === 1) ? 1 : 2 };
  }

  #mixed(matrices: readonly GpuMatrix[], input: MatvecInput, y: Buffer, y_stride: number): Call {
    const { arithmetic, reduce, threads, teams, atOnce, D, eps } = input;
    const [first, second, third = first] = matrices as readonly [GpuMatrix, GpuMatrix, GpuMatrix?];
    const [one, two, three] = [first, second, third].map(({ parts }) => parts[0]!.buffers);
    const sum = (each: (w: GpuMatrix) => number): number => matrices.reduce((all, w) => all + each(w), 0);
    const groups = first.groups;
    return this.#context.encoder.call("qkv_mixed", {
      variant: {
        ...{ weights: first.format.name, second: second.format.name, third: third.format.name },
        ...{ arithmetic, reduce },
      },
      params: {
        ...{ D, eps, y_stride, workgroups: sum(({ rows }) => Math.ceil(rows / (8 * teams))) },
        ...{ bytes: sum(({ bytes }) => bytes), values: sum(({ rows }) => 32 * groups * rows) },
      },
      overrides: {
        ...{ BIAS: Number(first.biased), BIAS_second: Number(second.biased), BIAS_third: Number(third.biased) },
        ...{ THREADS: threads, TEAM: threads / teams, AT_ONCE: atOnce },
        ...{ NORM: input.norm ? 1 : 0, PARTS: matrices.length },
      },
      buffers: {
        ...{ x: input.x, norm: input.norm ?? input.x, y },
        ...{ w: one!.w, w_second: two!.w, w_third: three!.w },
        ...{ part: one!.part, part_second: two!.part, part_third: three!.part },
      },
      part: { rows: sum(({ rows }) => rows), groups },
    });
  }
}

/** Whether qkv_mixed.wgsl takes the matrices: a binding holds each. */
function mixes(matrices: readonly GpuMatrix[]): boolean {
  return matrices.length > 1 && matrices.length <= MIXED && matrices.every(({ parts }) => parts.length === 1);
}
