// Traces routes: reads back what each layer's router chose during a step, and reports it once the
// step has succeeded.

import type { Batch, Ops } from "../backend/ops.ts";
import type { RouteStep } from "../experts/trace.ts";
import type { RouteWatcher } from "../model/decoder.ts";
import type { Tensor } from "../tensor/types.ts";

/** Computes the logits [R, V] of steps and reports their routes to `onRoutes`, step by step. */
export function tracedLogits(
  ops: Ops,
  layers: number,
  forward: (batch: Batch, watch: RouteWatcher) => Promise<Tensor>,
  onRoutes: (step: RouteStep) => void,
): (batch: Batch) => Promise<Float32Array> {
  return async (batch) => {
    // A step without outputs ends before the last layer's experts: that layer's list stays empty.
    const ids = Array.from({ length: layers }, () => new Uint32Array(0));
    const out = await forward(batch, async (layer, routes) => {
      ids[layer] = Uint32Array.from(await ops.read(routes.ids));
    });
    const logits = await ops.read(out);
    onRoutes({ tokens: batch.tokens.length, sequences: batch.tables.length, layers: ids });
    return logits;
  };
}
