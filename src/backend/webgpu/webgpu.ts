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

// The GPU objects of devices that are open or still closing. Dawn's must not be collected before their work has ended,
// and who opened one may let go of it as soon as close() returns.
const inUse = new Set<{ readonly gpu: GPU }>();

/** @throws DeviceError without an adapter or device */
export async function createWebGpuOps(gpu: GPU, options: WebGpuOptions): Promise<WebGpuOps> {
  const pin = { gpu };
  inUse.add(pin);
  const onClose = (): void => {
    inUse.delete(pin);
    options.onClose?.();
  };
  try {
    const adapter = options.adapter ?? (await requestAdapter(gpu));
    const subgroups = (options.optionalFeatures ?? true) && hasSubgroups(gpu, adapter);
    const device = new Device(await requestDevice(adapter, subgroups));
    const { name, software } = describeAdapter(adapter);
    const features = subgroups ? ["subgroups"] : [];
    return new Verbs(
      device,
      { backend: "webgpu", device: name, software, threads: 1, features },
      { ...options, onClose },
    );
  } catch (error) {
    onClose();
    throw error;
  }
}
