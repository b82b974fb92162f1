// Single kernels on WebGPU: weights that are the same panel again and again, and a clock that is
// that of all processors together where they are the adapter.

import { describeAdapter, requestAdapter, requestDevice } from "../src/backend/webgpu/device/adapter.ts";
import { type Buffer, Device } from "../src/backend/webgpu/device/device.ts";
import { openNodeGpu } from "../src/backend/webgpu/device/node_gpu.ts";
import type { Call } from "../src/backend/webgpu/dispatch/commands.ts";
import { StepEncoder } from "../src/backend/webgpu/dispatch/encoder.ts";
import { somePanel, Trial } from "../src/backend/webgpu/tuning/trial.ts";
import { type PackedWeights, WeightSpace } from "../src/backend/webgpu/weights/space.ts";
import { RequestError } from "../src/errors.ts";
import { type Format, PANEL_ROWS } from "../src/tensor/format.ts";

/** Dispatches of a timing. */
const REPEATS = 4;

export interface TrialDevice {
  readonly device: Device;
  readonly name: string;
  readonly software: boolean;
  readonly subgroups: boolean;
}

/** @param part of an adapter's name; the first adapter without it @throws RequestError */
export async function onDevice<T>(part: string | undefined, work: (on: TrialDevice) => Promise<T>): Promise<T> {
  const node = await openNodeGpu(part);
  if (!node) throw new RequestError("bench: expected a WebGPU adapter, found none");
  const adapter = await requestAdapter(node.gpu);
  const wanted: readonly GPUFeatureName[] = ["shader-f16", "subgroups"];
  const features = wanted.filter((name) => adapter.features.has(name));
  const device = new Device(await requestDevice(adapter, features));
  try {
    return await work({ device, ...describeAdapter(adapter), subgroups: features.includes("subgroups") });
  } finally {
    await device.close();
    await node.release();
  }
}

export class KernelTrial extends Trial {
  protected readonly reduce: "tree" | "subgroups";
  protected readonly software: boolean;
  readonly #space: WeightSpace;

  constructor({ device, subgroups, software }: TrialDevice) {
    super({ device, encoder: new StepEncoder(device, subgroups) });
    this.#space = new WeightSpace(device, Number.POSITIVE_INFINITY);
    this.software = software;
    this.reduce = subgroups ? "subgroups" : "tree";
  }

  /** Milliseconds of calls: of all processors together where they compute them. */
  protected async took(calls: readonly Call[]): Promise<number> {
    for (let i = 0; i < REPEATS; i++) for (const call of calls) this.encoder.dispatch(call, 1);
    const [started, before] = [performance.now(), process.cpuUsage()];
    await this.encoder.readBits({ buffer: this.buffers[0]!, rows: 0, width: 0, stride: 0, type: "u32" });
    if (!this.software) return (performance.now() - started) / REPEATS;
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000 / REPEATS;
  }

  /** E matrices [rows, cols] of the same panel again and again. */
  protected weights(format: Format, E: number, rows: number, cols: number): PackedWeights {
    const made: Buffer[] = [];
    const w = this.#space.matrices(format.name, format, E, rows, cols, made);
    this.buffers.push(...made);
    const panel = somePanel(format, cols, 0);
    const { queue } = this.device.gpu;
    for (const [i, part] of w.parts.entries()) {
      const { layout, experts } = w.ranges[i]!;
      for (let e = 0; e < experts; e++)
        for (const [p, { offset }] of layout.planes.entries()) {
          const all = new Uint8Array((layout.rows / PANEL_ROWS) * panel[p]!.length);
          for (let at = 0; at < all.length; at += panel[p]!.length) all.set(panel[p]!, at);
          queue.writeBuffer(part.buffers.w.gpu, e * layout.bytes + offset, all);
        }
    }
    return w;
  }
}
