// Opens the WebGPU backend: adapter, device, and the verbs over them.

import { FORMATS } from "../../../kernels/formats/index.ts";
import { DeviceError } from "../../errors.ts";
import {
  adapterKey,
  describeAdapter,
  hasFewRegisters,
  hasInt8Products,
  hasSubgroups,
  MATRIX_UNITS,
  matrixUnits,
  prefersInt8,
  requestAdapter,
  requestDevice,
} from "./device/adapter.ts";
import { Device } from "./device/device.ts";
import { ARITHMETICS, type Arithmetic } from "./dispatch/shader.ts";
import { Verbs } from "./step/verbs.ts";
import type { VerbsOptions, WebGpuOps } from "./step/webgpu_ops.ts";
import { agreeing, type RowForms, usualForms } from "./tuning/rows.ts";
import { type TileName, tilesFor, usualTile } from "./tuning/tiles.ts";

export type { WebGpuOps } from "./step/webgpu_ops.ts";

export interface WebGpuOptions extends Omit<VerbsOptions, "abilities" | "adapterKey"> {
  /**
   * What products of few rows may be computed in. Default: all that the device can;
   * ["f32"] is exact.
   */
  readonly arithmetics?: readonly Arithmetic[];
  /** How products of many rows are computed. Default: what is usual for the kind of adapter. */
  readonly tile?: TileName;
  /** Which forms of products are used, by rows. Default: what is usual for the kind of adapter. */
  readonly forms?: RowForms;
  /**
   * Whether a row of a step with a few has the same results, to the bit, as alone (Ops.rowsAgree).
   * A single one takes longer then. Default false.
   */
  readonly rowsAgree?: boolean;
  /** Default: the adapter that the platform prefers. */
  readonly adapter?: GPUAdapter;
  /** False keeps to the core of WebGPU where the adapter offers more. Default true. */
  readonly optionalFeatures?: boolean;
}

// The GPU objects of devices that are open or still closing. Dawn's must not be collected before
// their work has ended, and the caller that opened one may drop it as soon as close() returns.
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
    const matrix = optional ? matrixUnits(adapter) : null;
    const wanted: GPUFeatureName[] = [
      ...(optional && hasSubgroups(gpu, adapter) ? (["subgroups"] as const) : []),
      ...(f16 ? (["shader-f16"] as const) : []),
      ...(matrix ? [MATRIX_UNITS] : []),
    ];
    const can = { f32: true, f16, int8: hasInt8Products(gpu), matrix };
    const arithmetics = options.arithmetics ?? ARITHMETICS.filter((a) => can[a]);
    const missing = arithmetics.find((a) => !can[a]);
    if (missing) throw new DeviceError(`arithmetic ${missing}: this device cannot compute in it`);
    const subgroup = wanted.includes("subgroups") ? (adapter.info.subgroupMaxSize ?? 128) : null;
    const { name, software } = describeAdapter(adapter);
    const tile = options.tile ?? usualTile(software);
    const int8First = prefersInt8(adapter);
    const fewRegisters = hasFewRegisters(adapter);
    const usual = options.forms ?? usualForms(software, options.tile !== undefined, fewRegisters);
    const forms = options.rowsAgree ? agreeing(usual) : usual;
    if (!tilesFor(FORMATS.q4, can).includes(tile))
      throw new DeviceError(`tile ${tile}: this device lacks what it needs`);
    const device = new Device(await requestDevice(adapter, wanted));
    const threads = device.gpu.limits.maxComputeInvocationsPerWorkgroup;
    return new Verbs(
      device,
      { backend: "webgpu", device: name, software, threads: 1, features: wanted },
      {
        ...options,
        abilities: { arithmetics, subgroup, tile, matrix, forms, software, fewRegisters, int8First, threads },
        adapterKey: adapterKey(adapter),
        onClose,
      },
    );
  } catch (error) {
    onClose();
    throw error;
  }
}
