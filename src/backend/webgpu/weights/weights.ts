// Weights on the device: matrices are read in bounded pieces, packed and written to as few buffers as bindings allow.

import { MemoryError, RequestError, WeightsError } from "../../../errors.ts";
import { type Format, GROUP, PANEL_ROWS, type PanelLayout, packRows, panelLayout } from "../../../tensor/format.ts";
import { weave } from "../../../tensor/panels.ts";
import { recordLayout } from "../../../tensor/record.ts";
import { storedPart } from "../../../tensor/stored.ts";
import type { ExpertSource, MatrixSource } from "../../../tensor/types.ts";
import type { Experts, Matrix, Vector } from "../../ops.ts";
import type { Buffer, Device } from "../device/device.ts";
import { type StoredMatrix, storedWriter } from "./stored.ts";

const PIECE = 16 * 2 ** 20; // bytes of f32 read at once
const IN_FLIGHT = 256 * 2 ** 20; // bytes written before waiting: the queue keeps a copy of each until it is done
const ROW_UNIT = 64; // parts start at multiples of this: whole blocks, and whole groups of an expert's outputs

/** What one binding holds of a matrix or of a layer's experts: see kernels/lib/matrix/part.wgsl. */
export interface WeightPart {
  readonly buffers: { readonly w: Buffer; readonly part: Buffer }; // as the kernels call them
  readonly rows: number; // of each of its experts
  readonly groups: number; // groups of 32 columns a row
}

