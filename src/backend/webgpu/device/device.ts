// The WebGPU device: opening it, its buffers and their bytes, and the errors that it reports late.

import { DeviceError, HotsetError, MemoryError, RequestError } from "../../../errors.ts";
import type { BackendMemory } from "../../ops.ts";

// Bits of GPUBufferUsage and GPUMapMode: a page has them as globals, Node does not.
const MAP_READ = 0x1;
const COPY_SRC = 0x4;
const COPY_DST = 0x8;
const UNIFORM = 0x40;
const STORAGE = 0x80;
const QUERY_RESOLVE = 0x200;
export const MAP_MODE_READ = 0x1;

export const BUFFER_USAGE = {
  storage: STORAGE | COPY_SRC | COPY_DST,
  uniform: UNIFORM | COPY_DST,
  staging: MAP_READ | COPY_DST,
  queries: QUERY_RESOLVE | COPY_SRC,
} as const;

export interface Buffer {
  readonly id: number;
  readonly gpu: GPUBuffer;
  readonly size: number;
  readonly budget: keyof BackendMemory;
  /** What it holds, for messages. */
  readonly what: string;
}

/** What was done since the device was opened. After a warm-up step nothing more is created. */
export interface Counters {
  dispatches: number;
  submits: number;
  readbacks: number;
  bytesRead: number;
  /** Bytes of matrices that the dispatched kernels read. */
  weightBytes: number;
  bindGroupsCreated: number;
  buffersCreated: number;
  pipelinesCreated: number;
  /** Most bytes that all buffers together have held. */
  peakBytes: number;
}

export class Device {
  readonly gpu: GPUDevice;
  /** Bytes that one storage binding may hold. */
  readonly maxBinding: number;
  readonly counters: Counters = {
    dispatches: 0,
    submits: 0,
    readbacks: 0,
    bytesRead: 0,
    weightBytes: 0,
    bindGroupsCreated: 0,
    buffersCreated: 0,
    pipelinesCreated: 0,
    peakBytes: 0,
  };
  readonly #buffers = new Set<Buffer>();
  readonly #bytes = { weights: 0, kv: 0, scratch: 0 };
  readonly #late: Promise<HotsetError | null>[] = [];
  readonly #running = new Set<Promise<unknown>>();
  readonly #lost: Promise<DeviceError>;
  #failure: DeviceError | null = null;
  #closed = false;
  #nextId = 1;

