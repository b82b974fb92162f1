// The experts that a model's layer has: their sizes, and weights of that shape.

import { routingOf, sparseLayers } from "../../src/model/family.ts";
import type { ExpertSource } from "../../src/tensor/types.ts";
import { openWeights } from "../weights.ts";

/** The experts of a layer: E of w1, w3 [F, D] and w2 [D, F], K of them a token. */
export interface Shape {
  readonly model: string;
  readonly E: number;
  readonly K: number;
  readonly D: number;
  readonly F: number;
  readonly sources: readonly ExpertSource[]; // [E]
}

/** Calls `work` with the first layer that has experts. @throws WeightsError, RequestError */
export async function withShape<T>(model: string, work: (shape: Shape) => Promise<T>): Promise<T> {
  const { architecture, sources, close } = await openWeights(model);
  try {
    const { experts } = sources.layers[sparseLayers(architecture)[0]!]!;
    const { rows: F, cols: D } = experts[0]!.w1;
    const { count: E, perToken: K } = routingOf(architecture);
    return await work({ model, E, K, D, F, sources: experts });
  } finally {
    await close();
  }
}
