// Profiles: what each kernel of some steps cost, timed on the device, and the bandwidth that a
// plain copy reaches there.

import type { Batch } from "../../ops.ts";
import { type Buffer, type Device, MAP_MODE_READ } from "../device/device.ts";
import { type Command, encodePass, type PassWriter } from "./commands.ts";
import type { StepEncoder } from "./encoder.ts";
import { NO_BATCH } from "./pace.ts";

/** Timestamps of one query set; WebGPU takes at most 4096. */
const QUERIES = 4096;
/**
 * Each side of the copy: far more than caches hold. On a software adapter too, whose cache
 * is the processor's.
 */
const COPY_BYTES = 512 * 2 ** 20;
const SOFTWARE_COPY_BYTES = 64 * 2 ** 20;
const COPIES = 8;

/** All dispatches of one kernel, of one variant and one shape of weights. */
export interface KernelProfile {
  /** As "matmul_vec q4 6144x4096". */
  readonly kernel: string;
  readonly calls: number;
  /** Time on the device; null where it has no timestamps. */
  readonly ms: number | null;
  /** Bytes of matrices, and of all else, that it moved. */
  readonly weightBytes: number;
  readonly otherBytes: number;
  readonly flops: number;
}

export interface Profile {
  /** By time, then by name. */
  readonly kernels: readonly KernelProfile[];
  /**
   * From the start of the first kernel to the end of the last, summed over submits;
   * null without timestamps.
   */
  readonly spanMs: number | null;
  /** Nanoseconds of which all timestamps were multiples; null without timestamps. */
  readonly grainNs: number | null;
}

export interface CopyBandwidth {
  /** Bytes of each of the two buffers. */
  readonly bytes: number;
  /** Read and written. */
  readonly bytesPerSecond: number;
}

interface Row {
  calls: number;
  ns: number;
  weightBytes: number;
  otherBytes: number;
  flops: number;
}

/** A submit's commands, on the way to being timed. */
interface Timed {
  readonly names: readonly string[];
  readonly set: GPUQuerySet;
  readonly resolved: Buffer;
  readonly staging: Buffer;
}

/**
 * Gives every command a pass of its own, between two timestamps. That changes what is measured:
 * passes do not overlap.
 */
class Profiler implements PassWriter {
  readonly #device: Device;
  readonly #batch: () => Batch;
  readonly #rows = new Map<string, Row>();
  readonly #timed: Timed[] = [];
  readonly #timestamps: boolean;
  #spanNs = 0;
  #grainNs = 0n;

  /** @param batch of the step that is submitted */
  constructor(device: Device, batch: () => Batch) {
    this.#device = device;
    this.#batch = batch;
    this.#timestamps = device.gpu.features.has("timestamp-query");
  }

