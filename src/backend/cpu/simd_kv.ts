// Keys and values in blocks and panes that grow with the sequences; layers are spread over several
// heaps if one is too small.

import { RequestError } from "../../errors.ts";
import { checkBlock, checkHead, contentBytes, headBytes, layersOf, planesOf } from "../kv_block.ts";
import type { Batch, KvGeometry, KvPrecision, KvStore, PaneStore } from "../ops.ts";
import type { Heap } from "./heap.ts";
import type { SimdHeaps } from "./simd_heaps.ts";
import { SimdStates } from "./simd_states.ts";

/** Layers of one heap that have their places together: in blocks, or in panes. */
export interface KvPart {
  readonly heap: Heap;
  /** Their numbers. */
  readonly layers: readonly number[];
  /** Bytes of a place: of each layer keys, then values if any, [blockSize, Hkv, Dh] each. */
  readonly placeBytes: number;
  /** The address of each place. */
  readonly places: number[];
  /** The address of each block: its place, or that of its pane; 0: it has none. */
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
  /** [T] addresses of the tokens' rows in the first plane of their blocks' first layer. */
  places: Uint32Array;
}

export class SimdKv implements KvStore {
  readonly blockSize: number;
  readonly precision: KvPrecision;
  readonly blockBytes: number;
  /** Bytes of one plane: the keys or the values of one layer in one block. */
  readonly planeBytes: number;
  /** Planes of a layer: values may be a part of keys. */
  readonly planes: 1 | 2;
  readonly states?: SimdStates;
  readonly panes?: PaneStore;
  readonly #layers: ReturnType<typeof layersOf>;
  readonly #parts: { readonly full: KvPart[]; readonly windowed: KvPart[] } = { full: [], windowed: [] };
  /** The part that holds a layer, and where its keys begin in a place. */
  readonly #at: { readonly part: KvPart; readonly offset: number }[] = [];
  readonly #content: number;
  readonly #positions: number;
  readonly #heaps: SimdHeaps;
  #blocks = 0;
  #panes = 0;
  #closed = false;

  /**
   * @param positions of the longest sequence, which determine the number of heaps for the layers
   */
  constructor(geometry: KvGeometry, precision: KvPrecision, blockSize: number, positions: number, heaps: SimdHeaps) {
    const { kvHeads, headDim, states, windows } = geometry;
    checkHead(geometry, precision);
    this.blockSize = blockSize;
    this.planes = planesOf(geometry);
    this.precision = precision;
    this.planeBytes = blockSize * kvHeads * headBytes(headDim, precision);
    this.#content = contentBytes(geometry, precision, blockSize);
    this.#layers = layersOf(geometry);
    this.blockBytes = this.#layers.full.length * this.planes * this.planeBytes;
    this.#positions = positions;
    this.#heaps = heaps;
    if (states) this.states = new SimdStates(states, heaps);
    if (windows) this.panes = this.#paneStore(windows.positions);
  }

  get blocks(): number {
    return this.#blocks;
  }

  /** Of all blocks, panes and states. */
  get bytes(): number {
    const states = this.states ? this.states.slots * this.states.slotBytes : 0;
    return this.#blocks * this.blockBytes + this.#panes * (this.panes?.paneBytes ?? 0) + states;
  }

