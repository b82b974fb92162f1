// Experts that have earned a slot of the device: who they replace, and the way of their records there.
//
// An admission is decided in a step of a layer, sent piece by piece while nothing else wants the link, and is complete before the
// layer's next step, so that who is resident depends on the routes alone. The device's table names a slot only when all of
// its bytes are there; who was in it before leaves the table first.

import { type DeviceExperts, type ExpertUse, NO_SLOT } from "../backend/experts.ts";
import type { Clock } from "./clock.ts";
import type { HostTier } from "./host.ts";
import type { LayerCache } from "./layer_cache.ts";
import type { Upload, Uploads } from "./uploads.ts";

export interface AdmissionsOptions {
  readonly device: DeviceExperts;
  readonly ram: HostTier;
  readonly caches: readonly LayerCache[];
  readonly uploads: Uploads;
  readonly clock: Clock;
}

export class Admissions {
  readonly #options: AdmissionsOptions;
  /** Experts of each layer that have a slot and are not there yet; null: not begun, their record has no pin of ours. */
  readonly #coming: readonly Map<number, Upload | null>[];
  /** Layers with begun ones, oldest first. */
  readonly #order: { readonly layer: number; readonly expert: number; readonly upload: Upload }[] = [];

  constructor(options: AdmissionsOptions) {
    this.#options = options;
    this.#coming = options.caches.map(() => new Map());
  }

  /** Asks the policy about a step's misses, in order; returns how many are admitted. */
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
      // Of two misses of a step, the second may take the slot that the first was given.
      if (admission.evicted !== null && !coming.delete(admission.evicted)) changed = true;
    }
    if (changed) this.#publish(layer);
    return admitted;
  }

  /** Whether the expert has a slot, and its record still has to be sent there. */
  awaits(layer: number, expert: number): boolean {
    return this.#coming[layer]!.has(expert);
  }

  /** The slot that the expert has been given, for who sends its record there at once: then arrived(). */
  slotOf(layer: number, expert: number): number {
    return this.#options.caches[layer]!.slotOf(expert);
  }

  /** All of the expert's record has been sent to its slot. */
  arrived(layer: number, expert: number): void {
    this.#coming[layer]!.delete(expert);
    this.#publish(layer);
  }

  /** The record lies in slot `from` of the RAM, pinned: the pin is released when all is sent. */
  begin(layer: number, expert: number, from: number): void {
    const slot = this.slotOf(layer, expert);
    const upload: Upload = { place: { layer, slot }, from, cause: "admission", sent: 0 };
    this.#coming[layer]!.set(expert, upload);
    this.#order.push({ layer, expert, upload });
  }

  /** Sends a piece of the oldest admission; false: there is none. @throws DeviceError */
  send(): boolean {
    const oldest = this.#order[0];
    if (!oldest) return false;
    this.#send(oldest.layer, oldest.expert, oldest.upload);
    return true;
  }

  /** Whether a layer's next step has to wait for finish(). */
  pending(layer: number): boolean {
    return this.#coming[layer]!.size > 0;
  }

  /** Sends what a layer's admissions still lack. @throws DeviceError; the layer's admissions are dropped then */
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

  /** Takes the layer's admissions that are not complete out of their slots: their step has failed. */
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

  /** Nobody has a slot any more, in the caches and on the device. */
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

  /** Tells the device who is where. */
  #publish(layer: number): void {
    const { device, caches } = this.#options;
    const table = new Uint32Array(device.shape.count).fill(NO_SLOT);
    for (const expert of caches[layer]!.residents) {
      if (!this.awaits(layer, expert)) table[expert] = caches[layer]!.slotOf(expert);
    }
    device.setTable(layer, table);
  }
}
