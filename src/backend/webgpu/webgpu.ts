// Opens the WebGPU backend: adapter, device, and the verbs over them.

import { describeAdapter, hasSubgroups, requestAdapter, requestDevice } from "./adapter.ts";
import { Device } from "./device.ts";
import { Verbs, type VerbsOptions, type WebGpuOps } from "./verbs.ts";

export type { WebGpuOps } from "./verbs.ts";

export interface WebGpuOptions extends VerbsOptions {
  /** Default: the adapter that the platform prefers. */
  readonly adapter?: GPUAdapter;
  /** False keeps to the core of WebGPU where the adapter offers more. Default true. */
  readonly optionalFeatures?: boolean;
}

/** @throws DeviceError without an adapter or device */
export async function createWebGpuOps(gpu: GPU, options: WebGpuOptions): Promise<WebGpuOps> {
  try {
    const adapter = options.adapter ?? (await requestAdapter(gpu));
    const subgroups = (options.optionalFeatures ?? true) && hasSubgroups(gpu, adapter);
    const device = new Device(await requestDevice(adapter, subgroups));
    const { name, software } = describeAdapter(adapter);
    const features = subgroups ? ["subgroups"] : [];
    return new Verbs(device, { backend: "webgpu", device: name, software, threads: 1, features }, options);
  } catch (error) {
    options.onClose?.();
    throw error;
  }
}
