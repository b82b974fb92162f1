// The tools of a timing of kernels: inputs, a clock that the first run does not mislead, results to
// compare, and their release.

import { type Format, PANEL_ROWS, packRows, rowPlanes } from "../../../tensor/format.ts";
import { weave } from "../../../tensor/panels.ts";
import type { Buffer, Device } from "../device/device.ts";
import type { Call } from "../dispatch/commands.ts";
import type { StepEncoder } from "../dispatch/encoder.ts";
import type { GpuSlots } from "../weights/slots.ts";
import { ROUNDED } from "./tiles.ts";

/** Milliseconds of work that a timing lasts at least: far above what a submit costs. */
const SAMPLE = 3;

export class Trial {
  protected readonly device: Device;
  protected readonly encoder: StepEncoder;
  protected readonly buffers: Buffer[] = [];

  constructor({ device, encoder }: { readonly device: Device; readonly encoder: StepEncoder }) {
    this.device = device;
    this.encoder = encoder;
  }

  /** Milliseconds of one round of calls; stops early where it is far from `best`. */
  protected async time(calls: readonly Call[], best: number, rows = 1): Promise<number> {
    const round = async (times: number): Promise<number> => {
      for (let i = 0; i < times; i++) for (const call of calls) this.encoder.dispatch(call, rows);
      const started = performance.now();
      await this.encoder.readBits({ buffer: this.buffers[0]!, rows: 0, width: 0, stride: 0, type: "u32" });
      return performance.now() - started;
    };
    await round(1); // compiles
    const once = await round(1);
    if (once > 2 * SAMPLE && once > 2 * best) return once;
    const times = Math.max(1, Math.ceil(SAMPLE / once));
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 3; i++) least = Math.min(least, (await round(times)) / times);
    return least;
  }

  protected async floats(calls: readonly Call[], out: Buffer, size: number, rows = 1): Promise<Float32Array> {
    for (const call of calls) this.encoder.dispatch(call, rows);
    return this.encoder.read({ buffer: out, rows: 1, width: size, stride: size, type: "f32" });
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
  protected random(width: number, used: number, rows = 1): Buffer {
    let seed = 1;
    return this.filled(
      Float32Array.from({ length: rows * width }, (_, i) => {
        seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
        return i % width < used ? seed / 2 ** 31 - 1 : 0;
      }),
    );
  }

  protected filled(data: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>): Buffer {
    const buffer = this.buffer(data.byteLength);
    this.device.gpu.queue.writeBuffer(buffer.gpu, 0, data);
    return buffer;
  }

  protected buffer(bytes: number): Buffer {
    const buffer = this.device.buffer("tuning", bytes, "scratch", "storage");
    this.buffers.push(buffer);
    return buffer;
  }

  protected free(): void {
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
