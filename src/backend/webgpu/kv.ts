// The KV store on the device: two buffers a layer, replaced by larger ones as it grows.

import { DeviceError, MemoryError, RequestError } from "../../errors.ts";
import type { AttentionShape, Batch, KvStore } from "../ops.ts";
import { type Buffer, type Device, mib } from "./device.ts";

/** Largest head: attention.wgsl shares a row among 8 invocations at most, 32 dimensions each. */
const MAX_HEAD_DIM = 256;

export class GpuKv implements KvStore {
  readonly blockSize: number;
  readonly precision: "f32" | "f16";
  readonly blockBytes: number;
  readonly #device: Device;
  readonly #forget: (buffer: Buffer) => void;
  readonly #layers: { keys: Buffer; values: Buffer }[] = [];
  readonly #layerCount: number;
  readonly #side: number; // bytes of one block of keys of one layer
  #blocks = 0;
  #closed = false;
  #checked: Batch | null = null;

  /** @param forget called with each buffer before it is freed */
  constructor(
    device: Device,
    layers: number,
    shape: AttentionShape,
    precision: "f32" | "f16",
    blockSize: number,
    forget: (buffer: Buffer) => void,
  ) {
    if (shape.headDim > MAX_HEAD_DIM) {
      throw new DeviceError(
        `head_dim ${shape.headDim}: the WebGPU backend computes heads of at most ${MAX_HEAD_DIM}; use backend cpu`,
      );
    }
    this.#device = device;
    this.#forget = forget;
    this.blockSize = blockSize;
    this.precision = precision;
    this.#layerCount = layers;
    const padded = Math.ceil(shape.headDim / 8) * 8; // kernels/lib/paged.wgsl says why
    this.#side = blockSize * shape.kvHeads * padded * (precision === "f16" ? 2 : 4);
    this.blockBytes = 2 * layers * this.#side;
  }

  get blocks(): number {
    return this.#blocks;
  }

  async reserve(blocks: number): Promise<void> {
    this.#device.check();
    if (this.#closed) throw new RequestError("the KV store is closed");
    if (blocks <= this.#blocks) return;
    const bytes = blocks * this.#side;
    if (bytes > this.#device.maxBinding) {
      throw new MemoryError(
        `KV cache: ${blocks * this.blockSize} positions take ${mib(bytes)} a layer for keys and as much for values, and this device binds at most ${mib(this.#device.maxBinding)} at once: room for ${Math.floor(this.#device.maxBinding / this.#side) * this.blockSize} positions over all sessions; shorten the context, close sessions, or use an f16 cache`,
      );
    }
    // A layer at a time, so that old and new exist together for one layer only.
    for (let layer = 0; layer < this.#layerCount; layer++) {
      const keys = this.#device.buffer("KV cache: keys", bytes, "kv", "storage");
      const values = this.#device.buffer("KV cache: values", bytes, "kv", "storage");
      try {
        await this.#device.settle();
      } catch (error) {
        this.#device.free(keys);
        this.#device.free(values);
        throw error;
      }
      const old = this.#layers[layer];
      if (old) {
        const encoder = this.#device.gpu.createCommandEncoder();
        encoder.copyBufferToBuffer(old.keys.gpu, 0, keys.gpu, 0, Math.min(old.keys.size, keys.size));
        encoder.copyBufferToBuffer(old.values.gpu, 0, values.gpu, 0, Math.min(old.values.size, values.size));
        this.#device.gpu.queue.submit([encoder.finish()]);
        this.#release(old);
      }
      this.#layers[layer] = { keys, values };
    }
    this.#blocks = blocks;
  }

  /** A layer's buffers, after checking once a step that every token's block exists. @throws RequestError */
  layer(index: number, batch: Batch): { keys: Buffer; values: Buffer } {
    const layer = this.#layers[index];
    if (!layer)
      throw new RequestError(`KV cache: layer ${index} of ${this.#layerCount} has no blocks; reserve() first`);
    if (this.#checked !== batch) {
      for (const [t, position] of batch.positions.entries()) {
        const table = batch.tables[batch.sequence[t]!]!;
        const last = Math.floor(position / this.blockSize);
        if (last >= table.length) {
          throw new RequestError(
            `KV cache: token ${t} at position ${position} needs ${last + 1} blocks of ${this.blockSize}, its sequence has ${table.length}`,
          );
        }
      }
      for (const table of batch.tables)
        for (const id of table)
          if (id >= this.#blocks)
            throw new RequestError(`KV cache: block ${id} does not exist; ${this.#blocks} are reserved`);
      this.#checked = batch;
    }
    return layer;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const layer of this.#layers.splice(0)) this.#release(layer);
    this.#blocks = 0;
  }

  #release({ keys, values }: { keys: Buffer; values: Buffer }): void {
    for (const buffer of [keys, values]) {
      this.#forget(buffer);
      this.#device.free(buffer);
    }
  }
}
