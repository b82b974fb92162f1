// A disk of a set speed in front of files: reads follow each other, and the bytes are read or not.

import type { Files } from "../src/weights/files.ts";

export interface DiskSpeed {
  /** Milliseconds that each read takes at least. */
  readonly readMs?: number;
  /** Infinity: reads take no time. */
  readonly bytesPerSecond?: number;
  /** Whether nothing is read, so that reading takes no processor: all bytes are zeros. */
  readonly empty?: boolean;
}

/** Milliseconds that are none: a timer takes one at least. */
const SHORT = 1e-3;

export class SimulatedDisk {
  /** Reads before this are as they are without it. */
  on = false;
  readonly #speed: Required<DiskSpeed>;
  #free = 0;
  /** Places that are zeros already, by the memory that they are in. */
  readonly #zeros = new WeakMap<ArrayBufferLike, Set<string>>();

  constructor({ readMs = 0, bytesPerSecond = Number.POSITIVE_INFINITY, empty = false }: DiskSpeed) {
    this.#speed = { readMs, bytesPerSecond, empty };
  }

  /** The files behind this disk. */
  before(files: Files): Files {
    return {
      label: files.label,
      list: (subfolder) => files.list(subfolder),
      size: (name) => files.size(name),
      read: async (name, offset, into, bypass) => {
        if (this.on) await this.#turn(into.length);
        if (this.on && this.#speed.empty) this.#empty(into);
        else await files.read(name, offset, into, bypass);
      },
      close: () => files.close(),
    };
  }

  #empty(into: Uint8Array): void {
    const zeros = this.#zeros.get(into.buffer) ?? new Set<string>();
    this.#zeros.set(into.buffer, zeros);
    const place = `${into.byteOffset} ${into.length}`;
    if (!zeros.has(place)) into.fill(0);
    zeros.add(place);
  }

  /** The end of a read that begins when those before it have ended. */
  async #turn(bytes: number): Promise<void> {
    const { readMs, bytesPerSecond } = this.#speed;
    const ms = readMs + (1e3 * bytes) / bytesPerSecond;
    if (ms < SHORT) return;
    const now = performance.now();
    this.#free = Math.max(this.#free, now) + ms;
    const until = this.#free;
    await new Promise((resolve) => setTimeout(resolve, until - now));
  }
}
