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
    readonly resultComponentType: string;
    readonly M: number;
    readonly N: number;
    readonly K: number;
  }>;
}

/**
 * Shapes of matrix units that there is a tile for (kernels/lib/matrix/tile_matrix*.wgsl), the
 * faster ones first: M x K by K x N. Of units that sum in f16 there is none: 4,096 products would
 * lose their last eight bits.
 */
const UNITS = [
  { tile: "matrix", size: 16, component: "f16", features: ["shader-f16"] },
  { tile: "matrix8", size: 8, component: "f32", features: [] },
] as const;

/**
 * The tile of the adapter's matrix units; null if it has none of those shapes, or subgroups of
 * another size than 32.
 */
export function matrixUnits({ features, info }: GPUAdapter): (typeof UNITS)[number]["tile"] | null {
  if (info.subgroupMinSize !== 32 || info.subgroupMaxSize !== 32) return null;
  const configs = [...((info as MatrixInfo).subgroupMatrixConfigs ?? [])];
  const fitting = UNITS.find(
    ({ size, component, features: own }) =>
      [MATRIX_UNITS, "subgroups", ...own].every((feature) => features.has(feature)) &&
      configs.some(
        ({ componentType, resultComponentType, M, N, K }) =>
          componentType === component && resultComponentType === "f32" && [M, N, K].every((each) => each === size),
      ),
  );
  return fitting?.tile ?? null;
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
