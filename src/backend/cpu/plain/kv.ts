// Keys and values in blocks that grow with the sequences: one allocation a block, over all layers
// that keep it, and one a pane.

import type { KvPlane } from "../../../../kernels/append.ts";
import { MemoryError, RequestError } from "../../../errors.ts";
import { checkBlock, checkHead, contentBytes, headBytes, layersOf, planesOf } from "../../kv_block.ts";
import type { KvGeometry, KvPrecision, KvStore, PaneStore } from "../../ops.ts";
import { CpuStates } from "./recurrent.ts";

const PLANES = { f32: Float32Array, f16: Uint16Array, q8: Uint8Array } as const;

export class CpuKv implements KvStore {
  readonly blockSize: number;
  readonly precision: KvPrecision;
  readonly blockBytes: number;
  /**
   * keys[layer][block id] and values[layer][block id], each plane [blockSize, Hkv, Dh], undefined
   * in a block without a pane; values that are a part of keys: the same planes.
   */
  readonly keys: readonly (KvPlane | undefined)[][];
  readonly values: readonly (KvPlane | undefined)[][];
  readonly states?: CpuStates;
  readonly panes?: PaneStore;
  readonly #planeBytes: number;
  readonly #planes: number; // of a layer
  readonly #layers: ReturnType<typeof layersOf>;
  readonly #content: number;
  readonly #panes: ArrayBuffer[] = [];
  #blocks = 0;
  #closed = false;

  constructor(geometry: KvGeometry, precision: KvPrecision, blockSize: number) {
    const { layers, kvHeads, headDim, states, windows } = geometry;
    checkHead(geometry, precision);
    this.blockSize = blockSize;
    this.precision = precision;
    this.#planeBytes = blockSize * kvHeads * headBytes(headDim, precision);
    this.#planes = planesOf(geometry);
    this.#layers = layersOf(geometry);
    this.#content = contentBytes(geometry, precision, blockSize);
    const each = this.#content / layers;
    this.blockBytes = this.#layers.full.length * each;
    if (states) this.states = new CpuStates(states);
    if (windows) this.panes = this.#paneStore(windows.positions, this.#layers.windowed.length * each);
    this.keys = Array.from({ length: layers }, () => []);
    this.values = this.#planes === 1 ? this.keys : Array.from({ length: layers }, () => []);
  }

  get blocks(): number {
    return this.#blocks;
  }

  /** Of all blocks, panes and states. */
  get bytes(): number {
    const states = this.states ? this.states.slots * this.states.slotBytes : 0;
    return this.#blocks * this.blockBytes + this.#panes.length * (this.panes?.paneBytes ?? 0) + states;
  }

  async reserve(blocks: number): Promise<void> {
    this.#open();
    for (; this.#blocks < blocks; this.#blocks++) {
      const block = this.#allocate(this.blockBytes, `block ${this.#blocks} of ${blocks}`);
      this.#place(this.#layers.full, this.#blocks, block);
      this.#place(this.#layers.windowed, this.#blocks, null);
    }
  }

  #paneStore(window: number, paneBytes: number): PaneStore {
    const panes = this.#panes;
    return {
      ...{ window, paneBytes },
      get panes() {
        return panes.length;
      },
      reserve: async (count) => {
        this.#open();
        while (panes.length < count) panes.push(this.#allocate(paneBytes, `pane ${panes.length} of ${count}`));
      },
      assign: (block, pane) => this.#place(this.#layers.windowed, block, pane === null ? null : panes[pane]!),
    };
  }

  /** Lets the planes of some layers of a block lie in a buffer, one after the other, or nowhere. */
  #place(layers: readonly number[], id: number, buffer: ArrayBuffer | null): void {
    const Plane = PLANES[this.precision];
    const bytes = this.#planeBytes;
    const size = bytes / Plane.BYTES_PER_ELEMENT;
    const plane = (at: number) => (buffer ? new Plane(buffer, at * bytes, size) : undefined);
    for (const [i, layer] of layers.entries()) {
      this.keys[layer]![id] = plane(this.#planes * i);
      if (this.#planes === 2) this.values[layer]![id] = plane(this.#planes * i + 1);
    }
  }

  async readBlock(id: number): Promise<Uint8Array> {
    checkBlock(this, id, this.#content);
    const bytes = new Uint8Array(this.#content);
    for (const { plane, at } of this.#contents(id)) bytes.set(plane, at);
    return bytes;
  }

  async writeBlock(id: number, bytes: Uint8Array): Promise<void> {
    checkBlock(this, id, this.#content, bytes);
    for (const { plane, at } of this.#contents(id)) plane.set(bytes.subarray(at, at + plane.length));
  }

  /** The planes of a block that are anywhere, and where they begin in its contents. */
  #contents(id: number): { readonly plane: Uint8Array; readonly at: number }[] {
    const both = this.#planes === 2 ? [this.keys, this.values] : [this.keys];
    const planes = this.keys.flatMap((_, layer) => both.map((all) => all[layer]![id]));
    return planes.flatMap((plane, i) => {
      if (!plane) return [];
      const bytes = new Uint8Array(plane.buffer, plane.byteOffset, plane.byteLength);
      return { plane: bytes, at: i * plane.byteLength };
    });
  }

  #open(): void {
    if (this.#closed) throw new RequestError("This KV store is closed; create another with createKv()");
  }

  #allocate(bytes: number, what: string): ArrayBuffer {
    try {
      return new ArrayBuffer(bytes);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new MemoryError(
        `KV cache: ${what} (${bytes} bytes each) could not be allocated; use a shorter context or fewer sessions`,
      );
    }
  }

  close(): void {
    this.states?.close();
    for (const planes of [...this.keys, ...this.values]) planes.length = 0;
    this.#panes.length = 0;
    this.#blocks = 0;
    this.#closed = true;
  }
}
