// Keys and values in blocks that grow with the sequences; layers are spread over several heaps if
// one is too small.

import { RequestError } from "../../errors.ts";
import { checkBlock, planesOf } from "../kv_block.ts";
import type { Batch, KvGeometry, KvStore } from "../ops.ts";
import type { Heap } from "./heap.ts";
import type { SimdHeaps } from "./simd_heaps.ts";
import { SimdStates } from "./simd_states.ts";

/** The layers of one heap. */
export interface KvPart {
  readonly heap: Heap;
  readonly blockBytes: number;
  /** Address of each block: of each layer keys, then values if any, [blockSize, Hkv, Dh] each. */
  readonly blocks: number[];
  /** The current step's lists for attention, in this heap. */
  readonly step: StepLists;
}

/** Lists of u32 in a part's heap, rebuilt for each step. */
export interface StepLists {
  /** The batch of the lists. */
  batch: Batch | null;
  at: number;
  bytes: number;
  /** Address of positions [T]. */
  positions: number;
  /** Address of [T] addresses of lists of block addresses. */
  tables: number;
  /** Address of [T] addresses that the step's keys or values of one layer are written to. */
  addresses: number;
}

export class SimdKv implements KvStore {
  readonly blockSize: number;
  readonly precision: "f32" | "f16";
  readonly blockBytes: number;
  /** Bytes of one plane: the keys or the values of one layer in one block. */
  readonly planeBytes: number;
  readonly parts: KvPart[] = [];
  /** Planes of a layer: values may be a part of keys. */
  readonly planes: 1 | 2;
  readonly states?: SimdStates;
  readonly #layers: number;
  readonly #layersPerPart: number;
  readonly #heaps: SimdHeaps;
  readonly #small: boolean;
  #blocks = 0;
  #closed = false;

