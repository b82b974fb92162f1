// Keys and values in blocks that grow with the sequences: one allocation a block, over all layers.

import type { KvPlane } from "../../../../kernels/append.ts";
import { MemoryError, RequestError } from "../../../errors.ts";
import { checkBlock, planesOf } from "../../kv_block.ts";
import type { KvGeometry, KvStore } from "../../ops.ts";
import { CpuStates } from "./recurrent.ts";

export class CpuKv implements KvStore {
  readonly blockSize: number;
  readonly precision: "f32" | "f16";
  readonly blockBytes: number;
  /**
   * keys[layer][block id] and values[layer][block id], each plane [blockSize, Hkv, Dh]; values that
   * are a part of keys: the same planes.
   */
  readonly keys: readonly KvPlane[][];
  readonly values: readonly KvPlane[][];
  readonly states?: CpuStates;
  readonly #planeSize: number;
  readonly #planes: number; // of a layer
  #blocks = 0;
  #closed = false;

  constructor(geometry: KvGeometry, precision: "f32" | "f16", blockSize: number) {
    const { layers, kvHeads, headDim, states } = geometry;
    this.blockSize = blockSize;
    this.precision = precision;
    this.#planeSize = blockSize * kvHeads * headDim;
    this.#planes = planesOf(geometry);
    this.blockBytes = layers * this.#planes * this.#planeSize * (precision === "f32" ? 4 : 2);
    if (states) this.states = new CpuStates(states);
    this.keys = Array.from({ length: layers }, () => []);
    this.values = this.#planes === 1 ? this.keys : Array.from({ length: layers }, () => []);
  }

  get blocks(): number {
    return this.#blocks;
  }

  /** Of all blocks and states. */
  get bytes(): number {
    return this.#blocks * this.blockBytes + (this.states ? this.states.slots * this.states.slotBytes : 0);
  }

  async reserve(blocks: number): Promise<void> {
    if (this.#closed) throw new RequestError("This KV store is closed; create another with createKv()");
    for (; this.#blocks < blocks; this.#blocks++) {
      const block = this.#allocate(blocks);
      const Plane = this.precision === "f32" ? Float32Array : Uint16Array;
      const planeBytes = this.#planeSize * Plane.BYTES_PER_ELEMENT;
      for (const [layer, keys] of this.keys.entries()) {
        const at = this.#planes * layer * planeBytes;
        keys.push(new Plane(block, at, this.#planeSize));
        if (this.#planes === 2) this.values[layer]!.push(new Plane(block, at + planeBytes, this.#planeSize));
      }
    }
  }

  async readBlock(id: number): Promise<Uint8Array> {
    checkBlock(this, id, this.blockBytes);
    return this.#bytes(id).slice();
  }

  async writeBlock(id: number, bytes: Uint8Array): Promise<void> {
    checkBlock(this, id, this.blockBytes, bytes);
    this.#bytes(id).set(bytes);
  }

  /** All layers of a block. */
  #bytes(id: number): Uint8Array {
    return new Uint8Array(this.keys[0]![id]!.buffer, 0, this.blockBytes);
  }

  #allocate(wanted: number): ArrayBuffer {
    try {
      return new ArrayBuffer(this.blockBytes);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new MemoryError(
        `KV cache: block ${this.#blocks} of ${wanted} (${this.blockBytes} bytes each) could not be allocated; use a shorter context or fewer sessions`,
      );
    }
  }

  close(): void {
    this.states?.close();
    for (const planes of [...this.keys, ...this.values]) planes.length = 0;
    this.#blocks = 0;
    this.#closed = true;
  }
}