  async reserve(blocks: number): Promise<void> {
    await this.#prepare();
    for (; this.#blocks < blocks; this.#blocks++) {
      this.#grow(this.#parts.full, this.#blocks, `block ${this.#blocks} of ${blocks}`);
      for (const { places, blocks } of this.#parts.full) blocks[this.#blocks] = places[this.#blocks]!;
      for (const { blocks } of this.#parts.windowed) blocks[this.#blocks] = 0;
    }
  }

  #paneStore(window: number): PaneStore {
    const panes = (): number => this.#panes;
    return {
      ...{ window, paneBytes: this.#layers.windowed.length * this.planes * this.planeBytes },
      get panes() {
        return panes();
      },
      reserve: async (count) => {
        await this.#prepare();
        for (; this.#panes < count; this.#panes++)
          this.#grow(this.#parts.windowed, this.#panes, `pane ${this.#panes} of ${count}`);
      },
      assign: (block, pane) => {
        for (const { blocks, places } of this.#parts.windowed) blocks[block] = pane === null ? 0 : places[pane]!;
      },
    };
  }

  /** Spreads the layers over heaps. */
  async #prepare(): Promise<void> {
    if (this.#closed) throw new RequestError("This KV store is closed; create another with createKv()");
    await this.#spread(this.#parts.full, this.#layers.full);
    await this.#spread(this.#parts.windowed, this.#layers.windowed);
  }

  async #spread(parts: KvPart[], layers: readonly number[]): Promise<void> {
    const layerBytes = this.planes * this.planeBytes;
    const longest = Math.max(1, Math.ceil(this.#positions / this.blockSize)) * layerBytes * layers.length;
    const { limits } = this.#heaps;
    const small = longest <= limits.homeKv;
    const each = Math.ceil(layers.length / (small ? 1 : Math.min(layers.length, Math.ceil(longest / limits.kv))));
    for (let first = parts.length * each; first < layers.length; first += each) {
      const own = layers.slice(first, first + each);
      const step = { batch: null, at: 0, bytes: 0, positions: 0, tables: 0, addresses: 0, places: new Uint32Array(0) };
      const heap = await this.#heaps.forKv(small);
      const part = { heap, layers: own, placeBytes: own.length * layerBytes, places: [], blocks: [], step };
      parts.push(part);
      for (const [i, layer] of own.entries()) this.#at[layer] = { part, offset: i * layerBytes };
    }
  }

  /** Makes place `place` in each of the parts. */
  #grow(parts: readonly KvPart[], place: number, name: string): void {
    for (const { heap, places, placeBytes } of parts) {
      if (places.length > place) continue; // an earlier call failed in a later part
      places.push(heap.allocate(placeBytes, `KV cache: ${name}`));
    }
  }

  async readBlock(id: number): Promise<Uint8Array> {
    checkBlock(this, id, this.#content);
    const bytes = new Uint8Array(this.#content);
    this.#each(id, (inHeap, at) => bytes.set(inHeap, at));
    return bytes;
  }

  async writeBlock(id: number, bytes: Uint8Array): Promise<void> {
    checkBlock(this, id, this.#content, bytes);
    this.#each(id, (inHeap, at) => inHeap.set(bytes.subarray(at, at + inHeap.length)));
  }

  /** What a block has of each layer in a heap, and where that begins in its contents. */
  #each(id: number, use: (inHeap: Uint8Array, at: number) => void): void {
    const bytes = this.planes * this.planeBytes;
    for (const [layer, { part, offset }] of this.#at.entries()) {
      const block = part.blocks[id]!;
      if (block !== 0) use(part.heap.bytes.subarray(block + offset, block + offset + bytes), layer * bytes);
    }
  }

  /** The part that holds a layer. @throws RequestError before the first reserve() */
  part(layer: number): KvPart {
    return this.#layer(layer).part;
  }

  /** Byte offset of a layer's keys in a place of its part; their own values: planeBytes later. */
  offset(layer: number): number {
    return this.#layer(layer).offset;
  }

  #layer(layer: number) {
    const found = this.#at[layer];
    if (found === undefined)
      throw new RequestError("KV cache: it has no blocks, or was closed; reserve() some before the step");
    return found;
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
    this.#check(batch, blocks);
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
    step.places = this.#places(batch, blocks);
    step.batch = batch;
    return step;
  }

  /**
   * Fills `addresses` with the addresses of the batch's tokens in a plane at byte `offset`
   * of their blocks.
   */
  addresses(part: KvPart, batch: Batch, offset: number): number {
    const { addresses, places } = this.lists(part, batch);
    shift(places, offset, part.heap.words, addresses / 4);
    return addresses;
  }

  #places({ positions, sequence, tables }: Batch, blocks: readonly number[]): Uint32Array {
    const { blockSize } = this;
    const width = this.planeBytes / blockSize;
    return positions.map((position, t) => {
      const block = tables[sequence[t]!]![Math.floor(position / blockSize)]!;
      return blocks[block]! + (position % blockSize) * width;
    });
  }

  #check({ positions, sequence, tables }: Batch, blocks: readonly number[]): void {
    for (let t = 0; t < positions.length; t++) {
      // Only the token's own block: those before it were checked when they were written.
      const block = tables[sequence[t]!]![Math.floor(positions[t]! / this.blockSize)];
      if (block !== undefined && block < this.#blocks && blocks[block] !== 0) continue;
      throw new RequestError(
        `KV cache: position ${positions[t]} of sequence ${sequence[t]} has no block (${this.#blocks} reserved), or the block no pane; reserve() it before the step`,
      );
    }
  }

  close(): void {
    this.states?.close();
    for (const { heap, places, placeBytes, step } of [...this.#parts.full, ...this.#parts.windowed]) {
      for (const at of places) heap.free(at, placeBytes);
      if (step.bytes > 0) heap.free(step.at, step.bytes);
    }
    this.#parts.full.length = 0;
    this.#parts.windowed.length = 0;
    this.#at.length = 0;
    this.#blocks = 0;
    this.#panes = 0;
    this.#closed = true;
  }
}

/** Places + offset, to `words` from `at` on. By itself: prompts make it hot (see SimdMoe). */
function shift(places: Uint32Array, offset: number, words: Uint32Array<ArrayBufferLike>, at: number): void {
  for (let t = 0; t < places.length; t++) words[at + t] = places[t]! + offset;
}
