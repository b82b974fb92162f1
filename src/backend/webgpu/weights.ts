// Weights on the device: matrices are read in bounded pieces, packed and written to as few buffers as bindings allow.

import { MemoryError, RequestError } from "../../errors.ts";
import { GROUP, type PackedLayout, packedLayout, packRows } from "../../tensor/pack.ts";
import type { ExpertSource, MatrixSource, Precision } from "../../tensor/types.ts";
import type { Experts, Matrix, Vector } from "../ops.ts";
import type { Buffer, Device } from "./device.ts";

const PIECE = 16 * 2 ** 20; // bytes of f32 read at once
const IN_FLIGHT = 256 * 2 ** 20; // bytes written before waiting: the queue keeps a copy of each until it is done
const ROW_UNIT = 8; // parts and pieces start at multiples of this, which keeps scales aligned and w1/w3 rows together

/** What one binding holds of a matrix or of a layer's experts: see kernels/lib/part.wgsl. */
export interface WeightPart {
  readonly buffers: { readonly w: Buffer; readonly part: Buffer }; // as the kernels call them
  readonly rows: number; // of each of its experts
  readonly groups: number; // groups of 32 columns a row
}

export interface PackedWeights {
  readonly id: number;
  readonly groups: number;
  readonly parts: readonly WeightPart[];
}
export interface GpuMatrix extends Matrix, PackedWeights {}
export interface GpuVector extends Vector {
  readonly buffer: Buffer;
}
export interface GpuExperts extends Experts {
  readonly up: PackedWeights & { readonly bytes: number }; // [E, 2F, D], rows w1_0, w3_0, w1_1, ...
  readonly down: PackedWeights & { readonly bytes: number }; // [E, D, F]
}

/** Experts `expert .. expert + experts - 1`, rows `row .. row + rows - 1` of each. */
export interface PartRange {
  readonly expert: number;
  readonly experts: number;
  readonly row: number;
  readonly rows: number;
}

/**
 * Cuts E equal blocks [rows, cols] into parts of at most `limit` bytes: whole experts where they fit, else rows of one.
 * @throws MemoryError if not even 8 rows fit
 */
export function splitParts(
  name: string,
  precision: Precision,
  experts: number,
  rows: number,
  cols: number,
  limit: number,
): PartRange[] {
  const whole = packedLayout(precision, rows, cols).bytes;
  if (whole <= limit) {
    const each = Math.min(experts, Math.floor(limit / whole));
    return Array.from({ length: Math.ceil(experts / each) }, (_, i) => ({
      expert: i * each,
      experts: Math.min(each, experts - i * each),
      row: 0,
      rows,
    }));
  }
  const unit = packedLayout(precision, ROW_UNIT, cols).bytes;
  const each = Math.floor(limit / unit) * ROW_UNIT;
  if (each === 0) {
    throw new MemoryError(
      `${name}: ${ROW_UNIT} rows take ${unit} bytes and this device binds at most ${limit} at once`,
    );
  }
  const ranges: PartRange[] = [];
  for (let expert = 0; expert < experts; expert++)
    for (let row = 0; row < rows; row += each)
      ranges.push({ expert, experts: 1, row, rows: Math.min(each, rows - row) });
  return ranges;
}

export class WeightLoader {
  readonly #device: Device;
  readonly #limit: number;
  #inFlight = 0;
  #nextId = 1;

  /** @param limit bytes of weights that one binding may hold */
  constructor(device: Device, limit: number) {
    this.#device = device;
    this.#limit = Math.min(limit, device.maxBinding);
  }

  async matrix(source: MatrixSource, precision: Precision): Promise<GpuMatrix> {
    const { name, rows, cols } = source;
    return { name, rows, cols, precision, ...(await this.#load(name, [source], precision)) };
  }

  async vector(source: MatrixSource): Promise<GpuVector> {
    const size = source.rows * source.cols;
    const values = new Float32Array(Math.ceil(size / GROUP) * GROUP);
    await source.readRows(0, source.rows, values.subarray(0, size));
    const buffer = this.#device.buffer(source.name, values.byteLength, "weights", "storage");
    this.#device.gpu.queue.writeBuffer(buffer.gpu, 0, values);
    await this.#device.settle();
    return { size, bytes: buffer.size, buffer };
  }

  async experts(sources: readonly ExpertSource[], precision: Precision): Promise<GpuExperts> {
    const first = sources[0];
    if (!first) throw new RequestError("a layer of experts needs at least one expert, found none");
    const { rows: intermediate, cols: hidden } = first.w1;
    const up = await this.#load(
      first.w1.name,
      sources.map(({ w1, w3 }) => interleaveRows(w1, w3)),
      precision,
    );
    const down = await this.#load(
      first.w2.name,
      sources.map(({ w2 }) => w2),
      precision,
    );
    return { count: sources.length, hidden, intermediate, precision, bytes: up.bytes + down.bytes, up, down };
  }

