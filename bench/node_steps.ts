// Opens a model for single steps in Node: a folder of weights or a synthetic one.

import { openNodeGpu } from "../src/backend/webgpu/device/node_gpu.ts";
import { DeviceError } from "../src/errors.ts";
import { isSynthetic } from "../src/weights/synthetic.ts";
import { pooled } from "./pooled.ts";
import { type Steps, type StepsOptions, stepsOn } from "./steps.ts";
import { openWeights } from "./weights.ts";

export interface NodeStepsOptions extends StepsOptions {
  /** Part of an adapter's name; default: what the platform prefers. */
  readonly adapter?: string | undefined;
}

/** @param where a folder, a GGUF file, or `synthetic:...` @throws DeviceError without an adapter */
export async function openSteps(where: string, options: NodeStepsOptions): Promise<Steps> {
  const found = await openWeights(where);
  const weights = isSynthetic(where) ? pooled(found) : found;
  const gpu = await openNodeGpu(options.adapter);
  if (gpu) return stepsOn(gpu.gpu, weights, options, () => void gpu.release());
  await weights.close();
  throw new DeviceError("no WebGPU adapter was found (package webgpu and a Vulkan driver)");
}
