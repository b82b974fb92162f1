// Slots for experts in device memory: each layer's own, a few that all layers share, and the tables
// of which expert is in which slot.
//
// A layer's slots are its experts to the kernels, made and written as loaded experts are
// (space.ts), with a slot's number where those have the expert's.

import { MemoryError, RequestError } from "../../../errors.ts";
import { type ExpertShape, type RecordLayout, recordLayout } from "../../../tensor/record.ts";
import { type DeviceExperts, type DevicePlace, type DeviceScheduler, NO_SLOT } from "../../experts.ts";
import type { ExpertRule, Experts } from "../../ops.ts";
import type { Buffer, Device } from "../device/device.ts";
import { type GpuExperts, recordSegments, type Segment, type WeightSpace, writeSegments } from "./space.ts";

/** A layer's experts, of which some are in slots. */
export interface SlottedExperts extends Experts {
  readonly layer: number;
  readonly slots: GpuSlots;
  readonly scheduler: DeviceScheduler;
}

export class GpuSlots implements DeviceExperts {
  readonly shape: ExpertShape;
  readonly layers: number;
  readonly slots: number;
  readonly transit: number;
  readonly bytes: number;
  readonly layout: RecordLayout;
  /** [layers, E] u32: experts to a layer's slots. */
  readonly table: Buffer;
  /** [E] u32: experts of the layer that is computed to transit slots. */
  readonly addedTable: Buffer;
  readonly #device: Device;
  readonly #sets: readonly GpuExperts[]; // of each layer, then the transit slots
  /** What the tables on the device hold. */
  readonly #slotOf: Uint32Array<ArrayBuffer>; // [layers, E]

  private constructor(
    device: Device,
    shape: ExpertShape,
    sets: readonly GpuExperts[],
    table: Buffer,
    addedTable: Buffer,
    bytes: number,
  ) {
    this.#device = device;
    this.#sets = sets;
    this.shape = shape;
    this.layout = recordLayout(shape);
    this.layers = sets.length - 1;
    this.slots = sets[0]!.count;
    this.transit = sets.at(-1)!.count;
    this.table = table;
    this.addedTable = addedTable;
    this.bytes = bytes;
    this.#slotOf = new Uint32Array(this.layers * shape.count).fill(NO_SLOT);
    device.gpu.queue.writeBuffer(table.gpu, 0, this.#slotOf);
  }

  /**
   * Allocates all of it, empty.
   * @throws RequestError without slots, MemoryError if the device has no room: nothing is kept
   */
  static async create(
    device: Device,
    space: WeightSpace,
    shape: ExpertShape,
    layers: number,
    slots: number,
    transit: number,
  ): Promise<GpuSlots> {
    const { count } = shape;
    for (const [what, n] of Object.entries({ layers, slots, transit }))
      if (!(Number.isInteger(n) && n >= 1))
        throw new RequestError(
          `experts in slots need whole numbers of layers, slots and transit slots, found ${what} ${n}`,
        );
    const made: Buffer[] = [];
    try {
      const sets = Array.from({ length: layers }, (_, i) =>
        space.experts(`${slots} experts of layer ${i}`, shape, slots, made),
      );
      sets.push(space.experts(`${transit} experts of all layers`, shape, transit, made));
      const table = device.buffer("experts to slots", layers * count * 4, "weights", "storage");
      const addedTable = device.buffer("experts to transit slots", count * 4, "weights", "storage");
      made.push(table, addedTable);
      await device.settle();
      const bytes = made.reduce((sum, { size }) => sum + size, 0);
      return new GpuSlots(device, shape, sets, table, addedTable, bytes);
    } catch (error) {
      for (const buffer of made) device.free(buffer);
      if (error instanceof MemoryError)
        throw new MemoryError(`${slots} slots for each of ${layers} layers: ${error.message}, or fewer slots`);
      throw error;
    }
  }

  get recordBytes(): number {
    return this.layout.bytes;
  }

  /** A layer's slots as the kernels' experts. @throws RequestError if there is no such layer */
  ofLayer(layer: number): GpuExperts {
    if (!(layer >= 0 && layer < this.layers))
      throw new RequestError(`experts in slots: layer ${layer} of ${this.layers}`);
    return this.#sets[layer]!;
  }

  /** A layer's experts, whose misses the scheduler takes. */
  experts(layer: number, scheduler: DeviceScheduler, rule?: ExpertRule): SlottedExperts {
    const { bytes } = this.ofLayer(layer);
    return { ...this.shape, bytes, layer, slots: this, scheduler, rule };
  }

  /** The transit slots as the kernels' experts. */
  get inTransit(): GpuExperts {
    return this.#sets[this.layers]!;
  }

  /** What the layer's table says now [E]: a copy. */
  tableOf(layer: number): Uint32Array {
    const { count } = this.shape;
    return this.#slotOf.slice(layer * count, (layer + 1) * count);
  }

  write(place: DevicePlace, offset: number, bytes: Uint8Array): void {
    this.#device.check();
    const end = offset + bytes.length;
    if (!(offset >= 0 && end <= this.recordBytes && offset % 4 === 0 && bytes.length % 4 === 0))
      throw new RequestError(
        `experts in slots: bytes ${offset} to ${end} of records of ${this.recordBytes}; both must be multiples of 4`,
      );
    writeSegments(this.#device, this.#segments(place), offset, bytes);
  }

  setTable(layer: number, slots: Uint32Array): void {
    this.#device.check();
    const { count } = this.shape;
    const stray = slots.find((slot) => slot >= this.slots && slot !== NO_SLOT);
    if (!(layer >= 0 && layer < this.layers) || slots.length !== count || stray !== undefined)
      throw new RequestError(
        `experts in slots: a table for layer ${layer} of ${this.layers} with ${slots.length} of ${count} experts${stray === undefined ? "" : ` and slot ${stray} of ${this.slots}`}`,
      );
    const at = layer * count;
    this.#slotOf.set(slots, at);
    this.#device.gpu.queue.writeBuffer(this.table.gpu, at * 4, this.#slotOf, at, count);
  }

  /**
   * Which slots the experts that are added next are in, transit ones or a layer's own:
   * expert -> slot.
   */
  setAdded(places: ReadonlyMap<number, number>, kind: "transit" | "own"): void {
    const table = new Uint32Array(this.shape.count).fill(NO_SLOT);
    const slots = kind === "own" ? this.slots : this.transit;
    for (const [expert, slot] of places) {
      if (!(expert >= 0 && expert < table.length && slot >= 0 && slot < slots))
        throw new RequestError(
          `experts in slots: expert ${expert} of ${table.length} in ${kind} slot ${slot} of ${slots}`,
        );
      table[expert] = slot;
    }
    this.#device.gpu.queue.writeBuffer(this.addedTable.gpu, 0, table);
  }

  async drained(): Promise<void> {
    this.#device.check();
    await this.#device.wait(this.#device.gpu.queue.onSubmittedWorkDone());
    await this.#device.settle();
  }

  /** Where the bytes of a record go. @throws RequestError if there is no such place */
  #segments(place: DevicePlace): Segment[] {
    const [set, slot] = "transit" in place ? [this.layers, place.transit] : [place.layer, place.slot];
    const slots = this.#sets[set];
    if (!slots || !(slot >= 0 && slot < slots.count) || ("layer" in place && set >= this.layers))
      throw new RequestError(
        `experts in slots: ${JSON.stringify(place)} with ${this.layers} layers of ${this.slots} slots and ${this.transit} in transit`,
      );
    return recordSegments(slots, slot);
  }
}
