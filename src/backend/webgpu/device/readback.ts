// Rows on their way to the host: copied behind a submit's commands into a buffer that is mapped.

import { type Buffer, type Device, MAP_MODE_READ } from "./device.ts";

/** Rows to copy to the host: `width` elements out of every `stride`. */
export interface Readback {
  readonly buffer: Buffer;
  readonly rows: number;
  readonly width: number;
  readonly stride: number;
  readonly type: "f32" | "u32";
}

/** Bytes that rows take in a buffer to map: with what lies between them. */
export function bytesOf(what: readonly Readback[]): number {
  return what.reduce((sum, { rows, stride }) => sum + rows * stride * 4, 0);
}

/** Copies rows into `staging`, one after the other. */
export function copyRows(encoder: GPUCommandEncoder, what: readonly Readback[], staging: Buffer): void {
  let at = 0;
  for (const { buffer, rows, stride } of what) {
    const bytes = rows * stride * 4;
    if (bytes > 0) encoder.copyBufferToBuffer(buffer.gpu, 0, staging.gpu, at, bytes);
    at += bytes;
  }
}

/** Buffers to map, kept from one readback to the next. */
export class Staging {
  readonly #device: Device;
  readonly #free: Buffer[] = [];

  constructor(device: Device) {
    this.#device = device;
  }

  /** An unused buffer of at least `bytes`; a new one if all are waiting for a step. */
  take(bytes: number): Buffer {
    const at = this.#free.findIndex((buffer) => buffer.size >= bytes);
    if (at >= 0) return this.#free.splice(at, 1)[0]!;
    const size = Math.max(256, 2 ** Math.ceil(Math.log2(bytes)));
    return this.#device.buffer("readback", size, "scratch", "staging");
  }

  /**
   * The rows that were copied into a buffer, each [rows, width]; the buffer is free again.
   * @throws DeviceError
   */
  async arrive(staging: Buffer, what: readonly Readback[]): Promise<Uint32Array<ArrayBuffer>[]> {
    const device = this.#device;
    const bytes = bytesOf(what);
    device.counters.readbacks++;
    device.counters.bytesRead += bytes;
    try {
      await device.wait(staging.gpu.mapAsync(MAP_MODE_READ, 0, bytes));
    } catch (error) {
      await device.settle(); // what made the mapping fail, if the device has said it
      throw error;
    }
    const mapped = new Uint32Array(staging.gpu.getMappedRange(0, bytes));
    let at = 0;
    const results = what.map(({ rows, width, stride }) => {
      const words = new Uint32Array(rows * width);
      for (let r = 0; r < rows; r++, at += stride) words.set(mapped.subarray(at, at + width), r * width);
      return words;
    });
    staging.gpu.unmap();
    this.#free.push(staging);
    await device.settle();
    return results;
  }
}
