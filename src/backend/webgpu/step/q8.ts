// A cache of int8: keys and values are rounded by whole heads, and queries rotated as keys are.

import type { Attention } from "../../ops.ts";
import type { AttentionTools } from "./attention_tools.ts";
import type { Cache } from "./kv.ts";
import type { GpuTensor } from "./scratch.ts";

/** Queries [T, H Dh]. */
type Queries = Pick<GpuTensor, "buffer" | "stride">;

export class Q8Calls {
  readonly #tools: AttentionTools;
  /** The rows whose queries the last append has rotated. */
  #rotated: GpuTensor | null = null;

  constructor(tools: AttentionTools) {
    this.#tools = tools;
  }

  /** Writes k and v of every token to the cache, and rotates the queries that attention takes. */
  append(cache: Cache, qkv: GpuTensor, shape: Attention): void {
    this.#encode(cache, qkv, shape, 1);
    this.#rotated = qkv;
  }

  /** The rotated queries of rows. */
  queries(cache: Cache, qkv: GpuTensor, shape: Attention): Queries {
    if (this.#rotated !== qkv) this.#encode(cache, qkv, shape, 0);
    this.#rotated = null;
    return this.#queries(qkv, shape);
  }

  #queries(qkv: GpuTensor, { heads, headDim }: Attention): Queries {
    const stride = heads * headDim;
    return { buffer: this.#tools.scratch.storage("rotated queries", qkv.shape[0], stride, "tokens"), stride };
  }

  #encode({ store, keys, values, words }: Cache, qkv: GpuTensor, shape: Attention, APPEND: 0 | 1): void {
    const { plans, scratch, step, encoder } = this.#tools;
    const { heads, kvHeads, headDim, latent } = shape;
    const none = scratch.storage("no values", 1, 4, "outputs");
    const queries = latent ? { buffer: none, stride: 0 } : this.#queries(qkv, shape);
    const key = `${keys.id} ${qkv.buffer.id} ${queries.buffer.id} ${APPEND}`;
    plans.run(`append_q8 ${key}`, qkv.shape[0], () => [
      encoder.call("append_q8", {
        variant: { kv: store.precision },
        params: {
          ...{ block: store.blockSize, heads, kv_heads: kvHeads, pairs: headDim / 2 },
          ...{ stride: qkv.stride, q_stride: queries.stride },
        },
        overrides: { LATENT: latent ? 1 : 0, APPEND },
        buffers: {
          step: words ?? step.words,
          qkv: qkv.buffer,
          queries: queries.buffer,
          keys,
          values: latent ? scratch.storage("no other values", 1, 4, "outputs") : values,
        },
      }),
    ]);
  }
}
