// Admissions to the device's slots: which expert is evicted, and the upload of the new record.
//
// An admission is decided in a step of a layer, uploaded in pieces while the link is idle, and
// complete before the layer's next step, so the set of residents depends on the routes alone.
// The evicted expert leaves the device's slot table first; the new one enters it when all its
// bytes are uploaded.

import { type DeviceExperts, type ExpertUse, NO_SLOT } from "../backend/experts.ts";
import type { Clock } from "./clock.ts";
import type { LayerCache } from "./layer_cache.ts";
import type { RamRecords } from "./ram_records.ts";
import type { Upload, Uploads } from "./uploads.ts";

export interface AdmissionsOptions {
  readonly device: DeviceExperts;
  readonly ram: RamRecords;
  readonly caches: readonly LayerCache[];
  readonly uploads: Uploads;
  readonly clock: Clock;
}

export class Admissions {
  readonly #options: AdmissionsOptions;
  /**
   * Admitted experts of each layer that are not uploaded yet; null: not started, nothing pinned.
   */
  readonly #coming: readonly Map<number, Upload | null>[];
  /** Uploads that were started, oldest first. */
  readonly #order: { readonly layer: number; readonly expert: number; readonly upload: Upload }[] = [];

  constructor(options: AdmissionsOptions) {
    this.#options = options;
    this.#coming = options.caches.map(() => new Map());
  }

  /** Decides in order which of a step's misses are admitted; returns how many. */
  decide(layer: number, misses: readonly ExpertUse[]): number {
    const { device, caches } = this.#options;
    if (device.slots === 0) return 0;
    const coming = this.#coming[layer]!;
    let admitted = 0;
    let changed = false;
    for (const { expert } of misses) {
      const admission = caches[layer]!.admit(expert);
      if (!admission) continue;
      admitted++;
      coming.set(expert, null);
      // A later miss of the same step may evict an earlier one.
      if (admission.evicted !== null && !coming.delete(admission.evicted)) changed = true;
    }
    if (changed) this.#publish(layer);
    return admitted;
  }

  /** Whether the expert was admitted and its record still has to be uploaded. */
  awaits(layer: number, expert: number): boolean {
    return this.#coming[layer]!.has(expert);
  }

  /**
   * The slot of an admitted expert. A caller that uploads the record itself then calls arrived().
   */
  slotOf(layer: number, expert: number): number {
    return this.#options.caches[layer]!.slotOf(expert);
  }

  /** Marks an admitted expert as uploaded and publishes its slot. */
  arrived(layer: number, expert: number): void {
    this.#coming[layer]!.delete(expert);
    this.#publish(layer);
  }

  /** Starts an upload from RAM slot `from`, which is pinned; unpins it when all bytes are sent. */
  begin(layer: number, expert: number, from: number): void {
    const slot = this.slotOf(layer, expert);
    const upload: Upload = { place: { layer, slot }, from, cause: "admission", sent: 0 };
    this.#coming[layer]!.set(expert, upload);
    this.#order.push({ layer, expert, upload });
  }

  /** Uploads a piece of the oldest admission; false: there is none. @throws DeviceError */
  send(): boolean {
    const oldest = this.#order[0];
    if (!oldest) return false;
    this.#send(oldest.layer, oldest.expert, oldest.upload);
    return true;
  }

  /** Whether finish() must run before the layer's next step. */
  pending(layer: number): boolean {
    return this.#coming[layer]!.size > 0;
  }

  /**
   * Completes a layer's admissions.
   * @throws DeviceError; the layer's admissions are dropped then
   */
  async finish(layer: number): Promise<void> {
    const coming = this.#coming[layer]!;
    try {
      for (let [first] = coming; first; [first] = coming) {
        const [expert, upload] = first;
        if (upload === null) throw new Error(`expert ${expert} of layer ${layer} was admitted and never sent`);
        this.#send(layer, expert, upload);
        await this.#options.clock.turn();
      }
    } catch (error) {
      this.drop(layer);
      throw error;
    }
  }

  /** Undoes a layer's incomplete admissions: the step has failed. */
  drop(layer: number): void {
    const { caches, ram } = this.#options;
    for (const [expert, upload] of this.#coming[layer]!) {
      caches[layer]!.drop(expert);
      if (upload) ram.release(layer, expert);
    }
    this.#coming[layer]!.clear();
    const others = this.#order.filter((other) => other.layer !== layer);
    this.#order.splice(0, this.#order.length, ...others);
  }

  /** Evicts all experts, in the caches and on the device. */
  clear(): void {
    for (const [layer, cache] of this.#options.caches.entries()) {
      this.drop(layer);
      cache.clear();
      this.#publish(layer);
    }
  }

  close(): void {
    for (const layer of this.#coming.keys()) this.drop(layer);
  }

  #send(layer: number, expert: number, upload: Upload): void {
    const { ram, uploads } = this.#options;
    if (!uploads.send(upload)) return;
    this.#order.splice(
      this.#order.findIndex((other) => other.upload === upload),
      1,
    );
    ram.release(layer, expert);
    this.arrived(layer, expert);
  }

  /** Writes the layer's slot table to the device. */
  #publish(layer: number): void {
    const { device, caches } = this.#options;
    const table = new Uint32Array(device.shape.count).fill(NO_SLOT);
    for (const expert of caches[layer]!.residents) {
      if (!this.awaits(layer, expert)) table[expert] = caches[layer]!.slotOf(expert);
    }
    device.setTable(layer, table);
  }
}