  /**
   * @param positions of the longest sequence, which determine the number of heaps for the layers
   */
  constructor(geometry: KvGeometry, precision: "f32" | "f16", blockSize: number, positions: number, heaps: SimdHeaps) {
    const { layers, kvHeads, headDim, states } = geometry;
    this.blockSize = blockSize;
    this.planes = planesOf(geometry);
    this.precision = precision;
    this.planeBytes = blockSize * kvHeads * headDim * (precision === "f32" ? 4 : 2);
    this.blockBytes = layers * this.planes * this.planeBytes;
    this.#layers = layers;
    const longest = Math.max(1, Math.ceil(positions / blockSize)) * this.blockBytes;
    this.#small = longest <= heaps.limits.homeKv;
    const parts = this.#small ? 1 : Math.min(layers, Math.ceil(longest / heaps.limits.kv));
    this.#layersPerPart = Math.ceil(layers / parts);
    this.#heaps = heaps;
    if (states) this.states = new SimdStates(states, heaps);
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
    for (let first = this.parts.length * this.#layersPerPart; first < this.#layers; first += this.#layersPerPart) {
      const layers = Math.min(this.#layersPerPart, this.#layers - first);
      const step = { batch: null, at: 0, bytes: 0, positions: 0, tables: 0, addresses: 0 };
      const heap = await this.#heaps.forKv(this.#small);
      this.parts.push({ heap, blockBytes: layers * this.planes * this.planeBytes, blocks: [], step });
    }
    for (; this.#blocks < blocks; this.#blocks++) this.#grow(blocks);
  }

  #grow(wanted: number): void {
    for (const { heap, blocks, blockBytes } of this.parts) {
      if (blocks.length > this.#blocks) continue; // an earlier call failed in a later part
      const what = `KV cache: block ${this.#blocks} of ${wanted}`;
      blocks.push(heap.allocate(blockBytes, what));
    }
  }

  async readBlock(id: number): Promise<Uint8Array> {
    checkBlock(this, id, this.blockBytes);
    const bytes = new Uint8Array(this.blockBytes);
    this.#each(id, (inHeap, at) => bytes.set(inHeap, at));
    return bytes;
  }

  async writeBlock(id: number, bytes: Uint8Array): Promise<void> {
    checkBlock(this, id, this.blockBytes, bytes);
    this.#each(id, (inHeap, at) => inHeap.set(bytes.subarray(at, at + inHeap.length)));
  }

  /** A block's layers in each heap, and where they begin in its contents. */
  #each(id: number, use: (inHeap: Uint8Array, at: number) => void): void {
    let at = 0;
    for (const { heap, blocks, blockBytes } of this.parts) {
      use(heap.bytes.subarray(blocks[id]!, blocks[id]! + blockBytes), at);
      at += blockBytes;
    }
  }

  /** The part that holds a layer. @throws RequestError before the first reserve() */
  part(layer: number): KvPart {
    const part = this.parts[Math.floor(layer / this.#layersPerPart)];
    if (part === undefined)
      throw new RequestError("KV cache: it has no blocks, or was closed; reserve() some before the step");
    return part;
  }

  /** Byte offset of a layer's keys in a block of its part; their own values: planeBytes later. */
  offset(layer: number): number {
    return (layer % this.#layersPerPart) * this.planes * this.planeBytes;
  }

  /**
   * The step's positions and tables of block addresses, in the part's heap.
   * @throws RequestError naming a position without a block
   */
  lists(part: KvPart, batch: Batch): StepLists {
    const { step, heap, blocks } = part;
    if (step.batch === batch) return step;
    const { positions, sequence, tables } = batch;
    const T = positions.length;
    this.#check(batch);
    const bytes = 4 * (3 * T + tables.reduce((sum, table) => sum + table.length, 0));
    if (bytes > step.bytes) {
      if (step.bytes > 0) heap.free(step.at, step.bytes);
      step.bytes = 2 * bytes;
      step.at = heap.allocate(step.bytes, "the step's block tables");
    }
    step.positions = step.at;
    step.tables = step.at + 4 * T;
    step.addresses = step.at + 8 * T;
    const { words } = heap;
    let next = step.at / 4 + 3 * T;
    const starts = tables.map((table) => {
      const start = 4 * next;
      for (let i = 0; i < table.length; i++) words[next++] = blocks[table[i]!] ?? 0;
      return start;
    });
    words.set(positions, step.positions / 4);
    for (let t = 0; t < T; t++) words[step.tables / 4 + t] = starts[sequence[t]!]!;
    step.batch = batch;
    return step;
  }

  /**
   * Fills `addresses` with the addresses of the batch's tokens in a plane at byte `offset`
   * of their blocks.
   */
  addresses(part: KvPart, batch: Batch, offset: number): number {
    const { words } = part.heap;
    const { positions, sequence, tables } = batch;
    const step = this.lists(part, batch);
    const width = this.planeBytes / this.blockSize;
    for (let t = 0; t < positions.length; t++) {
      const position = positions[t]!;
      const block = part.blocks[tables[sequence[t]!]![Math.floor(position / this.blockSize)]!]!;
      words[step.addresses / 4 + t] = block + offset + (position % this.blockSize) * width;
    }
    return step.addresses;
  }

  #check({ positions, sequence, tables }: Batch): void {
    for (let t = 0; t < positions.length; t++) {
      // Only the token's own block: those before it were checked when they were written.
      const block = tables[sequence[t]!]![Math.floor(positions[t]! / this.blockSize)];
      if (block === undefined || block >= this.#blocks)
        throw new RequestError(
          `KV cache: position ${positions[t]} of sequence ${sequence[t]} has no block (${this.#blocks} reserved); reserve() it before the step`,
        );
    }
  }

  close(): void {
    this.states?.close();
    for (const { heap, blocks, blockBytes, step } of this.parts) {
      for (const at of blocks) heap.free(at, blockBytes);
      if (step.bytes > 0) heap.free(step.at, step.bytes);
      blocks.length = 0;
    }
    this.parts.length = 0;
    this.#blocks = 0;
    this.#closed = true;
  }
}
