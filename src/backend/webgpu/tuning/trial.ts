// The tools of a timing of kernels: inputs, a clock that the first run does not mislead, results to
// compare, and their release.

import { DeviceError } from "../../../errors.ts";
import { type Format, PANEL_ROWS, packRows, rowPlanes } from "../../../tensor/format.ts";
import { weave } from "../../../tensor/panels.ts";
import type { Buffer, Device } from "../device/device.ts";
import type { Call, Command } from "../dispatch/commands.ts";
import type { StepEncoder } from "../dispatch/encoder.ts";
import { VariantError } from "../dispatch/pipelines.ts";
import type { GpuSlots } from "../weights/slots.ts";
import { ROUNDED } from "./tiles.ts";

/**
 * Milliseconds of work that a timing lasts at least: far above what a submit costs, and above the
 * steps of a page's clock. Software adapters, which are tried in tests with small matrices, are
 * timed by Node's clock.
 */
const SAMPLE = { gpu: 20, software: 3 } as const;
/** Timings of which the least counts. */
const SAMPLES = 2;
/** Rounds of one timing, at most. */
const MOST_ROUNDS = 1000;

export interface TrialContext {
  readonly device: Device;
  readonly encoder: StepEncoder;
  /** Called for each variant that was left out, with the reason. */
  leftOut?(why: string): void;
}

export class Trial {
  protected readonly device: Device;
  protected readonly encoder: StepEncoder;
  protected readonly buffers: Buffer[] = [];
  readonly #leftOut: ((why: string) => void) | undefined;
  readonly #sample: number;

  constructor({ device, encoder, leftOut }: TrialContext, software = true) {
    this.device = device;
    this.encoder = encoder;
    this.#leftOut = leftOut;
    this.#sample = SAMPLE[software ? "software" : "gpu"];
  }

