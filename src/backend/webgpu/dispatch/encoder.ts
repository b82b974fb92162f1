// Encodes a step's dispatches, and submits them as one pass, or as several if they take long
// (pace.ts); makes and keeps the bind groups that they use.

import { formatOf } from "../../../../kernels/formats/index.ts";
import { panelLayout } from "../../../tensor/format.ts";
import type { Batch } from "../../ops.ts";
import type { Buffer, Device } from "../device/device.ts";
import { bytesOf, copyRows, type Readback, Staging } from "../device/readback.ts";
import { type Call, type Command, encodePass, type PassWriter } from "./commands.ts";
import type { PartShape, Work } from "./cost.ts";
import type { Access, KernelLine } from "./line.ts";
import { IN_FLIGHT, NO_BATCH, Pace } from "./pace.ts";
import { nameOf, Pipelines } from "./pipelines.ts";
import type { Variant } from "./shader.ts";
import { BIASED, FLOAT_PARAMS, type KernelName, TABLE, variantOverrides } from "./table.ts";

const MAX_GROUPS = 65535; // workgroups a dimension that every device takes

export interface Binding {
  /** `reduce` is by default what the device is best at. */
  readonly variant?: Variant;
  /**
   * By field name; fields that the kernel lacks are ignored, so that the variants of a verb can
   * share them.
   */
  readonly params?: Readonly<Record<string, number>>;
  readonly overrides?: Readonly<Record<string, number>>;
  /** By binding name, all but `p`. */
  readonly buffers: Readonly<Record<string, Buffer>>;
  /** The weight part, for kernels whose grid follows it. */
  readonly part?: PartShape;
}

export class StepEncoder {
  readonly #device: Device;
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  readonly #pipelines: Pipelines;
  readonly #calls = new Map<string, { call: Call; buffers: readonly Buffer[] }>();
  /** How kernels reduce where their variant does not say. */
  reduce: "tree" | "subgroups";
  readonly #params = new Map<string, Buffer>();
  /** Times each dispatch, where it is set. */
  profiler: PassWriter | null = null;
  #commands: Command[] = [];
  /** Resolves when what was read before is submitted; null if it is. */
  #earlier: Promise<void> | null = null;
  readonly #staging: Staging;
  readonly pace: Pace;
  readonly #batch: () => Batch;
  /** Submits that the device is at, the first one first; only those that are measured. */
  readonly #running: Promise<void>[] = [];

  /**
   * @param subgroups whether reductions use subgroup operations
   * @param batch of the step that is encoded
   */
  constructor(device: Device, subgroups: boolean, batch = () => NO_BATCH, pace = new Pace()) {
    this.#device = device;
    this.pace = pace;
    this.#batch = batch;
    this.#staging = new Staging(device);
    this.#pipelines = new Pipelines(device);
    this.reduce = subgroups ? "subgroups" : "tree";
  }

