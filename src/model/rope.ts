// RoPE's frequencies: the one place where they are computed.

import type { Rope } from "../backend/ops.ts";
import { WeightsError } from "../errors.ts";
import { describe, type Fields } from "./config.ts";

/**
 * RoPE of the first `dimensions` (rd) of a head as config.json has it: transformers v4 has `rope_theta` (and
 * `rope_scaling`), v5 `rope_parameters: { rope_type, rope_theta }`. `otherwise`: theta where neither is there.
 * @throws WeightsError for a type of scaling that is not implemented
 */
export function readRope(c: Fields, dimensions: number, otherwise?: number): Rope {
  for (const field of ["rope_scaling", "rope_parameters"]) {
    const block = c.raw(field);
    if (block == null) continue;
    if (typeof block !== "object" || Array.isArray(block))
      throw new WeightsError(`${c.where}: ${field}: expected an object or null, found ${describe(block)}`);
    const { rope_type, type } = block as Record<string, unknown>;
    const kind = rope_type ?? type ?? "default";
    if (kind !== "default")
      throw new WeightsError(`${c.where}: ${field}: rope type ${describe(kind)} is not supported (only "default" is)`);
  }
  const nested = (c.raw("rope_parameters") as Record<string, unknown> | null | undefined)?.rope_theta;
  const theta = nested ?? c.raw("rope_theta") ?? otherwise;
  if (typeof theta === "number" && Number.isFinite(theta) && theta > 0)
    return defaultRope(c.keep("rope_theta", theta), dimensions);
  throw new WeightsError(
    `${c.where}: rope_theta (or rope_parameters.rope_theta): expected a positive number, found ${describe(theta)}`,
  );
}

/** Pair i turns by theta^(-2i/rd) a position. As transformers computes it, in f32 step by step. */
export function defaultRope(theta: number, dimensions: number): Rope {
  const inverse = Float64Array.from({ length: dimensions / 2 }, (_, i) =>
    Math.fround(1 / Math.fround(theta ** Math.fround((2 * i) / dimensions))),
  );
  return { inverse, factor: 1 };
}
