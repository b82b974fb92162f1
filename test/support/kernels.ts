// Runs single WGSL kernels on an adapter, as the encoder binds them, with canaries behind
// everything that they write.

import { expect } from "vitest";
import { requestAdapter, requestDevice } from "../../src/backend/webgpu/device/adapter.ts";
import { type Buffer, Device } from "../../src/backend/webgpu/device/device.ts";
import { openNodeGpu } from "../../src/backend/webgpu/device/node_gpu.ts";
import { type Binding, StepEncoder } from "../../src/backend/webgpu/dispatch/encoder.ts";
import type { KernelLine } from "../../src/backend/webgpu/dispatch/line.ts";
import { type KernelName, TABLE } from "../../src/backend/webgpu/dispatch/table.ts";

type Numbers = Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

const CANARIES = 64; // words behind each buffer that a kernel may write
const CANARY = 0xdeadbeef;

/** Kernels of one adapter, run one at a time. */
export interface KernelBench {
  readonly subgroups: boolean;
  /**
   * Runs kernels one after the other in one submit. Buffers are given by binding name, arrays of
   * the same identity being one buffer; afterwards every array that was bound for writing holds
   * what the kernel left there.
   */
  run(...calls: readonly KernelRun[]): Promise<void>;
  close(): void;
}

export interface KernelRun extends Omit<Binding, "buffers"> {
  readonly name: KernelName;
  /** Rows that the kernel works on: the argument of its grid. */
  readonly n: number;
  readonly buffers: Readonly<Record<string, Numbers>>;
}

/**
 * Opens an adapter by name. `subgroups` false: the variants that need no feature.
 * @param as gives the adapter that stands for it
 */
export async function openKernels(
  adapterName: string,
  subgroups: boolean,
  as: (found: GPUAdapter) => GPUAdapter = (found) => found,
): Promise<KernelBench> {
  const node = await openNodeGpu(adapterName);
  if (!node) throw new Error(`adapter ${adapterName} could not be opened`);
  const adapter = as(await requestAdapter(node.gpu));
  const device = new Device(await requestDevice(adapter, subgroups ? ["subgroups"] : []));
  const encoder = new StepEncoder(device, subgroups);
  const { queue } = device.gpu;
  return {
    subgroups,
    async run(...calls) {
      const buffers = new Map<Numbers, Buffer>();
      const written = new Set<Numbers>();
      for (const { name, buffers: bound } of calls) {
        const line: KernelLine = TABLE[name];
        for (const [binding, data] of Object.entries(bound)) {
          const access = line.bindings[binding];
          if (access === undefined) throw new Error(`kernel ${name} has no binding ${binding}`);
          if (access === "write") written.add(data);
          if (buffers.has(data)) continue;
          const words = new Uint32Array(data.length + CANARIES).fill(CANARY);
          words.set(new Uint32Array(data.buffer, data.byteOffset, data.length));
          const buffer = device.buffer(
            binding,
            words.byteLength,
            "scratch",
            access === "uniform" ? "uniform" : "storage",
          );
          queue.writeBuffer(buffer.gpu, 0, words);
          buffers.set(data, buffer);
        }
      }
      for (const { name, n, buffers: bound, ...binding } of calls) {
        const own = Object.fromEntries(Object.entries(bound).map(([key, data]) => [key, buffers.get(data)!]));
        encoder.dispatch(encoder.call(name, { ...binding, buffers: own }), n);
      }
      for (const data of written) {
        const buffer = buffers.get(data)!;
        const width = data.length + CANARIES;
        const bits = await encoder.readBits({ buffer, rows: 1, width, stride: width, type: "u32" });
        expect([...bits.subarray(data.length)], "canaries").toEqual(Array<number>(CANARIES).fill(CANARY));
        new Uint32Array(data.buffer, data.byteOffset, data.length).set(bits.subarray(0, data.length));
      }
      for (const buffer of buffers.values()) {
        encoder.forget(buffer);
        device.free(buffer);
      }
    },
    close() {
      void device.close().then(() => node.release());
    },
  };
}
