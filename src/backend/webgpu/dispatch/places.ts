// Places in one storage buffer that are taken and freed: nothing is allocated where one of the same
// size was freed before.

import type { Buffer, Device } from "../device/device.ts";
import type { StepEncoder } from "./encoder.ts";

export class Places {
  /** Replaced, with all it holds, when it has to grow. */
  buffer: Buffer;
  readonly #device: Device;
  readonly #encoder: StepEncoder;
  readonly #free = new Map<number, number[]>(); // size -> where
  #end = 0;

  /** @param words room for so many at first */
  constructor(device: Device, encoder: StepEncoder, what: string, words: number) {
    this.#device = device;
    this.#encoder = encoder;
    this.buffer = device.buffer(what, words * 4, "scratch", "storage");
  }

  /**
   * A place that holds `words`. Returns its offset in words.
   * @throws MemoryError if there is no room for it
   */
  take(words: Uint32Array<ArrayBuffer>): number {
    let at = this.#free.get(words.length)?.pop();
    if (at === undefined) {
      at = this.#end;
      this.#grow((at + words.length) * 4);
      this.#end += words.length;
    }
    this.#device.gpu.queue.writeBuffer(this.buffer.gpu, at * 4, words);
    return at;
  }

  /** Frees a place of `size` words. */
  free(at: number, size: number): void {
    const places = this.#free.get(size);
    if (places) places.push(at);
    else this.#free.set(size, [at]);
  }

  #grow(bytes: number): void {
    const old = this.buffer;
    if (bytes <= old.size) return;
    const { gpu } = this.#device;
    const size = Math.max(bytes, Math.min(2 * old.size, this.#device.maxBinding));
    this.buffer = this.#device.buffer(old.what, size, "scratch", "storage");
    const encoder = gpu.createCommandEncoder();
    encoder.copyBufferToBuffer(old.gpu, 0, this.buffer.gpu, 0, old.size);
    gpu.queue.submit([encoder.finish()]);
    this.#encoder.forget(old);
    this.#device.free(old);
  }
}