  async #load(
    name: string,
    sources: readonly MatrixSource[],
    precision: Precision,
  ): Promise<PackedWeights & { bytes: number }> {
    const device = this.#device;
    const { rows, cols } = sources[0]!;
    const groups = Math.ceil(cols / GROUP);
    const made: Buffer[] = [];
    const parts: WeightPart[] = [];
    try {
      const ranges = splitParts(name, precision, sources.length, rows, cols, this.#limit);
      for (const range of ranges) {
        const layout = packedLayout(precision, range.rows, cols);
        const buffer = device.buffer(name, layout.bytes * range.experts, "weights", "storage");
        const part = device.buffer(`${name} (part)`, 32, "scratch", "uniform");
        made.push(buffer, part);
        const words = [
          range.expert,
          range.experts,
          range.row,
          range.rows,
          layout.bytes / 4,
          layout.scaleOffset / 4,
          groups,
        ];
        device.gpu.queue.writeBuffer(part.gpu, 0, Uint32Array.from(words));
        parts.push({ buffers: { w: buffer, part }, rows: range.rows, groups });
      }
      await device.settle();
      const write = pieceWriter(device, precision, cols);
      for (const [i, range] of ranges.entries()) {
        const layout = packedLayout(precision, range.rows, cols);
        for (let e = 0; e < range.experts; e++)
          await write(sources[range.expert + e]!, range, layout, parts[i]!.buffers.w, e * layout.bytes, (bytes) =>
            this.#written(bytes),
          );
      }
      await device.settle();
    } catch (error) {
      for (const buffer of made) device.free(buffer);
      throw error;
    }
    const bytes = parts.reduce((sum, { buffers }) => sum + buffers.w.size, 0);
    return { id: this.#nextId++, groups, parts, bytes };
  }

  async #written(bytes: number): Promise<void> {
    this.#inFlight += bytes;
    if (this.#inFlight < IN_FLIGHT) return;
    this.#inFlight = 0;
    await this.#device.wait(this.#device.gpu.queue.onSubmittedWorkDone());
  }
}

/** A function that streams a range of rows of a source into a block at `base`, through buffers that it keeps. */
function pieceWriter(device: Device, precision: Precision, cols: number) {
  const groups = Math.ceil(cols / GROUP);
  const rowsAtOnce = Math.max(1, Math.floor(PIECE / (cols * 4 * ROW_UNIT))) * ROW_UNIT;
  const { rowBytes, bytes, scaleOffset } = packedLayout(precision, 1, cols);
  const hasScales = bytes > scaleOffset;
  let quants = new Uint8Array(0);
  let scales = new Uint16Array(0);
  let floats = new Float32Array(0);

  return async (
    source: MatrixSource,
    range: PartRange,
    layout: PackedLayout,
    buffer: Buffer,
    base: number,
    written: (bytes: number) => Promise<void>,
  ): Promise<void> => {
    for (let row = 0; row < range.rows; row += rowsAtOnce) {
      const count = Math.min(rowsAtOnce, range.rows - row);
      if (quants.length < count * rowBytes) {
        quants = new Uint8Array(count * rowBytes);
        scales = new Uint16Array(hasScales ? Math.ceil((count * groups) / 2) * 2 : 0); // whole words
      }
      const q = quants.subarray(0, count * rowBytes);
      const s = scales.subarray(0, hasScales ? count * groups : 0);
      const first = range.row + row;
      if (!(await source.readPacked?.(precision, first, count, q, s))) {
        if (floats.length < count * cols) floats = new Float32Array(count * cols);
        const x = floats.subarray(0, count * cols);
        await source.readRows(first, count, x);
        packRows(precision, x, count, cols, { quants: q, scales: s });
      }
      device.check(); // it may have been closed while the source was read
      const { queue } = device.gpu;
      queue.writeBuffer(buffer.gpu, base + row * rowBytes, q);
      if (hasScales) {
        const words = scales.subarray(0, Math.ceil(s.length / 2) * 2);
        queue.writeBuffer(buffer.gpu, base + layout.scaleOffset + row * groups * 2, words);
      }
      await written(q.byteLength + s.byteLength);
    }
  };
}

/** w1 and w3 [F, D] as one source [2F, D] with rows w1_0, w3_0, w1_1, w3_1, ... Ranges must start and end on pairs. */
export function interleaveRows(w1: MatrixSource, w3: MatrixSource): MatrixSource {
  const { cols } = w1;
  let half = new Float32Array(0);
  let halfQuants = new Uint8Array(0);
  let halfScales = new Uint16Array(0);
  return {
    name: w1.name,
    rows: 2 * w1.rows,
    cols,
    async readRows(first, count, into) {
      const pairs = count / 2;
      if (half.length < pairs * cols) half = new Float32Array(pairs * cols);
      for (const [side, source] of [w1, w3].entries()) {
        const rows = half.subarray(0, pairs * cols);
        await source.readRows(first / 2, pairs, rows);
        spread(rows, into, pairs, side);
      }
    },
    async readPacked(precision, first, count, quants, scales) {
      const pairs = count / 2;
      if (halfQuants.length < quants.length / 2) {
        halfQuants = new Uint8Array(quants.length / 2);
        halfScales = new Uint16Array(scales.length / 2);
      }
      for (const [side, source] of [w1, w3].entries()) {
        const q = halfQuants.subarray(0, quants.length / 2);
        const s = halfScales.subarray(0, scales.length / 2);
        if (!(await source.readPacked?.(precision, first / 2, pairs, q, s))) return false;
        spread(q, quants, pairs, side);
        spread(s, scales, pairs, side);
      }
      return true;
    },
  };
}

/** Row r of `from` becomes row 2r + side of `into`. */
function spread<A extends Float32Array | Uint8Array | Uint16Array>(from: A, into: A, rows: number, side: number): void {
  const width = from.length / rows;
  for (let r = 0; r < rows; r++) into.set(from.subarray(r * width, (r + 1) * width), (2 * r + side) * width);
}
