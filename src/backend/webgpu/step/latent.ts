// Multi-head latent attention: each head's own products, and what queries and the key are made of.

import { DeviceError, RequestError } from "../../../errors.ts";
import type { Attention, Latent } from "../../ops.ts";
import type { Buffer } from "../device/device.ts";
import { FEW, type FewShape, fewCalls } from "../tuning/few.ts";
import type { Tuning } from "../tuning/tuning.ts";
import type { GpuHeads, GpuVector } from "../weights/space.ts";
import type { AttentionTools } from "./attention_tools.ts";
import type { Cache } from "./kv.ts";
import type { PendingDispatch } from "./pending.ts";
import { type GpuTensor, padded } from "./scratch.ts";

/** The numbers of each head in rows of x: `size` of them, head h's from h * each on. */
interface Columns {
  readonly x: GpuTensor;
  readonly each: number;
  readonly size: number;
}

export class LatentCalls {
  readonly #tools: AttentionTools & { readonly tuning: Tuning };

  constructor(tools: AttentionTools & { readonly tuning: Tuning }) {
    this.#tools = tools;
  }

  /** Ops.heads() of rows x. */
  heads(x: GpuTensor, w: GpuHeads): GpuTensor {
    const { heads: H, rows, cols } = w;
    if (x.shape[1] !== H * cols) throw new RequestError(`heads: rows [${x.shape}] by ${H} matrices of ${cols} inputs`);
    const y = this.#tools.scratch.tensor("heads", x.shape[0], H * rows, x.rows);
    this.#multiply({ x, each: cols, size: cols }, w, y.buffer, y.stride);
    return y;
  }

  /** Ops.latent(), which waits for the append. */
  queries(q: GpuTensor, c: GpuTensor, { absorb, norm, eps }: Latent, shape: Attention): PendingDispatch {
    const { scratch } = this.#tools;
    const { heads: H, headDim, latent: kv = 0 } = shape;
    const turned = headDim - kv;
    const each = absorb.cols + turned;
    if (q.shape[1] !== H * each || c.shape[1] !== headDim)
      throw new RequestError(
        `latent: rows [${q.shape}] and [${c.shape}] for ${H} heads of ${each} and a key of ${headDim}`,
      );
    if (kv % 2 !== 0)
      throw new DeviceError(`latents of ${kv} numbers: the WebGPU backend takes even sizes; use backend cpu`);
    const n = q.shape[0];
    const absorbed = scratch.storage("absorbed queries", n, H * kv, "tokens");
    this.#multiply({ x: q, each, size: absorb.cols }, absorb as GpuHeads, absorbed, H * kv);
    const tensor = scratch.tensor("latent", n, (H + 1) * headDim, "tokens");
    const weights = { norm: norm as GpuVector, eps, nope: absorb.cols };
    const encode = (cache: Cache | null): void => this.#turn({ q, c, absorbed }, weights, shape, tensor, cache);
    const append = (cache: Cache): null => {
      encode(cache);
      return null;
    };
    return { tensor, alone: () => encode(null), append };
  }

  #turn(
    { q, c, absorbed }: { readonly q: GpuTensor; readonly c: GpuTensor; readonly absorbed: Buffer },
    { norm, eps, nope }: { readonly norm: GpuVector; readonly eps: number; readonly nope: number },
    { heads, headDim, rope }: Attention,
    y: GpuTensor,
    cache: Cache | null,
  ): void {
    const { plans, scratch, step, encoder } = this.#tools;
    const angles = step.angles(rope);
    const keys = cache?.keys ?? scratch.storage("no keys", 1, 4, "outputs");
    const key = `${q.buffer.id} ${c.buffer.id} ${y.buffer.id} ${norm.buffer.id} ${angles.id} ${keys.id}`;
    plans.run(`latent_turn ${key}`, y.shape[0], () => [
      encoder.call("latent_turn", {
        variant: { kv: cache?.store.precision ?? "f32" },
        params: {
          q_stride: q.stride,
          c_stride: c.stride,
          y_stride: y.stride,
          block: cache?.store.blockSize ?? 1,
          heads,
          kv_heads: 1,
          pairs: headDim / 2,
          nope,
          turned: rope.inverse.length,
          eps,
        },
        overrides: { APPEND: Number(cache !== null) },
        buffers: {
          q: q.buffer,
          absorbed,
          c: c.buffer,
          norm: norm.buffer,
          angles,
          step: cache?.words ?? step.words,
          y: y.buffer,
          keys,
        },
      }),
    ]);
  }

  /** To y [T, H, rows], of `stride` floats a token. */
  #multiply({ x, each, size }: Columns, w: GpuHeads, y: Buffer, stride: number): void {
    const { plans, scratch, step, encoder, tuning } = this.#tools;
    const { heads } = w;
    const n = x.shape[0];
    const count = step.counts[x.rows];
    const width = padded(size);
    let from = x.buffer;
    if (width !== size || each !== size || x.stride !== heads * size) {
      from = scratch.storage("rows of heads", n, width, x.rows, heads);
      plans.run(`head_rows ${x.buffer.id} ${from.id} ${each} ${size}`, n, () => [
        encoder.call("head_rows", {
          params: { heads, stride: x.stride, each, size, padded: width },
          buffers: { count, x: x.buffer, y: from },
        }),
      ]);
    }
    const form = this.#form(n);
    plans.run(`heads ${form} ${w.id} ${from.id} ${y.id}`, n, () =>
      fewCalls(
        encoder,
        "heads",
        tuning.few(w, form, false),
        w,
        { heads, y_stride: stride, y_each: w.rows },
        { count, x: from, y },
      ),
    );
  }

  /** The form of matrices for a few rows; on a software adapter 8x4 always: one is compiled. */
  #form(n: number): FewShape {
    const { tuning } = this.#tools;
    const few = tuning.form(16);
    if (few === "4x4") return few;
    const one = n <= Math.max(FEW["8x4"].tokens, tuning.agree) || tuning.forms.alone;
    return one || few === "vec" || few === "tile" ? "8x4" : few;
  }
}
