// The states of sequences on the device: a buffer for each part, [slots, values], replaced by a
// larger one as it grows.

import { MemoryError, RequestError } from "../../../errors.ts";
import type { StateStore } from "../../recurrent.ts";
import { checkSlot } from "../../state_runs.ts";
import { type Buffer, type Device, MAP_MODE_READ, mib } from "../device/device.ts";
import { upload } from "../device/upload.ts";

export class GpuStates implements StateStore {
  readonly slotBytes: number;
  readonly #device: Device;
  readonly #bytes: readonly number[]; // of each part in a slot
  readonly #forget: (buffer: Buffer) => void;
  #parts: Buffer[] = [];
  /** A part on its way from slot to slot: WebGPU does not copy within a buffer. */
  #between: Buffer | null = null;
  #slots = 0;
  #closed = false;

  /** @param forget called with each buffer before it is freed */
  constructor(device: Device, values: readonly number[], forget: (buffer: Buffer) => void) {
    this.#device = device;
    this.#forget = forget;
    this.#bytes = values.map((count) => 4 * count);
    this.slotBytes = this.#bytes.reduce((sum, bytes) => sum + bytes, 0);
  }

  get slots(): number {
    return this.#slots;
  }

  async reserve(slots: number): Promise<void> {
    this.#device.check();
    if (this.#closed) throw new RequestError("the state store is closed");
    if (slots <= this.#slots) return;
    const largest = Math.max(...this.#bytes);
    if (slots * largest > this.#device.maxBinding)
      throw new MemoryError(
        `states of ${slots} sequences: ${mib(slots * largest)} of a layer, and this device binds at most ${mib(this.#device.maxBinding)} at once`,
      );
    this.#between ??= this.#device.buffer("states: one between slots", largest, "kv", "storage");
    for (const [i, bytes] of this.#bytes.entries()) {
      const grown = this.#device.buffer("states", slots * bytes, "kv", "storage");
      try {
        await this.#device.settle();
      } catch (error) {
        this.#device.free(grown);
        throw error;
      }
      const old = this.#parts[i];
      if (old) {
        this.#submit((encoder) => encoder.copyBufferToBuffer(old.gpu, 0, grown.gpu, 0, this.#slots * bytes));
        this.#release(old);
      }
      this.#parts[i] = grown;
    }
    this.#slots = slots;
  }

  part(part: number): Buffer {
    return this.#parts[part]!;
  }

  copy(from: number, to: number): void {
    checkSlot(this, from);
    checkSlot(this, to);
    const between = this.#between!.gpu;
    this.#submit((encoder) => {
      for (const [i, bytes] of this.#bytes.entries()) {
        const { gpu } = this.#parts[i]!;
        encoder.copyBufferToBuffer(gpu, from * bytes, between, 0, bytes);
        encoder.copyBufferToBuffer(between, 0, gpu, to * bytes, bytes);
      }
    });
  }

  async read(slot: number): Promise<Uint8Array> {
    checkSlot(this, slot);
    const staging = this.#device.buffer("states to be read", this.slotBytes, "scratch", "staging");
    try {
      this.#submit((encoder) =>
        this.#each((part, bytes, at) => encoder.copyBufferToBuffer(part.gpu, slot * bytes, staging.gpu, at, bytes)),
      );
      await this.#device.wait(staging.gpu.mapAsync(MAP_MODE_READ));
      const bytes = new Uint8Array(staging.gpu.getMappedRange()).slice(0, this.slotBytes);
      await this.#device.settle();
      return bytes;
    } finally {
      this.#device.free(staging);
    }
  }

  async write(slot: number, contents: Uint8Array): Promise<void> {
    this.#device.check();
    checkSlot(this, slot, contents);
    this.#each((part, bytes, at) =>
      this.#device.watched(() => upload(this.#device, part, slot * bytes, contents.subarray(at, at + bytes))),
    );
    await this.#device.settle();
  }

  /** Each part, its bytes in a slot, and where they begin in a slot's contents. */
  #each(use: (part: Buffer, bytes: number, at: number) => void): void {
    let at = 0;
    for (const [i, bytes] of this.#bytes.entries()) {
      use(this.#parts[i]!, bytes, at);
      at += bytes;
    }
  }

  #submit(encode: (encoder: GPUCommandEncoder) => void): void {
    const encoder = this.#device.gpu.createCommandEncoder();
    encode(encoder);
    this.#device.watched(() => this.#device.gpu.queue.submit([encoder.finish()]));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const part of this.#parts.splice(0)) this.#release(part);
    if (this.#between) this.#device.free(this.#between);
    this.#slots = 0;
  }

  #release(part: Buffer): void {
    this.#forget(part);
    this.#device.free(part);
  }
}