  /** Milliseconds of one round of commands; stops early where it is far from `best`. */
  async time(commands: readonly Command[], best: number): Promise<number> {
    const round = async (times: number): Promise<number> => {
      for (let i = 0; i < times; i++) for (const { call, n } of commands) this.encoder.dispatch(call, n);
      const started = performance.now();
      await this.encoder.readBits({ buffer: this.buffers[0]!, rows: 0, width: 0, stride: 0, type: "u32" });
      return performance.now() - started;
    };
    await round(1); // compiles
    const once = Math.max(await round(1), 1e-3); // a page's clock may stand still
    if (once > 2 * this.#sample && once > 2 * best) return once;
    const times = Math.min(Math.ceil(this.#sample / once), MOST_ROUNDS);
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < SAMPLES; i++) least = Math.min(least, (await round(times)) / times);
    return least;
  }

  /** The first `rows` rows of `width` numbers of a buffer, after what was encoded. */
  async rows(buffer: Buffer, rows: number, width: number): Promise<Float32Array> {
    return this.encoder.read({ buffer, rows: 1, width: rows * width, stride: rows * width, type: "f32" });
  }

  protected async floats(calls: readonly Call[], out: Buffer, size: number, rows = 1): Promise<Float32Array> {
    for (const call of calls) this.encoder.dispatch(call, rows);
    return this.rows(out, 1, size);
  }

  /**
   * The result of `work` with a variant; null where the device does not take it, which is noted.
   * @throws DeviceError once the device is lost
   */
  async tried<T>(variant: string, work: () => Promise<T>): Promise<T | null> {
    try {
      return await work();
    } catch (error) {
      this.device.check();
      if (!(error instanceof DeviceError)) throw error;
      this.encoder.reset();
      this.#leftOut?.(`${error instanceof VariantError ? error.kernel : variant}: ${error.message}`);
      return null;
    }
  }

  /** Whether a variant's results are the plain variant's, near enough; else that is noted. */
  equal(variant: string, got: Float32Array, wanted: Float32Array, tolerance: number): boolean {
    const error = nmse(got, wanted);
    if (error <= tolerance) return true;
    this.#leftOut?.(
      `${variant}: its results are not the plain variant's (normalised error ${error.toExponential(1)}, at most ${tolerance} is allowed)`,
    );
    return false;
  }

  protected rounded(x: Buffer, to: "f16" | "int8", groups: number, D: number, rows = 1): Buffer {
    const { kernel, words } = ROUNDED[to];
    const y = this.buffer(rows * words(groups) * 4);
    const { encoder } = this;
    const count = this.count(rows);
    const call = encoder.call(kernel, {
      params: { D, eps: 0, groups, each: 1 },
      overrides: { THREADS: 64, NORM: 0 },
      buffers: { count, x, norm: x, y },
    });
    encoder.dispatch(call, rows);
    return y;
  }

  /** The uniform that says how many rows there are. */
  protected count(rows: number): Buffer {
    const count = this.device.buffer("tuning", 16, "scratch", "uniform");
    this.buffers.push(count);
    this.device.gpu.queue.writeBuffer(count.gpu, 0, Uint32Array.of(rows));
    return count;
  }

  /**
   * Activations as a model has them, near enough: rows of `used` numbers of about unit size, then
   * zeros up to `width`.
   */
  random(width: number, used: number, rows = 1): Buffer {
    let seed = 1;
    return this.filled(
      Float32Array.from({ length: rows * width }, (_, i) => {
        seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
        return i % width < used ? seed / 2 ** 31 - 1 : 0;
      }),
    );
  }

  filled(data: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>): Buffer {
    const buffer = this.buffer(data.byteLength);
    this.device.gpu.queue.writeBuffer(buffer.gpu, 0, data);
    return buffer;
  }

  buffer(bytes: number): Buffer {
    const buffer = this.device.buffer("tuning", bytes, "scratch", "storage");
    this.buffers.push(buffer);
    return buffer;
  }

  free(): void {
    this.encoder.reset(); // time may have run out between encoding and submitting
    for (const buffer of this.buffers.splice(0)) {
      this.encoder.forget(buffer);
      this.device.free(buffer);
    }
  }
}

/**
 * Fills a store's transit slots, or the first two, with the same panel of weights again and again.
 */
export function fillTransit(slots: GpuSlots): void {
  const { up, down, downOffset } = slots.layout;
  for (let transit = 0; transit < Math.min(2, slots.transit); transit++)
    for (const [base, { format, cols, rows, planes }] of [
      [0, up],
      [downOffset, down],
    ] as const) {
      const panel = somePanel(format, cols, transit);
      for (const [p, { offset }] of planes.entries())
        for (let i = 0; i < rows / PANEL_ROWS; i++)
          slots.write({ transit }, base + offset + i * panel[p]!.length, panel[p]!);
    }
}

/** A panel of finite weights, not zero. */
export function somePanel(format: Format, cols: number, seed: number): Uint8Array[] {
  const panel = rowPlanes(format, PANEL_ROWS, cols);
  const wave = (i: number): number => Math.sin(i * (i + 1 + seed));
  if (format.pack) {
    const weights = Float32Array.from({ length: PANEL_ROWS * cols }, (_, i) => wave(i) / Math.sqrt(cols));
    const rows = rowPlanes(format, PANEL_ROWS, cols);
    packRows(format, weights, PANEL_ROWS, cols, rows);
    weave(format, rows, PANEL_ROWS, 0, 1, panel);
  } else {
    // Whatever a plane holds, such bytes are levels, positive scales, or f16 from 0.0001 to 0.03.
    for (const plane of panel) for (let i = 0; i < plane.length; i++) plane[i] = 20 + 4 * wave(i);
  }
  return panel;
}

/** Σ (a - b)² / Σ b². */
export function nmse(a: Float32Array, b: Float32Array): number {
  let error = 0;
  let norm = 0;
  for (let i = 0; i < b.length; i++) {
    error += (a[i]! - b[i]!) ** 2;
    norm += b[i]! ** 2;
  }
  return norm === 0 ? error : error / norm;
}
