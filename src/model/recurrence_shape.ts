// What a layer may have in place of attention, and its sizes.

import type { DeltaShape } from "../tensor/delta_shape.ts";

/** What a layer does in place of attention, over a state of fixed size. */
export type Recurrence =
  /** A convolution over `taps` positions of q, k and v, then the gated delta rule. */
  | { readonly kind: "delta"; readonly taps: number; readonly shape: DeltaShape }
  /** C ⊙ conv(B ⊙ x), of D channels. */
  | { readonly kind: "conv"; readonly taps: number };

/** Channels of a recurrence's convolution. */
export function convChannels(recurrence: Recurrence, hidden: number): number {
  if (recurrence.kind === "conv") return hidden;
  const { keyHeads, valueHeads, keyDim, valueDim } = recurrence.shape;
  return 2 * keyHeads * keyDim + valueHeads * valueDim;
}

/** Values of a layer's states: of its convolution, and of the delta rule. */
export function recurrentStates(recurrence: Recurrence, hidden: number): number[] {
  const conv = (recurrence.taps - 1) * convChannels(recurrence, hidden);
  if (recurrence.kind === "conv") return [conv];
  const { valueHeads, keyDim, valueDim } = recurrence.shape;
  return [conv, valueHeads * keyDim * valueDim];
}
