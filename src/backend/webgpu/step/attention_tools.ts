// What attention is encoded with.

import type { Device } from "../device/device.ts";
import type { StepEncoder } from "../dispatch/encoder.ts";
import type { Plans } from "../dispatch/plans.ts";
import type { StepBatch } from "./batch.ts";
import type { Scratch } from "./scratch.ts";

export interface AttentionTools {
  readonly encoder: StepEncoder;
  readonly plans: Plans;
  readonly scratch: Scratch;
  readonly step: StepBatch;
  readonly device: Device;
  /** The adapter is computed on the CPU. */
  readonly software: boolean;
  /** An invocation has room for some 64 numbers. */
  readonly fewRegisters: boolean;
  /** Up to so many tokens of a step have the same results beside each other as alone. */
  readonly agree: number;
}