  /**
   * Binds a kernel to its params, override constants and buffers. The same arguments give
   * the same Call.
   */
  call(name: KernelName, { variant, params, overrides, buffers, part }: Binding): Call {
    const line: KernelLine = TABLE[name];
    const values = line.params.map((field) => fieldOf(params, field, name));
    const fields = [...line.overrides, ...(variant ? variantOverrides(variant) : [])];
    const constants = Object.fromEntries(fields.map((field) => [field, fieldOf(overrides, field, name)]));
    const bindings: KernelLine["bindings"] = variant?.biases ? { ...line.bindings, ...BIASED } : line.bindings;
    const ids = Object.keys(bindings).map((b) => (b === "p" ? "p" : bufferOf(buffers, b, name).id));
    const full: Variant = { reduce: this.reduce, ...variant };
    const key = `${nameOf(name, full)} ${Object.values(constants)} ${values} ${ids}`;
    const known = this.#calls.get(key);
    if (known) return known.call;
    const layout = this.#layout(Object.values(bindings));
    const used = Object.keys(bindings).map((b) =>
      b === "p" ? this.#paramsOf(line, values) : bufferOf(buffers, b, name),
    );
    const group = this.#device.gpu.createBindGroup({
      label: name,
      layout,
      entries: used.map((buffer, binding) => ({ binding, resource: { buffer: buffer.gpu } })),
    });
    this.#device.counters.bindGroupsCreated++;
    const pipeline = this.#pipelines.get(name, full, constants, layout);
    const work = workOf(variant ?? {}, part, buffers.w);
    const o = { ...params, ...overrides };
    const call: Call = {
      name: part ? `${nameOf(name, variant ?? {})} ${part.rows}x${32 * part.groups}` : nameOf(name, variant ?? {}),
      kernel: name,
      pipeline,
      group,
      grid: (n) => fold(line.grid(n, o, work)),
      weights: (n) => line.weights?.(n, o, work) ?? 0,
      cost: (n, batch) => line.cost(n, o, work, batch),
    };
    this.#calls.set(key, { call, buffers: used });
    return call;
  }

  /** Drops the bind groups of a buffer that is about to be freed. */
  forget(buffer: Buffer): void {
    for (const [key, { buffers }] of this.#calls) if (buffers.includes(buffer)) this.#calls.delete(key);
  }

  /** Drops commands that were encoded and not submitted. */
  reset(): void {
    this.#commands = [];
  }

  /** Encodes a dispatch over n rows. */
  dispatch(call: Call, n: number): void {
    this.#commands.push({ call, n, grid: call.grid(n) });
  }

  /**
   * Submits what was encoded and waits for it; returns the rows asked for, [rows, width],
   * u32 as numbers.
   * @throws the reason of `signal`, which ends a step between two of its submits
   */
  async read(what: Readback, signal?: AbortSignal): Promise<Float32Array> {
    const bits = await this.readBits(what, signal);
    return what.type === "u32" ? Float32Array.from(bits) : new Float32Array(bits.buffer);
  }

  /**
   * The same as the words that the device holds. What was encoded is submitted before this returns,
   * if the pipelines are compiled and one submit holds it, so that the next step can be encoded
   * while this one runs; and in the order of the calls in any case.
   */
  async readBits(what: Readback, signal?: AbortSignal): Promise<Uint32Array<ArrayBuffer>> {
    const commands = this.take();
    const batch = this.#batch();
    const long = this.pace.fits(commands, batch) < commands.length;
    let last = commands;
    const before = async (): Promise<void> => {
      last = await this.#submitFirst(commands, batch, signal);
    };
    const [words] = await this.#inTurn(commands, long ? before : null, () => this.submitAndRead(last, [what]));
    return words!;
  }

  /** Takes what was encoded: to be submitted by its owner, once `compiled`. */
  take(): readonly Command[] {
    const commands = this.#commands;
    this.#commands = [];
    return commands;
  }

  /** What `work` encodes, which is not part of what was encoded before. */
  collect(work: () => void): readonly Command[] {
    const before = this.take();
    work();
    const commands = this.take();
    this.#commands = [...before];
    return commands;
  }

  /**
   * Resolves when these commands can be submitted at once, what was read before being submitted.
   */
  compiled(commands: readonly Command[]): Promise<void> {
    return this.#inTurn(commands, null, async () => {});
  }

  /**
   * Submits commands that are `compiled`, without waiting for anything. The weights that they read
   * are counted by weigh(). As many submits as their time needs.
   */
  submit(commands: readonly Command[]): void {
    this.#device.check();
    this.#submit(commands, () => {}, 0);
  }

  /** Counts that commands have read a share of the weights that they may read. */
  weigh(commands: readonly Command[], share: number): void {
    for (const { call, n } of commands) this.#device.counters.weightBytes += share * call.weights(n);
  }

  /**
   * Submits commands that are `compiled` before this returns, and reads rows back behind them, each
   * [rows, width], as words.
   * @param room the most bytes that this call may ever read: the buffer to map is made that large
   */
  async submitAndRead(
    commands: readonly Command[],
    what: readonly Readback[],
    room = 0,
  ): Promise<Uint32Array<ArrayBuffer>[]> {
    const device = this.#device;
    device.check();
    const bytes = bytesOf(what);
    const staging = bytes > 0 ? this.#staging.take(Math.max(bytes, room)) : null;
    this.#submit(commands, (encoder) => {
      if (staging) copyRows(encoder, what, staging);
    });
    if (staging) return this.#staging.arrive(staging, what);
    await device.wait(device.gpu.queue.onSubmittedWorkDone());
    await device.settle();
    return what.map(() => new Uint32Array(0));
  }

  /**
   * Calls `then` when the pipelines of these commands are compiled, earlier ones are submitted and
   * `before` is done: at once, if there is nothing to wait for.
   */
  async #inTurn<T>(
    commands: readonly Command[],
    before: (() => Promise<void>) | null,
    then: () => Promise<T>,
  ): Promise<T> {
    if (this.#earlier || before || commands.some(({ call }) => call.pipeline.ready === null)) {
      const turn = this.#compiled(commands, this.#earlier).then(() => before?.());
      const earlier = turn.catch(() => {}); // its own caller hears of it
      this.#earlier = earlier;
      try {
        await turn;
      } finally {
        if (this.#earlier === earlier) this.#earlier = null;
      }
    }
    return then();
  }

  /**
   * Waits until the pipelines of these commands are compiled and `earlier` commands are submitted.
   */
  async #compiled(commands: readonly Command[], earlier: Promise<void> | null): Promise<void> {
    for (const { call } of commands) call.pipeline.ready ??= await this.#device.wait(call.pipeline.made);
    await earlier;
  }

  /**
   * Submits all of the commands but those that one submit holds, and returns these. Waits as the
   * device goes, so that only a few submits are ahead of a signal, and what they take is known for
   * the next ones.
   */
  async #submitFirst(
    commands: readonly Command[],
    batch: Batch,
    signal: AbortSignal | undefined,
  ): Promise<readonly Command[]> {
    for (let rest = commands; ; ) {
      while (this.#running.length >= IN_FLIGHT) await this.#running[0];
      signal?.throwIfAborted();
      this.#device.check();
      const count = this.pace.fits(rest, batch);
      if (count === rest.length) return rest;
      this.#submitOne(rest.slice(0, count), () => {}, 1);
      rest = rest.slice(count);
    }
  }

  /** Submits commands, in pieces that are short enough each, with `then` behind the last. */
  #submit(commands: readonly Command[], then: (encoder: GPUCommandEncoder) => void, share = 1): void {
    const batch = this.#batch();
    let rest = commands;
    for (let count = this.pace.fits(rest, batch); count < rest.length; count = this.pace.fits(rest, batch)) {
      this.#submitOne(rest.slice(0, count), () => {}, share);
      rest = rest.slice(count);
    }
    this.#submitOne(rest, then, share);
  }

  #submitOne(commands: readonly Command[], then: (encoder: GPUCommandEncoder) => void, share: number): void {
    const device = this.#device;
    device.watched(() => {
      const encoder = device.gpu.createCommandEncoder();
      if (this.profiler) this.profiler.encode(encoder, commands);
      else encodePass(encoder, commands);
      then(encoder);
      device.gpu.queue.submit([encoder.finish()]);
    });
    device.counters.dispatches += commands.length;
    this.weigh(commands, share);
    device.counters.submits++;
    const ends = this.pace.begins(commands, this.#batch());
    if (!ends) return;
    const done = device.track(device.gpu.queue.onSubmittedWorkDone()).then(ends, () => {}); // a loss is told elsewhere
    this.#running.push(done);
    void done.then(() => this.#running.splice(this.#running.indexOf(done), 1));
  }

  #layout(bindings: readonly Access[]): GPUBindGroupLayout {
    const key = bindings.join();
    let layout = this.#layouts.get(key);
    if (!layout) {
      const type = { uniform: "uniform", read: "read-only-storage", write: "storage" } as const;
      layout = this.#device.gpu.createBindGroupLayout({
        entries: bindings.map((access, binding) => ({
          binding,
          visibility: 0x4, // GPUShaderStage.COMPUTE
          buffer: { type: type[access] },
        })),
      });
      this.#layouts.set(key, layout);
    }
    return layout;
  }

  /** The uniform that holds these params; kernels with equal ones share it. */
  #paramsOf(line: KernelLine, values: readonly number[]): Buffer {
    const floats = line.params.map((field) => FLOAT_PARAMS.has(field));
    const key = `${values} ${floats}`;
    let buffer = this.#params.get(key);
    if (!buffer) {
      const words = new Uint32Array(values);
      const view = new Float32Array(words.buffer);
      for (const [i, isFloat] of floats.entries()) if (isFloat) view[i] = values[i]!;
      buffer = this.#device.buffer("params", words.byteLength, "scratch", "uniform");
      this.#device.gpu.queue.writeBuffer(buffer.gpu, 0, words);
      this.#params.set(key, buffer);
    }
    return buffer;
  }
}

