// The KV store on the device: two buffers a layer (one where values are a part of keys), replaced
// by larger ones as it grows.

import { DeviceError, MemoryError, RequestError } from "../../../errors.ts";
import { checkBlock, contentBytes, paddedHead, planesOf } from "../../kv_block.ts";
import type { Batch, KvGeometry, KvStore } from "../../ops.ts";
import { type Buffer, type Device, MAP_MODE_READ, mib } from "../device/device.ts";
import { upload } from "../device/upload.ts";
import { GpuStates } from "./states.ts";

/** Largest head: attention.wgsl shares a row among 8 invocations at most, 32 dimensions each. */
const MAX_HEAD_DIM = 256;
/** And without values of its own: attention_split.wgsl's workgroup memory (16 KiB). */
const MAX_LATENT_KEY = 1000;

export class GpuKv implements KvStore {
  readonly blockSize: number;
  readonly precision: "f32" | "f16";
  readonly blockBytes: number;
  readonly states?: GpuStates;
  readonly #device: Device;
  readonly #forget: (buffer: Buffer) => void;
  /** Values that are a part of keys are the same buffer. */
  readonly #layers: { keys: Buffer; values: Buffer }[] = [];
  readonly #planesEach: 1 | 2; // of a layer
  readonly #layerCount: number;
  readonly #side: number; // bytes of one block of keys of one layer
  readonly #head: number; // bytes of one head's key, without padding
  readonly #padded: number; // and with it
  readonly #content: number; // bytes of a block without padding
  #blocks = 0;
  #closed = false;
  #checked: Batch | null = null;

  /** @param forget called with each buffer before it is freed */
  constructor(
    device: Device,
    geometry: KvGeometry,
    precision: "f32" | "f16",
    blockSize: number,
    forget: (buffer: Buffer) => void,
  ) {
    const { layers, kvHeads, headDim, states } = geometry;
    this.#planesEach = planesOf(geometry);
    const most = this.#planesEach === 1 ? MAX_LATENT_KEY : MAX_HEAD_DIM;
    if (headDim > most) {
      throw new DeviceError(
        `head_dim ${headDim}: the WebGPU backend computes heads of at most ${most}; use backend cpu`,
      );
    }
    this.#device = device;
    this.#forget = forget;
    if (states) this.states = new GpuStates(device, states, forget);
    this.blockSize = blockSize;
    this.precision = precision;
    this.#layerCount = layers;
    this.#padded = paddedHead(headDim) * (precision === "f16" ? 2 : 4);
    this.#side = blockSize * kvHeads * this.#padded;
    this.blockBytes = this.#planesEach * layers * this.#side;
    this.#head = headDim * (precision === "f16" ? 2 : 4);
    this.#content = contentBytes(geometry, precision, blockSize);
  }

  get blocks(): number {
    return this.#blocks;
  }

  get maxBlocks(): number {
    return Math.floor(this.#device.maxBinding / this.#side);
  }

  async reserve(blocks: number): Promise<void> {
    this.#device.check();
    if (this.#closed) throw new RequestError("the KV store is closed");
    if (blocks <= this.#blocks) return;
    const bytes = blocks * this.#side;
    const alone = this.#planesEach === 1;
    if (bytes > this.#device.maxBinding) {
      throw new MemoryError(
        `KV cache: ${blocks * this.blockSize} positions take ${mib(bytes)} a layer for keys${alone ? "" : " and as much for values"}, and this device binds at most ${mib(this.#device.maxBinding)} at once: room for ${Math.floor(this.#device.maxBinding / this.#side) * this.blockSize} positions over all sessions; shorten the context, close sessions, or use an f16 cache`,
      );
    }
    // A layer at a time, so that old and new exist together for one layer only.
    for (let layer = 0; layer < this.#layerCount; layer++) {
      const keys = this.#device.buffer("KV cache: keys", bytes, "kv", "storage");
      const values = alone ? keys : this.#device.buffer("KV cache: values", bytes, "kv", "storage");
      const made = { keys, values };
      try {
        await this.#device.settle();
      } catch (error) {
        for (const buffer of this.#buffers(made)) this.#device.free(buffer);
        throw error;
      }
      const old = this.#layers[layer];
      if (old) {
        const encoder = this.#device.gpu.createCommandEncoder();
        for (const [i, from] of this.#buffers(old).entries()) {
          const to = this.#buffers(made)[i]!;
          encoder.copyBufferToBuffer(from.gpu, 0, to.gpu, 0, Math.min(from.size, to.size));
        }
        this.#device.gpu.queue.submit([encoder.finish()]);
        this.#release(old);
      }
      this.#layers[layer] = made;
    }
    this.#blocks = blocks;
  }

  async readBlock(id: number): Promise<Uint8Array> {
    checkBlock(this, id, this.#content);
    const staging = this.#device.buffer("KV cache: a block to be read", this.blockBytes, "scratch", "staging");
    try {
      const encoder = this.#device.gpu.createCommandEncoder();
      for (const [i, plane] of this.#planes().entries())
        encoder.copyBufferToBuffer(plane.gpu, id * this.#side, staging.gpu, i * this.#side, this.#side);
      this.#device.watched(() => this.#device.gpu.queue.submit([encoder.finish()]));
      await this.#device.wait(staging.gpu.mapAsync(MAP_MODE_READ));
      const padded = new Uint8Array(staging.gpu.getMappedRange()).slice(0, this.blockBytes);
      await this.#device.settle();
      const bytes = new Uint8Array(this.#content);
      this.#rows((at, from) => bytes.set(padded.subarray(from, from + this.#head), at));
      return bytes;
    } finally {
      this.#device.free(staging);
    }
  }

  async writeBlock(id: number, bytes: Uint8Array): Promise<void> {
    this.#device.check();
    checkBlock(this, id, this.#content, bytes);
    const padded = new Uint8Array(this.blockBytes);
    this.#rows((at, to) => padded.set(bytes.subarray(at, at + this.#head), to));
    for (const [i, plane] of this.#planes().entries()) {
      const part = padded.subarray(i * this.#side, (i + 1) * this.#side);
      this.#device.watched(() => upload(this.#device, plane, id * this.#side, part));
    }
    await this.#device.settle();
  }

  /** Keys of each layer, and its values if it has any, in the order of a block's contents. */
  #planes(): Buffer[] {
    return this.#layers.flatMap((layer) => this.#buffers(layer));
  }

  #buffers({ keys, values }: { readonly keys: Buffer; readonly values: Buffer }): Buffer[] {
    return this.#planesEach === 1 ? [keys] : [keys, values];
  }

  /**
   * Each head of each position: where it begins in a block's contents, and where in its planes,
   * which are padded.
   */
  #rows(use: (content: number, plane: number) => void): void {
    for (let row = 0; row * this.#head < this.#content; row++) use(row * this.#head, row * this.#padded);
  }

  /**
   * A layer's buffers, after checking once a step that every token's block exists.
   * @throws RequestError
   */
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
    this.states?.close();
    for (const layer of this.#layers.splice(0)) this.#release(layer);
    this.#blocks = 0;
  }

  #release(layer: { keys: Buffer; values: Buffer }): void {
    for (const buffer of this.#buffers(layer)) {
      this.#forget(buffer);
      this.#device.free(buffer);
    }
  }
}