  constructor(gpu: GPUDevice) {
    this.gpu = gpu;
    const most = Math.min(gpu.limits.maxStorageBufferBindingSize, gpu.limits.maxBufferSize);
    this.maxBinding = most - (most % 16);
    this.#lost = gpu.lost.then((info) => {
      const why = info.message || info.reason || "no reason given";
      this.#failure ??= new DeviceError(`the WebGPU device was lost: ${why}; close the model and open it again`);
      return this.#failure;
    });
    gpu.addEventListener("uncapturederror", (event) => {
      event.preventDefault();
      this.#late.push(Promise.resolve(refused(event.error.message)));
    });
  }

  /** @throws RequestError after close(), DeviceError once the device is lost */
  check(): void {
    if (this.#closed) throw new RequestError("the WebGPU backend is closed");
    if (this.#failure) throw this.#failure;
  }

  get memory(): BackendMemory {
    return { ...this.#bytes };
  }

  /**
   * A buffer of `size` bytes (rounded up to 16), zeroed. Whether it could be allocated shows later:
   * settle() throws.
   * @throws MemoryError at once if it is larger than the device allows
   */
  buffer(what: string, size: number, budget: keyof BackendMemory, usage: keyof typeof BUFFER_USAGE): Buffer {
    this.check();
    const bytes = Math.max(16, Math.ceil(size / 16) * 16);
    const most = usage === "storage" ? this.maxBinding : this.gpu.limits.maxBufferSize;
    if (bytes > most) {
      throw new MemoryError(
        `${what}: ${mib(bytes)} are needed in one buffer and this device takes at most ${mib(most)}; use smaller chunks, a shorter context or fewer sessions`,
      );
    }
    const fault = (message: string): MemoryError =>
      new MemoryError(
        `${what}: the device could not allocate ${mib(bytes)} (${mib(this.#total())} are in use): ${words(message)}; choose smaller weights, a shorter context or a smaller chunk`,
      );
    this.gpu.pushErrorScope("out-of-memory");
    this.gpu.pushErrorScope("validation");
    let gpu: GPUBuffer;
    try {
      gpu = this.gpu.createBuffer({ label: what, size: bytes, usage: BUFFER_USAGE[usage] });
    } catch (error) {
      throw fault(String(error));
    } finally {
      this.#watch((error) => error && fault(error.message));
      this.#watch((error) => error && fault(error.message));
    }
    this.counters.buffersCreated++;
    const buffer: Buffer = { id: this.#nextId++, gpu, size: bytes, budget, what };
    this.#buffers.add(buffer);
    this.#bytes[budget] += bytes;
    this.counters.peakBytes = Math.max(this.counters.peakBytes, this.#total());
    return buffer;
  }

  /** Frees a buffer; submitted work that uses it still completes. */
  free(buffer: Buffer): void {
    if (!this.#buffers.delete(buffer)) return;
    buffer.gpu.destroy();
    this.#bytes[buffer.budget] -= buffer.size;
  }

  /** Runs `work` and reports what the device finds wrong with it: settle() throws. */
  watched(work: () => void): void {
    this.gpu.pushErrorScope("out-of-memory");
    this.gpu.pushErrorScope("validation");
    work();
    this.#watch((error) => error && refused(error.message));
    this.#watch(
      (error) =>
        error && new MemoryError(`the device ran out of memory in a step: ${words(error.message)}; use smaller chunks`),
    );
  }

  /**
   * Waits for `work` of the device, or for its loss.
   * @throws DeviceError, RequestError if it is closed meanwhile
   */
  async wait<T>(work: Promise<T>): Promise<T> {
    try {
      return await Promise.race([
        this.track(work),
        this.#lost.then((failure): never => {
          throw failure;
        }),
      ]);
    } catch (error) {
      this.check();
      // A mapping fails an instant before the loss that caused it is announced.
      if (!(error instanceof HotsetError)) {
        await Promise.race([this.#lost, new Promise((resolve) => setTimeout(resolve, 50))]);
        this.check();
        throw new DeviceError(`the WebGPU device refused a command: ${words(String(error))}`);
      }
      throw error;
    }
  }

  /** Waits for the verdict on everything asked for so far. @throws MemoryError, DeviceError */
  async settle(): Promise<void> {
    let first: HotsetError | null = null;
    for (let late = this.#late.shift(); late; late = this.#late.shift()) {
      const verdict = await this.wait(late);
      first ??= verdict;
    }
    if (first) {
      this.check(); // a lost device is the better explanation
      throw first;
    }
  }

  /** Notes an answer that the device owes: close() has it first. */
  track<T>(work: Promise<T>): Promise<T> {
    this.#running.add(work);
    const done = (): void => void this.#running.delete(work);
    work.then(done, done);
    return work;
  }

  /**
   * Destroys the device. Resolves when nothing of it runs any more: only then may the GPU object be
   * let go of.
   */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const buffer of [...this.#buffers]) this.free(buffer);
    this.gpu.destroy();
    await this.#lost;
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
  }

  #watch(verdict: (error: GPUError | null) => HotsetError | null): void {
    // A scope whose device is lost or destroyed has no verdict; that is reported by
    // check() and wait().
    this.#late.push(this.track(this.gpu.popErrorScope()).then(verdict, () => null));
  }

  #total(): number {
    return this.#bytes.weights + this.#bytes.kv + this.#bytes.scratch;
  }
}

function refused(message: string): DeviceError {
  return new DeviceError(`the WebGPU device refused a command: ${words(message)}`);
}

/** Most characters of a device's message that are passed on. */
const MOST_WORDS = 1000;

/**
 * A device's message in one line. Dawn's go on with the call stack of its own objects, which is
 * left out; naga's begin with an empty line, and draw the place in the source.
 */
export function words(message: string): string {
  const lines = message.split("\n").filter((line) => !/^\s*- While /.test(line));
  const text = lines
    .join(" ")
    .replace(/[\u2500-\u257f]+/g, " ") // box drawing
    .replace(/\s+/g, " ")
    .trim();
  return text.length > MOST_WORDS ? `${text.slice(0, MOST_WORDS)} ...` : text || "no reason given";
}

export function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(bytes < 2 ** 20 ? 3 : 0)} MiB`;
}