/** Bytes of a number in the cache; of q8 with its part of what a group has. */
const KV_BYTES = { f32: 4, f16: 2, q8: 34 / 32 } as const;

function workOf({ weights, kv }: Variant, part: PartShape | undefined, w: Buffer | undefined): Work {
  const bytes = (part && w?.size) ?? 0;
  // Bytes of 32 weights, their scales included.
  const group = weights ? panelLayout(formatOf(weights), 8, 256).bytes / 64 : 1;
  return {
    rows: part?.rows ?? 0,
    groups: part?.groups ?? 0,
    bytes,
    values: (32 * bytes) / group,
    kv: KV_BYTES[kv ?? "f32"],
  };
}

/**
 * [linear, second] -> [x, y, z] with x and y within what a dispatch may have; the kernels know the
 * way back.
 */
function fold([linear, second]: readonly [number, number]): readonly [number, number, number] {
  const y = Math.ceil(linear / MAX_GROUPS);
  return [y > 1 ? Math.ceil(linear / y) : linear, Math.max(y, 1), second];
}

function fieldOf(values: Readonly<Record<string, number>> | undefined, field: string, name: string): number {
  const value = values?.[field];
  if (value === undefined) throw new Error(`kernel ${name}: no value for ${field}`);
  return value;
}

function bufferOf(buffers: Readonly<Record<string, Buffer>>, binding: string, name: string): Buffer {
  const buffer = buffers[binding];
  if (!buffer) throw new Error(`kernel ${name}: no buffer for ${binding}`);
  return buffer;
}
