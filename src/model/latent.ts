// Multi-head latent attention (src/model/mla.ts) of a decoder: its matrices loaded, and counted.

import type { HeadMatrices, Latent, Matrix, Vector } from "../backend/ops.ts";
import type { Format } from "../tensor/format.ts";
import type { MatrixSource } from "../tensor/types.ts";
import type { LatentSources } from "./family.ts";
import { type FormatPlan, headsFormat, latentMatrices } from "./formats.ts";

/** Of the norms within attention, whatever rms_norm_eps says. */
const INNER_EPS = 1e-6;

/** What a decoder's layer computes q, k and v with, and the last product of a head. */
export interface LoadedLatent extends Latent {
  readonly q: Matrix; // [H (dn + dr), D]; with `low`, [rank, D]
  readonly low: { readonly norm: Vector; readonly b: Matrix } | null;
  readonly kv: Matrix; // [kv + dr, D]
  readonly expand: HeadMatrices; // H x [dv, kv]
}

/** Loads one matrix after the other. */
export async function loadLatent(
  s: LatentSources,
  plan: FormatPlan,
  layer: number,
  load: {
    matrix(from: MatrixSource, format: Format): Promise<Matrix>;
    heads(from: readonly MatrixSource[], format: Format): Promise<HeadMatrices>;
    vector(from: MatrixSource): Promise<Vector>;
  },
): Promise<LoadedLatent> {
  return {
    q: await load.matrix(s.q, plan(s.q, "q", layer)),
    low: s.low && {
      norm: await load.vector(s.low.norm),
      b: await load.matrix(s.low.b, plan(s.low.b, "qb", layer)),
    },
    kv: await load.matrix(s.kv, plan(s.kv, "k", layer)),
    norm: await load.vector(s.norm),
    eps: INNER_EPS,
    absorb: await load.heads(s.absorb, headsFormat(s.absorb, "absorb", plan, layer)),
    expand: await load.heads(s.expand, headsFormat(s.expand, "v", plan, layer)),
  };
}

/**
 * The sources with all formats known. Matrices whose inputs are in an order of their own are packed
 * again: no published model has such ones here.
 * @throws WeightsError
 */
export async function settleLatent(s: LatentSources): Promise<LatentSources> {
  const settled = async (matrix: MatrixSource) => {
    const found = (await matrix.settle?.()) ?? matrix;
    return found.order ? matrix : found;
  };
  return {
    ...s,
    q: await settled(s.q),
    low: s.low && { ...s.low, b: await settled(s.low.b) },
    kv: await settled(s.kv),
    expand: await Promise.all(s.expand.map(settled)),
  };
}

/** Norms and biases, which stay f32. */
export function latentVectors({ q, low, kv, norm }: LatentSources): MatrixSource[] {
  return [...(low ? [low.norm] : []), norm, ...[q, kv].flatMap(({ bias }) => bias ?? [])];
}

/** Weights of a layer's own matrices. */
export function latentValues(s: LatentSources): number {
  return latentMatrices(s).reduce((sum, { source: { rows, cols } }) => sum + rows * cols, 0);
}
