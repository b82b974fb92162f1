// Choosing and describing a WebGPU adapter, and opening its device with all that it can give.

import { DeviceError } from "../../../errors.ts";

export interface AdapterInfo {
  readonly name: string;
  /** Computed on the CPU. */
  readonly software: boolean;
}

/** Name of an adapter as a person knows it, and whether it is a software one. */
export function describeAdapter(adapter: GPUAdapter): AdapterInfo {
  const { description, device, architecture, vendor, isFallbackAdapter } = adapter.info;
  const name = description || [vendor, architecture, device].filter(Boolean).join(" ") || "unknown adapter";
  const words = [description, device, architecture, vendor].join(" ");
  return { name, software: isFallbackAdapter || /llvmpipe|lavapipe|swiftshader|software|basic render/i.test(words) };
}

/**
 * An adapter with its driver, as far as it says: a page learns neither the device nor the driver's
 * version, but its browser's, which compiles the kernels.
 */
export function adapterKey({ info }: Pick<GPUAdapter, "info">): string {
  const { vendor, architecture, device, description } = info;
  const browser = description
    ? ""
    : ((globalThis as { navigator?: { userAgent?: string } }).navigator?.userAgent ?? "");
  return [vendor, architecture, device, description, browser].filter(Boolean).join(" ") || "unknown adapter";
}

/**
 * Whether the kernels' subgroup variants can run: the feature, and subgroup_id, which tells
 * subgroups apart.
 */
export function hasSubgroups(gpu: GPU, adapter: GPUAdapter): boolean {
  return adapter.features.has("subgroups") && gpu.wgslLanguageFeatures.has("subgroup_id");
}

/** Whether `dot4I8Packed` and its like exist. */
export function hasInt8Products(gpu: GPU): boolean {
  return gpu.wgslLanguageFeatures.has("packed_4x8_integer_dot_product");
}

/**
 * Whether experts are better multiplied in int8 before anything is timed: on GPUs whose compiler
 * takes four instructions and more a weight in f32, more time than memory takes, and one for four
 * products in int8.
 */
export function prefersInt8({ info }: GPUAdapter): boolean {
  return /nvidia/i.test([info.vendor, info.description].join(" "));
}

/**
 * Whether an invocation has room for some 64 floats only: Intel's compilers divide 128 registers of
 * eight floats among the 16 of a subgroup.
 */
export function hasFewRegisters({ info }: GPUAdapter): boolean {
  return /intel/i.test([info.vendor, info.description].join(" "));
}

/**
 * Dawn's name for matrix units, which WebGPU itself does not have yet; only in Node,
 * behind a toggle.
 */
export const MATRIX_UNITS = "chromium-experimental-subgroup-matrix" as GPUFeatureName;

interface MatrixInfo {
  readonly subgroupMatrixConfigs?: Iterable<{
    readonly componentType: string;
    readonly resultType: string;
    readonly M: number;
    readonly N: number;
    readonly K: number;
  }>;
}

/**
 * Whether tile_matrix.wgsl can run: 16 x 16 by 16 x 16 in f16, summed in f32, and no subgroup of
 * another size than 32.
 */
export function hasMatrixUnits({ features, info }: GPUAdapter): boolean {
  if (![MATRIX_UNITS, "subgroups", "shader-f16"].every((feature) => features.has(feature))) return false;
  const shapes = [...((info as MatrixInfo).subgroupMatrixConfigs ?? [])];
  const fits = shapes.some(
    (s) => s.componentType === "f16" && s.resultType === "f32" && s.M === 16 && s.N === 16 && s.K === 16,
  );
  return fits && info.subgroupMinSize === 32 && info.subgroupMaxSize === 32;
}

/** Invocations of a workgroup that no kernel needs more of; every device takes half of them. */
const MOST_THREADS = 512;

/** @throws DeviceError if there is none */
export async function requestAdapter(gpu: GPU): Promise<GPUAdapter> {
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (adapter) return adapter;
  throw new DeviceError(
    "no WebGPU adapter was found: install a GPU driver (Vulkan on Linux), or use the CPU backend (--backend cpu)",
  );
}

/**
 * The device with the adapter's own limits (the defaults allow only 128 MiB a binding), and with
 * timestamps where it has them: they cost nothing until a profile asks for them.
 * @throws DeviceError
 */
export async function requestDevice(adapter: GPUAdapter, features: readonly GPUFeatureName[]): Promise<GPUDevice> {
  const timestamps = (["timestamp-query"] as const).filter((feature) => adapter.features.has(feature));
  const { maxStorageBufferBindingSize, maxBufferSize } = adapter.limits;
  const { maxComputeInvocationsPerWorkgroup: invocations, maxComputeWorkgroupSizeX: width } = adapter.limits;
  const threads = Math.min(invocations, width, MOST_THREADS);
  try {
    return await adapter.requestDevice({
      label: "hotset",
      requiredLimits: {
        maxStorageBufferBindingSize,
        maxBufferSize,
        maxComputeInvocationsPerWorkgroup: threads,
        maxComputeWorkgroupSizeX: threads,
      },
      requiredFeatures: [...features, ...timestamps],
    });
  } catch (error) {
    throw new DeviceError(`${describeAdapter(adapter).name} gave no device: ${String(error)}`);
  }
}