  encode(encoder: GPUCommandEncoder, commands: readonly Command[]): void {
    for (const { call, n } of commands) {
      const { bytes, flops } = call.cost(n, this.#batch());
      const row = this.#row(call.name);
      row.calls++;
      row.weightBytes += call.weights(n);
      row.otherBytes += bytes;
      row.flops += flops;
    }
    if (!this.#timestamps) encodePass(encoder, commands);
    else
      for (let first = 0; first < commands.length; first += QUERIES / 2)
        this.#encodeTimed(encoder, commands.slice(first, first + QUERIES / 2));
  }

  /** Reads the timestamps of all submits so far. */
  async result(): Promise<Profile> {
    for (const { names, set, resolved, staging } of this.#timed.splice(0)) {
      await this.#device.wait(staging.gpu.mapAsync(MAP_MODE_READ, 0, staging.size));
      const times = new BigUint64Array(staging.gpu.getMappedRange(0, staging.size).slice(0, names.length * 16));
      for (const buffer of [resolved, staging]) this.#device.free(buffer);
      set.destroy();
      for (const time of times) this.#grainNs = divisor(this.#grainNs, time);
      // A pass may be said to begin while the one before it still runs, and adapters have been seen
      // to begin late.
      let last = times[0]!;
      for (const [i, name] of names.entries()) {
        const begin = times[2 * i]! > last ? times[2 * i]! : last;
        const end = times[2 * i + 1]! > begin ? times[2 * i + 1]! : begin;
        this.#row(name).ns += Number(end - begin);
        last = end;
      }
      this.#spanNs += Number(last - times[0]!);
    }
    await this.#device.settle();
    const kernels = [...this.#rows].map(([kernel, { ns, ...row }]) => ({
      kernel,
      ...row,
      ms: this.#timestamps ? ns / 1e6 : null,
    }));
    kernels.sort((a, b) => (b.ms ?? 0) - (a.ms ?? 0) || (a.kernel < b.kernel ? -1 : 1));
    if (!this.#timestamps) return { kernels, spanMs: null, grainNs: null };
    return { kernels, spanMs: this.#spanNs / 1e6, grainNs: Number(this.#grainNs) };
  }

  #row(name: string): Row {
    let row = this.#rows.get(name);
    if (!row) {
      row = { calls: 0, ns: 0, weightBytes: 0, otherBytes: 0, flops: 0 };
      this.#rows.set(name, row);
    }
    return row;
  }

  #encodeTimed(encoder: GPUCommandEncoder, commands: readonly Command[]): void {
    const count = 2 * commands.length;
    const set = this.#device.gpu.createQuerySet({ type: "timestamp", count });
    for (const [i, command] of commands.entries()) {
      const timestampWrites = { querySet: set, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 };
      encodePass(encoder, [command], { timestampWrites });
    }
    const resolved = this.#device.buffer("profile: timestamps", 8 * count, "scratch", "queries");
    const staging = this.#device.buffer("profile: timestamps", 8 * count, "scratch", "staging");
    encoder.resolveQuerySet(set, 0, count, resolved.gpu, 0);
    encoder.copyBufferToBuffer(resolved.gpu, 0, staging.gpu, 0, 8 * count);
    this.#timed.push({ names: commands.map(({ call }) => call.name), set, resolved, staging });
  }
}

/** The greatest common divisor (Euclid). */
function divisor(a: bigint, b: bigint): bigint {
  return b === 0n ? a : divisor(b, a % b);
}

/** What a backend offers for profiles. */
export class Profiling {
  readonly #device: Device;
  readonly #encoder: StepEncoder;
  readonly #batch: () => Batch;
  readonly #copyBytes: number;

  /** @param batch of the step that is submitted */
  constructor(device: Device, encoder: StepEncoder, batch: () => Batch, software: boolean) {
    this.#device = device;
    this.#encoder = encoder;
    this.#batch = batch;
    this.#copyBytes = software ? SOFTWARE_COPY_BYTES : COPY_BYTES;
  }

  /**
   * Runs `steps` with every kernel timed. What it costs to time them shows against the
   * same steps without.
   */
  async run(steps: () => Promise<void>): Promise<Profile> {
    return this.#with(this.#batch, steps);
  }

  /** Bytes a second, read and written, of a copy between two buffers that no cache holds. */
  async copyBandwidth(): Promise<CopyBandwidth> {
    const device = this.#device;
    const bytes = Math.min(this.#copyBytes, device.maxBinding);
    const x = device.buffer("copy: source", bytes, "scratch", "storage");
    const y = device.buffer("copy: target", bytes, "scratch", "storage");
    try {
      const call = this.#encoder.call("copy", { params: { vectors: x.size / 16 }, buffers: { x, y } });
      const copy = async (): Promise<void> => {
        for (let i = 0; i < COPIES; i++) this.#encoder.dispatch(call, 1);
        await this.#encoder.read({ buffer: y, rows: 0, width: 1, stride: 1, type: "u32" });
      };
      await copy(); // pages and clocks are there when measuring begins
      const started = performance.now();
      const { kernels } = await this.#with(() => NO_BATCH, copy);
      const ms = kernels[0]!.ms ?? performance.now() - started;
      return { bytes: x.size, bytesPerSecond: (2 * x.size * COPIES * 1000) / ms };
    } finally {
      for (const buffer of [x, y]) {
        this.#encoder.forget(buffer);
        device.free(buffer);
      }
    }
  }

  async #with(batch: () => Batch, steps: () => Promise<void>): Promise<Profile> {
    const profiler = new Profiler(this.#device, batch);
    this.#encoder.profiler = profiler;
    try {
      await steps();
    } finally {
      this.#encoder.profiler = null;
    }
    return profiler.result();
  }
}
