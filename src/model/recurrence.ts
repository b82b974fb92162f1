// Layers with a recurrence in place of attention: their weights, and their place in a forward pass.

import { FORMATS } from "../../kernels/formats/index.ts";
import type { InputOrder, Matrix, Ops, Vector } from "../backend/ops.ts";
import type { Conv, Delta, StateStore } from "../backend/recurrent.ts";
import type { Format } from "../tensor/format.ts";
import type { MatrixSource, Tensor } from "../tensor/types.ts";
import type { LayerSources } from "./family.ts";
import { inOrder } from "./input_order.ts";
import { convChannels, type Recurrence } from "./recurrence_shape.ts";

/** A short convolution, with the delta rule behind it or not. */
export interface LoadedRecurrence {
  readonly conv: Conv;
  /** Its gates [2 Hv, D] are f32; its result is normed. */
  readonly delta: (Delta & { readonly gates: Matrix; readonly norm: Vector; readonly eps: number }) | null;
}

/** What a layer (decoder.ts) has of it. */
interface RecurrentLayer {
  readonly recurrence: LoadedRecurrence | null;
  /** The one that the convolution takes. */
  readonly qkv: readonly Matrix[];
  readonly outGate: Matrix | null;
  readonly orders: Readonly<Record<"qkv" | "outGate", InputOrder | null>>;
}

/** How a model's matrices and vectors are loaded. */
interface Loading {
  matrix(source: MatrixSource, format: Format): Promise<Matrix>;
  vector(source: MatrixSource): Promise<Vector>;
}

export async function loadRecurrence(
  recurrence: Recurrence,
  { conv, delta }: NonNullable<LayerSources["recurrence"]>,
  { hidden, eps }: { readonly hidden: number; readonly eps: number },
  { matrix, vector }: Loading,
): Promise<LoadedRecurrence> {
  const { kind, taps } = recurrence;
  const weights = await vector(conv);
  return {
    conv: { channels: convChannels(recurrence, hidden), taps, weights, gated: kind === "conv" },
    delta:
      kind === "delta" && delta
        ? {
            ...recurrence.shape,
            aLog: await vector(delta.aLog),
            dtBias: await vector(delta.dtBias),
            gates: await matrix(delta.gates, FORMATS.f32),
            norm: await vector(delta.norm),
            eps,
          }
        : null,
  };
}

/**
 * What a layer's recurrence makes of its normed input h [T, D]: [T, D] of a convolution alone, else
 * [T, Hv dv].
 * @param part the number of its first state
 */
export function recur(ops: Ops, states: StateStore, part: number, layer: RecurrentLayer, h: Tensor): Tensor {
  const { conv, delta } = layer.recurrence!;
  const verbs = ops.recurrent!;
  const input = ops.matmul(inOrder(ops, h, layer.orders.qkv), layer.qkv[0]!);
  const mixed = verbs.conv(states, part, input, conv);
  if (!delta) return mixed;
  const o = verbs.delta(states, part + 1, mixed, ops.matmul(h, delta.gates), delta);
  const z = ops.matmul(inOrder(ops, h, layer.orders.outGate), layer.outGate!);
  return verbs.gatedNorm(o, z, delta.norm, delta.eps);
}
