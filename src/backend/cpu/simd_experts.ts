// Equal slots for experts' records in the heaps, and the arithmetic on them, for offloading.

import { reorder } from "../../../kernels/reorder.ts";
import { rows } from "../../../kernels/rows.ts";
import type { Format } from "../../tensor/format.ts";
import { type ExpertShape, RECORD_ALIGN, recordLayout } from "../../tensor/record.ts";
import type { ExpertSource } from "../../tensor/types.ts";
import type { ConvertHow, HostExperts, HostRule, HostStore } from "../experts.ts";
import type { ExpertRule, Experts } from "../ops.ts";
import type { Heap } from "./heap.ts";
import type { SimdHeaps } from "./simd_heaps.ts";
import { type ExpertMatrices, expertAt, packRecord } from "./simd_load.ts";
import { SimdMoe } from "./simd_moe.ts";
import type { SimdProducts, SimdRule } from "./simd_products.ts";

export class SimdExpertSlots implements HostExperts {
  readonly shape: ExpertShape;
  readonly slots: number;
  readonly recordBytes: number;
  readonly #places: readonly { readonly heap: Heap; readonly at: number; readonly matrices: ExpertMatrices }[];
  readonly #heaps: SimdHeaps;
  readonly #home: Heap;
  readonly #moe: SimdMoe;
  readonly #onClose: () => void;

  private constructor(
    shape: ExpertShape,
    places: readonly { heap: Heap; at: number }[],
    heaps: SimdHeaps,
    home: Heap,
    products: SimdProducts,
    onClose: () => void,
  ) {
    this.shape = shape;
    this.slots = places.length;
    this.recordBytes = recordLayout(shape).bytes;
    this.#heaps = heaps;
    this.#home = home;
    this.#moe = new SimdMoe(heaps, home, products);
    this.#onClose = onClose;
    this.#places = places.map(({ heap, at }) => ({ heap, at, matrices: expertAt(heap, at, shape) }));
  }

  /**
   * Allocates slots; memory is used only as slots are filled. @param onClose called by close()
   * @throws MemoryError
   */
  static async create(
    shape: ExpertShape,
    slots: number,
    heaps: SimdHeaps,
    home: Heap,
    products: SimdProducts,
    onClose: () => void = () => {},
  ): Promise<SimdExpertSlots> {
    const { bytes } = recordLayout(shape);
    const places: { heap: Heap; at: number }[] = [];
    for (let slot = 0; slot < slots; slot++) {
      // Page-aligned, as in the file, so that the system can read into it without a copy.
      const heap = await heaps.forWeights(bytes + RECORD_ALIGN);
      const free = heap.allocate(bytes + RECORD_ALIGN, `slot ${slot} of ${slots} for experts`);
      for (const format of [shape.up, shape.down]) await heaps.prepare(format, heap);
      places.push({ heap, at: Math.ceil(free / RECORD_ALIGN) * RECORD_ALIGN });
    }
    return new SimdExpertSlots(shape, places, heaps, home, products, onClose);
  }

  /** Bytes of all slots. */
  get bytes(): number {
    return this.slots * this.recordBytes;
  }

  slot(slot: number): Uint8Array {
    const { heap, at } = this.#places[slot]!;
    return heap.bytes.subarray(at, at + this.recordBytes);
  }

  /** The matrices in a slot, for products. */
  matrices(slot: number): ExpertMatrices {
    return this.#places[slot]!.matrices;
  }

  convert(source: ExpertSource, slot: number, how?: ConvertHow): Promise<void> {
    const { heap, at } = this.#places[slot]!;
    return packRecord(this.#heaps, source, this.shape, heap, at, how);
  }

  compute(
    slot: number,
    x: Float32Array,
    tokens: Uint32Array,
    shares: Float32Array,
    y: Float32Array,
    order?: Uint32Array,
    rule?: HostRule,
  ): void {
    const D = this.shape.hidden;
    const n = tokens.length;
    const space = this.#heaps.workspace(this.#home);
    // Only the rows of this expert, one assignment each.
    const at = {
      x: space.at("rows from outside", 4 * n * D),
      ids: space.at("ids from outside", 4 * n),
      weights: space.at("shares from outside", 4 * n),
      y: space.at("rows to outside", 4 * n * D),
    };
    const { floats, words } = this.#home;
    const own = floats.subarray(at.x / 4, at.x / 4 + n * D);
    if (order) reorder(x, tokens, order, own, 0, n);
    else rows(x, tokens, D, own, 0, n);
    words.fill(0, at.ids / 4, at.ids / 4 + n);
    floats.set(shares, at.weights / 4);
    this.#moe.begin({ ...at, T: n, D, K: 1, order: null, rule: rule ? this.#own(rule) : null }, 1);
    // Immediately: a device works meanwhile and waits for the result.
    for (const _ of this.#moe.add([{ expert: 0, tokens: n }], [this.matrices(slot)]));
    for (let i = 0; i < n; i++) {
      const [from, to] = [at.y / 4 + i * D, tokens[i]! * D];
      for (let d = 0; d < D; d++) y[to + d]! += this.#home.floats[from + d]!;
    }
  }

  close(): void {
    this.#onClose();
  }

  /** A rule from outside, its biases in the home heap. */
  #own({ gating: { activation, limit, bias }, down }: HostRule): SimdRule {
    const copied = (name: string, values: Float32Array | null): number => {
      if (values === null) return 0;
      const at = this.#heaps.workspace(this.#home).at(name, values.byteLength);
      this.#home.floats.set(values, at / 4);
      return at;
    };
    return { activation, limit, up: copied("bias from outside", bias), down: copied("last bias from outside", down) };
  }
}

/** A layer's offloaded experts. */
export class OffloadedExperts implements Experts {
  readonly layer: number;
  readonly slots: SimdExpertSlots;
  readonly store: HostStore;
  /** The slots belong to the model, not to the layer. */
  readonly bytes = 0;
  readonly rule: ExpertRule | undefined;

  constructor(layer: number, slots: SimdExpertSlots, store: HostStore, rule?: ExpertRule) {
    this.rule = rule;
    this.layer = layer;
    this.slots = slots;
    this.store = store;
  }

  get count(): number {
    return this.slots.shape.count;
  }
  get hidden(): number {
    return this.slots.shape.hidden;
  }
  get intermediate(): number {
    return this.slots.shape.intermediate;
  }
  get up(): Format {
    return this.slots.shape.up;
  }
  get down(): Format {
    return this.slots.shape.down;
  }
}
