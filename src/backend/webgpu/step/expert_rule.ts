// The rule of a layer's experts as kernels take it: files, constants and buffers.

import type { Buffer } from "../device/device.ts";
import type { Variant } from "../dispatch/shader.ts";
import type { GpuExperts, GpuVector } from "../weights/space.ts";
import type { GpuTensor } from "./scratch.ts";

/** For the kernels of one half: of w1 and w3, or of w2. */
export interface RuleHalf {
  readonly files: Pick<Variant, "activation" | "biases">;
  readonly values: Readonly<Record<string, number>>;
  readonly buffers: Readonly<Record<string, Buffer>>;
}

export interface KernelRule {
  readonly up: RuleHalf;
  readonly down: RuleHalf;
  /** Different for rules whose calls differ. */
  readonly key: string;
}

const NOTHING: RuleHalf = { files: {}, values: {}, buffers: {} };
const SILU: KernelRule = { up: NOTHING, down: NOTHING, key: "" };

/** The rule of a layer's experts. @param chosen ids of experts [n, K], whose biases are added */
export function kernelRule({ rule, intermediate, hidden }: GpuExperts, chosen: GpuTensor): KernelRule {
  if (!rule) return SILU;
  const { activation, limit, biases } = rule;
  const half = (of: GpuVector | undefined, rows: number): RuleHalf =>
    of
      ? {
          files: { biases: "added" },
          values: { BIAS_ROWS: rows },
          buffers: { biases: of.buffer, chosen: chosen.buffer },
        }
      : NOTHING;
  const [b13, b2] = [biases?.up as GpuVector | undefined, biases?.down as GpuVector | undefined];
  const up = half(b13, 2 * intermediate);
  const own =
    activation === "silu" ? up : { ...up, files: { ...up.files, activation }, values: { ...up.values, LIMIT: limit } };
  return {
    up: own,
    down: half(b2, hidden),
    key: `${activation} ${limit} ${b13?.buffer.id} ${b2?.buffer.id} ${chosen.buffer.id}`,
  };
}
