// Between the products q | k | v and attention: norms of q and k, the clip of all three, RoPE, the
// append to the cache.

import type { Attention } from "../../ops.ts";
import type { Buffer } from "../device/device.ts";
import type { GpuVector } from "../weights/space.ts";
import type { Cache } from "./kv.ts";
import type { RoundingContext } from "./rounded.ts";
import type { GpuTensor } from "./scratch.ts";

/** Of the norm, the clip and RoPE: params of kernels that turn q and k. */
export const turnParams = ({ rope, qkNorm, clip }: Attention) => ({
  turned: rope.inverse.length,
  q_size: qkNorm?.q.size ?? 1,
  k_size: qkNorm?.k.size ?? 1,
  eps: qkNorm?.eps ?? 0,
  clip: clip ?? 0,
});

export const turnOverrides = ({ qkNorm, clip }: Attention) => ({
  NORM: Number(qkNorm !== null),
  CLIP: Number(clip !== undefined),
});

/** y of the products x = q | k | v: norms, clip, RoPE and, with `cache`, the append. */
export function turn(context: RoundingContext, x: Buffer, shape: Attention, y: GpuTensor, cache: Cache | null): void {
  const { plans, scratch, step, encoder } = context;
  const { heads, kvHeads, headDim, rope, qkNorm } = shape;
  const angles = step.angles(rope);
  const [q, k] = [qkNorm?.q as GpuVector | undefined, qkNorm?.k as GpuVector | undefined];
  const keys = cache?.keys ?? scratch.storage("no keys", 1, 4, "outputs");
  const values = cache?.values ?? scratch.storage("no values", 1, 4, "outputs");
  plans.run(`qkv_turn ${y.buffer.id} ${angles.id} ${q?.buffer.id} ${k?.buffer.id} ${keys.id}`, y.shape[0], () => [
    encoder.call("qkv_turn", {
      variant: { kv: cache?.store.precision ?? "f32" },
      params: {
        stride: y.stride,
        block: cache?.store.blockSize ?? 1,
        heads,
        kv_heads: kvHeads,
        pairs: headDim / 2,
        ...turnParams(shape),
      },
      overrides: {
        THREADS: (q?.size ?? 0) > 256 ? 256 : 64,
        ...turnOverrides(shape),
        APPEND: Number(cache !== null),
      },
      buffers: {
        x,
        q_norm: q?.buffer ?? x,
        k_norm: k?.buffer ?? x,
        angles,
        step: cache?.words ?? step.words,
        y: y.buffer,
        keys,
        values,
      },
    }),
  ]);
}
