// Opens the WebGPU backend: adapter, device, and the verbs over them.

import { DeviceError } from "../../errors.ts";
import { describeAdapter, hasInt8Products, hasSubgroups, requestAdapter, requestDevice } from "./adapter.ts";
import { Device } from "./device.ts";
import type { Arithmetic } from "./shader.ts";
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
    const optional = options.optionalFeatures ?? true;
    const f16 = optional && adapter.features.has("shader-f16");
    const wanted: GPUFeatureName[] = [
      ...(optional && hasSubgroups(gpu, adapter) ? (["subgroups"] as const) : []),
      ...(f16 ? (["shader-f16"] as const) : []),
    ];
    const arithmetic = chooseArithmetic(options.arithmetic, f16, hasInt8Products(gpu));
    const device = new Device(await requestDevice(adapter, wanted));
    const { name, software } = describeAdapter(adapter);
    const features = [...wanted, ...(arithmetic === "int8" ? ["int8-activations"] : [])];
    return new Verbs(
      device,
      { backend: "webgpu", device: name, software, threads: 1, features },
      { ...options, arithmetic, onClose },
    );
  } catch (error) {
    onClose();
    throw error;
  }
}

/** @throws DeviceError for an arithmetic that the device lacks */
function chooseArithmetic(asked: Arithmetic | undefined, f16: boolean, int8: boolean): Arithmetic {
  if (asked === "f16" && !f16) throw new DeviceError("arithmetic f16: this device has no shader-f16");
  if (asked === "int8" && !int8) throw new DeviceError("arithmetic int8: this WebGPU has no packed int8 products");
  return asked ?? "f32";
}