export interface PackedWeights {
  readonly id: number;
  readonly format: Format;
  readonly groups: number;
  readonly parts: readonly WeightPart[];
}
/** Weights that may come later: what each part is of, and the layout of each expert's block in it. */
export interface WeightSpace extends PackedWeights {
  readonly bytes: number;
  readonly ranges: readonly (PartRange & { readonly layout: PanelLayout })[];
}
export interface GpuMatrix extends Matrix, PackedWeights {}
export interface GpuVector extends Vector {
  readonly buffer: Buffer;
}
export interface GpuExperts extends Experts {
  readonly w13: PackedWeights & { readonly bytes: number }; // [E, 2F, D], rows w1_0, w3_0, w1_1, ...
  readonly w2: PackedWeights & { readonly bytes: number }; // [E, D, F]
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
 * @throws MemoryError if not even 64 rows fit
 */
export function splitParts(
  name: string,
  format: Format,
  experts: number,
  rows: number,
  cols: number,
  limit: number,
): PartRange[] {
  const whole = panelLayout(format, rows, cols).bytes;
  if (whole <= limit) {
    const each = Math.min(experts, Math.floor(limit / whole));
    return Array.from({ length: Math.ceil(experts / each) }, (_, i) => ({
      expert: i * each,
      experts: Math.min(each, experts - i * each),
      row: 0,
      rows,
    }));
  }
  const unit = panelLayout(format, ROW_UNIT, cols).bytes;
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
  /** What was loaded. */
  readonly matrices: GpuMatrix[] = [];
  readonly experts: GpuExperts[] = [];
  #inFlight = 0;
  #nextId = 1;

  /** @param limit bytes of weights that one binding may hold */
  constructor(device: Device, limit: number) {
    this.#device = device;
    this.#limit = Math.min(limit, device.maxBinding);
  }

  async matrix(source: MatrixSource, format: Format): Promise<GpuMatrix> {
    const { name, rows, cols } = source;
    const whole = panelLayout(format, rows, cols);
    const stored = source.panels?.format === format ? [{ panels: source.panels, whole }] : null;
    const matrix = { name, rows, cols, ...(await this.#load(name, [[source]], format, stored)) };
    this.matrices.push(matrix);
    return matrix;
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

  async layer(sources: readonly ExpertSource[], up: Format, down: Format): Promise<GpuExperts> {
    const first = sources[0];
    if (!first) throw new RequestError("a layer of experts needs at least one expert, found none");
    const { rows: intermediate, cols: hidden } = first.w1;
    const record = recordLayout({ hidden, intermediate, up, down });
    const records = sources.flatMap((source) =>
      source.record?.up === up && source.record.down === down ? source.record : [],
    );
    const stored = (whole: PanelLayout, offset: number): StoredMatrix[] | null =>
      records.length < sources.length
        ? null
        : records.map((bytes) => ({ panels: storedPart(bytes, whole, offset), whole }));
    const w13 = await this.#load(
      first.w1.name,
      sources.map(({ w1, w3 }) => [w1, w3]),
      up,
      stored(record.up, 0),
    );
    const w2 = await this.#load(
      first.w2.name,
      sources.map(({ w2 }) => [w2]),
      down,
      stored(record.down, record.downOffset),
    );
    const bytes = w13.bytes + w2.bytes;
    const layer = { count: sources.length, hidden, intermediate, up, down, bytes, w13, w2 };
    this.experts.push(layer);
    return layer;
  }

  /**
   * Buffers for E blocks [rows, cols], empty, which are put into `made` as they are made. Whether they could be allocated
   * shows later: Device.settle() throws. @throws MemoryError
   */
  space(name: string, format: Format, experts: number, rows: number, cols: number, made: Buffer[]): WeightSpace {
    const device = this.#device;
    const groups = Math.ceil(cols / GROUP);
    const parts: WeightPart[] = [];
    const split = splitParts(name, format, experts, rows, cols, this.#limit);
    const ranges = split.map((range) => ({ ...range, layout: panelLayout(format, range.rows, cols) }));
    for (const { expert, experts, row, rows, layout } of ranges) {
      const buffer = device.buffer(name, layout.bytes * experts, "weights", "storage");
      made.push(buffer);
      const part = device.buffer(`${name} (part)`, 48, "scratch", "uniform");
      made.push(part);
      const planes = [0, 1, 2, 3].map((i) => (layout.planes[i]?.offset ?? 0) / 16);
      const words = [expert, experts, row, rows, ...planes, layout.bytes / 16, groups];
      device.gpu.queue.writeBuffer(part.gpu, 0, Uint32Array.from(words));
      parts.push({ buffers: { w: buffer, part }, rows, groups });
    }
    const bytes = parts.reduce((sum, { buffers }) => sum + buffers.w.size, 0);
    return { id: this.#nextId++, format, groups, parts, bytes, ranges };
  }

  /**
   * @param experts of each, the matrices whose rows alternate in its block
   * @param stored of each, where its block is stored as it is to be
   */
  async #load(
    name: string,
    experts: readonly (readonly MatrixSource[])[],
    format: Format,
    stored: readonly StoredMatrix[] | null,
  ): Promise<PackedWeights & { bytes: number }> {
    const device = this.#device;
    const { rows: each, cols } = experts[0]![0]!;
    const rows = each * experts[0]!.length;
    const made: Buffer[] = [];
    try {
      const { ranges, ...weights } = this.space(name, format, experts.length, rows, cols, made);
      await device.settle();
      const written = (bytes: number): Promise<void> => this.#written(bytes);
      const write = pieceWriter(device, format, cols, written);
      const copy = storedWriter(device, written);
      for (const [i, range] of ranges.entries()) {
        const { layout } = range;
        const { w } = weights.parts[i]!.buffers;
        for (let e = 0; e < range.experts; e++) {
          const from = stored?.[range.expert + e];
          if (from) await copy(from, range, layout, w, e * layout.bytes);
          else await write(experts[range.expert + e]!, range, layout, w, e * layout.bytes);
        }
      }
      await device.settle();
      return weights;
    } catch (error) {
      for (const buffer of made) device.free(buffer);
      throw error;
    }
  }

  async #written(bytes: number): Promise<void> {
    this.#inFlight += bytes;
    if (this.#inFlight < IN_FLIGHT) return;
    this.#inFlight = 0;
    await this.#device.wait(this.#device.gpu.queue.onSubmittedWorkDone());
  }
}

/**
 * A function that streams a range of rows into a packed matrix at `base`, through arrays that it keeps. The range is of
 * matrices whose rows alternate: row i of n matrices is row i / n of matrix i mod n. It starts with whole rows of all of them.
 */
function pieceWriter(device: Device, format: Format, cols: number, written: (bytes: number) => Promise<void>) {
  const most = Math.max(1, Math.floor(PIECE / (cols * 4 * PANEL_ROWS))) * PANEL_ROWS;
  let floats = new Float32Array(0);
  let rows: Uint8Array[] = [];
  let panels: Uint8Array<ArrayBuffer>[] = [];

  return async (
    alternate: readonly MatrixSource[],
    range: PartRange,
    layout: PanelLayout,
    buffer: Buffer,
    base: number,
  ): Promise<void> => {
    const step = alternate.length;
    for (let row = 0; row < range.rows; row += most) {
      const count = Math.min(most, range.rows - row);
      const whole = Math.ceil(count / PANEL_ROWS) * PANEL_ROWS;
      if (floats.length < whole * cols) {
        floats = new Float32Array(whole * cols);
        rows = layout.planes.map(({ rowBytes }) => new Uint8Array(whole * rowBytes));
        panels = layout.planes.map(({ rowBytes }) => new Uint8Array(whole * rowBytes));
      }
      const own = layout.planes.map(({ rowBytes }, p) => panels[p]!.subarray(0, whole * rowBytes));
      // Rows of padding have no weights and no scale.
      for (const [p, { rowBytes }] of layout.planes.entries())
        own[p]!.fill(0, Math.floor(count / PANEL_ROWS) * PANEL_ROWS * rowBytes);
      for (const [side, source] of alternate.entries()) {
        const n = count / step;
        const first = (range.row + row) / step;
        const planes = layout.planes.map(({ rowBytes }, p) => rows[p]!.subarray(0, n * rowBytes));
        if (!(await source.readPlanes?.(format, first, n, planes))) {
          if (!format.pack)
            throw new WeightsError(`${source.name}: is not stored in ${format.name}, and nothing packs to it`);
          const values = floats.subarray(0, n * cols);
          await source.readRows(first, n, values);
          packRows(format, values, n, cols, planes);
        }
        weave(format, planes, n, side, step, own);
      }
      device.check(); // it may have been closed while the source was read
      for (const [p, { offset, rowBytes }] of layout.planes.entries())
        device.gpu.queue.writeBuffer(buffer.gpu, base + offset + row * rowBytes, own[p]!);
      await written(own.reduce((sum, { length }) => sum + length, 0));
    }
  };
}
