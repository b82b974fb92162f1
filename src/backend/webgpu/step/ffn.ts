// A feed-forward layer that every token takes: the experts' kernels over one expert, to which all
// rows go with weight 1, or with the sigmoid that a router of one expert gives them.

import { type ScoreRule, SIGMOID } from "../../../tensor/route_rule.ts";
import type { Ffn, Matrix } from "../../ops.ts";
import type { Buffer, Device } from "../device/device.ts";
import type { GpuExperts, GpuMatrix } from "../weights/space.ts";
import type { ExpertInputs, Products } from "./products.ts";
import type { Share } from "./routing.ts";
import type { GpuTensor } from "./scratch.ts";

/** A router of one expert, whose weight is the sigmoid of its logit. */
const ONE: ScoreRule = { ...SIGMOID, normalize: false };

export interface GpuFfn extends Ffn {
  readonly experts: GpuExperts; // one
}

export function ffnOf(experts: GpuExperts, gate: Matrix | null): GpuFfn {
  const { hidden, intermediate, up, down, bytes, rule } = experts;
  return { hidden, intermediate, up, down, gate, bytes, rule, experts };
}

/** The gate of shared experts, if a router can compute it along (route.wgsl). */
export function sharedGate(ffn: Ffn | null | undefined): GpuMatrix | null {
  const gate = ffn?.gate as GpuMatrix | null | undefined;
  return gate && !gate.biased && gate.parts.length === 1 && gate.format.name === "f32" ? gate : null;
}

export interface FfnContext {
  readonly device: Device;
  readonly products: Products;
  readonly maxTokens: number;
}

export class FfnCalls {
  readonly #context: FfnContext;
  #same: { readonly ids: Buffer; readonly weights: Buffer } | null = null;

  /** What a router has computed along. */
  #kept: { readonly x: GpuTensor; readonly ffn: Ffn; readonly share: Share } | null = null;

  constructor(context: FfnContext) {
    this.#context = context;
  }

  /** Keeps the sigmoids of an FFN's gate for rows x, until those of others are kept. */
  keep(x: GpuTensor, ffn: Ffn | null | undefined, share: Share | null): void {
    this.#kept = ffn && share ? { x, ffn, share } : null;
  }

  /**
   * Encodes all but the last product of rows [n, D]. The function that is returned encodes that:
   * into y, or with `add` to what is there.
   */
  encode(inputs: ExpertInputs, ffn: GpuFfn): (y: Buffer, stride: number, add: boolean) => void {
    const { products } = this.#context;
    const { experts, gate } = ffn;
    const { x } = inputs;
    const share = this.#kept?.x === x && this.#kept.ffn === ffn ? this.#kept.share : null;
    if (gate && !share) {
      const router = { gate, k: 1, rule: ONE, bias: null };
      const { routes, encode } = products.route(x, router, null, "ffn");
      encode(null);
      return products.moe(inputs, routes.ids as GpuTensor, routes.weights as GpuTensor, experts, { names: "ffn" });
    }
    const { ids, weights } = this.#alike();
    const list = { shape: [x.shape[0], 1], stride: 1, rows: x.rows } as const;
    return products.moe(
      inputs,
      { ...list, buffer: ids, type: "u32" },
      { ...list, buffer: share?.weights.buffer ?? weights, type: "f32" },
      experts,
      { names: "ffn", at: share?.at ?? 0 },
    );
  }

  /** Expert 0 and weight 1 for as many rows as a step may have. */
  #alike() {
    if (this.#same) return this.#same;
    const { device, maxTokens } = this.#context;
    const ids = device.buffer("ids of one expert", 4 * maxTokens, "scratch", "storage");
    const weights = device.buffer("weights of 1", 4 * maxTokens, "scratch", "storage");
    device.gpu.queue.writeBuffer(weights.gpu, 0, new Float32Array(maxTokens).fill(1));
    this.#same = { ids, weights };
    return this.#same;
  }
}
