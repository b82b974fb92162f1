// The KV store on the device: two buffers a layer (one where values are a part of keys), of blocks
// or of panes, replaced by larger ones as it grows.

import { DeviceError, MemoryError, RequestError } from "../../../errors.ts";
import { checkBlock, contentBytes, headBytes, layersOf, paddedHead, planesOf } from "../../kv_block.ts";
import type { Batch, KvGeometry, KvPrecision, KvStore, PaneStore } from "../../ops.ts";
import { type Buffer, type Device, MAP_MODE_READ, mib } from "../device/device.ts";
import { upload } from "../device/upload.ts";
import { GpuStates } from "./states.ts";

/** Largest head: attention.wgsl shares a row among 8 invocations at most, 32 dimensions each. */
const MAX_HEAD_DIM = 256;
/** And without values of its own: attention_split.wgsl's workgroup memory (16 KiB). */
const MAX_LATENT_KEY = 1000;

/** One layer of the store. */
export interface GpuKvLayer {
  readonly keys: Buffer;
  /** The same buffer where values are a part of keys. */
  readonly values: Buffer;
  /** Positions that the buffers have room for. */
  readonly positions: number;
  /** Its places are panes: block tables must name them (StepBatch.cache()). */
  readonly windowed: boolean;
}

/** Where q, k and v go besides the tensor: one layer of a KV store. */
export interface Cache extends GpuKvLayer {
  readonly store: KvStore;
  /** The step's words with tables of panes; null: with those of blocks. */
  readonly words: Buffer | null;
}

export class GpuKv implements KvStore {
  readonly blockSize: number;
  readonly precision: KvPrecision;
  readonly blockBytes: number;
  readonly states?: GpuStates;
  readonly panes?: PaneStore;
  readonly #device: Device;
  readonly #forget: (buffer: Buffer) => void;
  readonly #layers: (GpuKvLayer | undefined)[] = [];
  readonly #kinds: ReturnType<typeof layersOf>;
  readonly #planesEach: 1 | 2; // of a layer
  readonly #layerCount: number;
  readonly #side: number; // bytes of one block of keys of one layer
  readonly #head: number; // bytes of one head's key, without padding
  readonly #padded: number; // and with it
  readonly #content: number; // bytes of a block without padding
  /** The pane of each block; undefined: it has none. */
  readonly #paneOf: (number | undefined)[] = [];
  #blocks = 0;
  #panes = 0;
  #closed = false;
  #checked: Batch | null = null;

  /** @param forget called with each buffer before it is freed */
  constructor(
    device: Device,
    geometry: KvGeometry,
    precision: KvPrecision,
    blockSize: number,
    forget: (buffer: Buffer) => void,
  ) {
    const { layers, kvHeads, headDim, states, windows } = geometry;
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
    this.#padded = headBytes(paddedHead(headDim), precision);
    this.#side = blockSize * kvHeads * this.#padded;
    this.#kinds = layersOf(geometry);
    const layerBytes = this.#planesEach * this.#side;
    this.blockBytes = layerBytes * this.#kinds.full.length;
    if (windows) this.panes = this.#paneStore(windows.positions, layerBytes * this.#kinds.windowed.length);
    this.#head = headBytes(headDim, precision);
    this.#content = contentBytes(geometry, precision, blockSize);
  }

  get blocks(): number {
    return this.#blocks;
  }

  get maxBlocks(): number {
    return this.#kinds.full.length > 0 ? this.#most : Number.POSITIVE_INFINITY;
  }

  /** Places of a layer that can be bound at once. */
  get #most(): number {
    return Math.floor(this.#device.maxBinding / this.#side);
  }

  async reserve(blocks: number): Promise<void> {
    if (blocks <= this.#blocks) return this.#check();
    await this.#resize(this.#kinds.full, blocks, false);
    this.#blocks = blocks;
  }

  #paneStore(window: number, paneBytes: number): PaneStore {
    const [panes, maxPanes] = [() => this.#panes, this.#most];
    return {
      ...{ window, paneBytes, maxPanes },
      get panes() {
        return panes();
      },
      reserve: async (count) => {
        if (count <= this.#panes) return this.#check();
        await this.#resize(this.#kinds.windowed, count, true);
        this.#panes = count;
      },
      assign: (block, pane) => {
        this.#paneOf[block] = pane ?? undefined;
      },
    };
  }

  #check(): void {
    this.#device.check();
    if (this.#closed) throw new RequestError("the KV store is closed");
  }

  /** Gives layers room for so many places, and keeps what they have. @throws MemoryError */
  async #resize(layers: readonly number[], places: number, windowed: boolean): Promise<void> {
    this.#check();
    const bytes = places * this.#side;
    const alone = this.#planesEach === 1;
    if (layers.length > 0 && places > this.#most) {
      throw new MemoryError(
        `KV cache: ${places * this.blockSize} positions take ${mib(bytes)} a layer for keys${alone ? "" : " and as much for values"}, and this device binds at most ${mib(this.#device.maxBinding)} at once: room for ${this.#most * this.blockSize} positions over all sessions; shorten the context, close sessions, or use an f16 or q8 cache`,
      );
    }
    // A layer at a time, so that old and new exist together for one layer only.
    for (const layer of layers) {
      const keys = this.#device.buffer("KV cache: keys", bytes, "kv", "storage");
      const values = alone ? keys : this.#device.buffer("KV cache: values", bytes, "kv", "storage");
      const made = { keys, values, positions: places * this.blockSize, windowed };
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
  }

  async readBlock(id: number): Promise<Uint8Array> {
    checkBlock(this, id, this.#content);
    const planes = this.#planes(id);
    const size = this.#planesEach * this.#layerCount * this.#side;
    const staging = this.#device.buffer("KV cache: a block to be read", size, "scratch", "staging");
    try {
      const encoder = this.#device.gpu.createCommandEncoder();
      for (const { buffer, at, plane } of planes)
        encoder.copyBufferToBuffer(buffer.gpu, at, staging.gpu, plane * this.#side, this.#side);
      this.#device.watched(() => this.#device.gpu.queue.submit([encoder.finish()]));
      await this.#device.wait(staging.gpu.mapAsync(MAP_MODE_READ));
      const padded = new Uint8Array(staging.gpu.getMappedRange()).slice(0, size);
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
    const padded = new Uint8Array(this.#planesEach * this.#layerCount * this.#side);
    this.#rows((at, to) => padded.set(bytes.subarray(at, at + this.#head), to));
    for (const { buffer, at, plane } of this.#planes(id)) {
      const part = padded.subarray(plane * this.#side, (plane + 1) * this.#side);
      this.#device.watched(() => upload(this.#device, buffer, at, part));
    }
    await this.#device.settle();
  }

  /**
   * Where the planes of a block lie: keys of each layer, and its values if it has any, in the order
   * of a block's contents. Those of a pane only if it has one.
   */
  #planes(id: number): { readonly buffer: Buffer; readonly at: number; readonly plane: number }[] {
    return this.#layers.flatMap((layer, i) => {
      const place = layer?.windowed ? this.#paneOf[id] : id;
      if (!layer || place === undefined) return [];
      return this.#buffers(layer).map((buffer, side) => {
        return { buffer, at: place * this.#side, plane: this.#planesEach * i + side };
      });
    });
  }

  #buffers({ keys, values }: Pick<GpuKvLayer, "keys" | "values">): Buffer[] {
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
  layer(index: number, batch: Batch): GpuKvLayer {
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
        if (this.panes && this.#paneOf[table[last]!] === undefined)
          throw new RequestError(`KV cache: block ${table[last]} of token ${t} at position ${position} has no pane`);
      }
      for (const table of batch.tables)
        for (const id of table)
          if (id >= this.#blocks)
            throw new RequestError(`KV cache: block ${id} does not exist; ${this.#blocks} are reserved`);
      this.#checked = batch;
    }
    return layer;
  }

  /**
   * The pane of each block of a table; 0 for a block that has none, which no token of a step sees.
   */
  panesOf(table: Uint32Array): Uint32Array<ArrayBuffer> {
    return Uint32Array.from(table, (id) => this.#paneOf[id] ?? 0);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.states?.close();
    for (const layer of this.#layers.splice(0)) if (layer) this.#release(layer);
    this.#blocks = 0;
    this.#panes = 0;
  }

  #release(layer: GpuKvLayer): void {
    for (const buffer of this.#buffers(layer)) {
      this.#forget(buffer);
      this.#device.free(buffer);
    }
  }
}
