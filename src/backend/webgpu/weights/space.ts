// Device memory for packed matrices: parts of at most what one binding holds, and where bytes go.

import { MemoryError } from "../../../errors.ts";
import { type Format, GROUP, PANEL_ROWS, type PanelLayout, panelLayout } from "../../../tensor/format.ts";
import { type ExpertShape, recordLayout } from "../../../tensor/record.ts";
import type { Experts, HeadMatrices, InputOrder, Matrix, Vector } from "../../ops.ts";
import type { Buffer, Device } from "../device/device.ts";
import { upload } from "../device/upload.ts";

/**
 * Parts start at multiples of so many rows: whole panels, and whole groups of an expert's outputs.
 */
const ROW_UNIT = 64;
/** Where a part's words have `first_row`. */
const FIRST_ROW = 2;

/** What one binding holds of a matrix or of a layer's experts: see kernels/lib/matrix/part.wgsl. */
export interface WeightPart {
  readonly buffers: { readonly w: Buffer; readonly part: Buffer }; // as the kernels call them
  readonly rows: number; // of each of its experts
  readonly groups: number; // groups of 32 columns a row
  readonly words: Uint32Array; // what the buffer `part` holds
}

/** The properties of weights that a kernel's variant is chosen by. */
export interface WeightKind {
  readonly format: Format;
  /** Groups of 32 columns a row. */
  readonly groups: number;
}

/** A packed matrix, or the same matrix of several experts, in as few parts as bindings allow. */
export interface PackedWeights extends WeightKind {
  readonly id: number;
  readonly parts: readonly WeightPart[];
  /** Whether each part has biases of its rows behind them, f32. */
  readonly biased: boolean;
  /** What each part holds, and the layout of each expert's rows in it. */
  readonly ranges: readonly (PartRange & { readonly layout: PanelLayout })[];
  readonly bytes: number;
}

export interface GpuMatrix extends Matrix, PackedWeights {
  readonly format: Format;
  readonly bytes: number;
}
/** Kernels see heads as experts. */
export interface GpuHeads extends HeadMatrices, PackedWeights {
  readonly format: Format;
  readonly bytes: number;
}
export interface GpuVector extends Vector {
  readonly buffer: Buffer;
  /** What it holds, zeros behind it: for experts that the host computes. */
  readonly values: Float32Array;
}
export interface GpuOrder extends InputOrder {
  readonly buffer: Buffer;
  /** What it holds. */
  readonly lists: Uint32Array;
}
export interface GpuExperts extends Experts {
  readonly w13: PackedWeights; // [E, 2F, D], rows w1_0, w3_0, w1_1, ...
  readonly w2: PackedWeights; // [E, D, F]
}

/** Experts `expert .. expert + experts - 1`, rows `row .. row + rows - 1` of each. */
export interface PartRange {
  readonly expert: number;
  readonly experts: number;
  readonly row: number;
  readonly rows: number;
}

/**
 * Cuts E equal matrices [rows, cols] into parts of at most `limit` bytes: whole experts where they
 * fit, else rows of one.
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

/**
 * Makes room for weights. Every buffer is put into `made` as it is made, for the caller to free if
 * something fails; whether it could be allocated shows later, when Device.settle() throws.
 */
export class WeightSpace {
  readonly #device: Device;
  readonly #limit: number;
  readonly #views = new Map<string, GpuMatrix>();
  #nextId = 1;

  /** @param limit bytes of weights that one binding may hold */
  constructor(device: Device, limit: number) {
    this.#device = device;
    this.#limit = Math.min(limit, device.maxBinding);
  }

  /** Room for E matrices [rows, cols]; with biases, which need E = 1. @throws MemoryError */
  matrices(
    name: string,
    format: Format,
    E: number,
    rows: number,
    cols: number,
    made: Buffer[],
    biased = false,
  ): PackedWeights {
    const device = this.#device;
    const biasBytes = (of: number): number => (biased ? 4 * PANEL_ROWS * Math.ceil(of / PANEL_ROWS) : 0);
    const groups = Math.ceil(cols / GROUP);
    const split = splitParts(name, format, E, rows, cols, this.#limit - biasBytes(rows));
    const ranges = split.map((range) => ({ ...range, layout: panelLayout(format, range.rows, cols) }));
    const parts = ranges.map(({ expert, experts, row, rows, layout }): WeightPart => {
      const w = device.buffer(name, layout.bytes * experts + biasBytes(rows), "weights", "storage");
      const part = device.buffer(`${name} (part)`, 48, "scratch", "uniform");
      made.push(w, part);
      const planes = [0, 1, 2, 3].map((i) => (layout.planes[i]?.offset ?? 0) / 16);
      const each = layout.bytes / 16;
      const words = Uint32Array.from([expert, experts, row, rows, ...planes, each, groups, each * experts]);
      device.gpu.queue.writeBuffer(part.gpu, 0, words);
      return { buffers: { w, part }, rows, groups, words };
    });
    const bytes = parts.reduce((sum, { buffers }) => sum + buffers.w.size, 0);
    return { id: this.#nextId++, format, groups, parts, biased, ranges, bytes };
  }

  /**
   * The same matrices as views whose products are columns of one result, each matrix right of the
   * one before: `first_row` of their parts counts from the first matrix. Made once for each place.
   */
  stacked(matrices: readonly GpuMatrix[]): readonly GpuMatrix[] {
    let above = 0;
    return matrices.map((w) => {
      const first = above;
      above += w.rows;
      if (first === 0) return w;
      const key = `${w.id} ${first}`;
      let view = this.#views.get(key);
      if (!view) {
        view = { ...w, id: this.#nextId++, parts: w.parts.map((part) => this.#below(w.name, part, first)) };
        this.#views.set(key, view);
      }
      return view;
    });
  }

  #below(name: string, { words, buffers, ...part }: WeightPart, first: number): WeightPart {
    const moved = words.map((word, i) => (i === FIRST_ROW ? word + first : word));
    const buffer = this.#device.buffer(`${name} (part)`, moved.byteLength, "scratch", "uniform");
    this.#device.gpu.queue.writeBuffer(buffer.gpu, 0, moved);
    return { ...part, buffers: { w: buffers.w, part: buffer }, words: moved };
  }

  /** Room for `count` experts: all of a layer, or its slots. @throws MemoryError */
  experts(of: string, shape: ExpertShape, count: number, made: Buffer[]): GpuExperts {
    const { hidden, intermediate, up, down } = shape;
    const w13 = this.matrices(`w1 and w3 of ${of}`, up, count, 2 * intermediate, hidden, made);
    const w2 = this.matrices(`w2 of ${of}`, down, count, hidden, intermediate, made);
    return { ...shape, count, bytes: w13.bytes + w2.bytes, w13, w2 };
  }
}

/** Bytes `start .. end - 1` of a packed matrix or of a record lie in `buffer` from `at`. */
export interface Segment {
  readonly start: number;
  readonly end: number;
  readonly buffer: Buffer;
  readonly at: number;
}

/** Where the bytes of an expert's matrix lie, which is laid out as `whole` from byte `base` on. */
export function matrixSegments(
  { parts, ranges }: PackedWeights,
  expert: number,
  whole: PanelLayout,
  base = 0,
): Segment[] {
  return ranges.flatMap((range, i): Segment[] => {
    if (expert < range.expert || expert >= range.expert + range.experts) return [];
    const buffer = parts[i]!.buffers.w;
    const { layout, row } = range;
    const at = (expert - range.expert) * layout.bytes;
    return layout.planes.map(({ offset, rowBytes }, p) => {
      const start = base + whole.planes[p]!.offset + row * rowBytes;
      return { start, end: start + layout.rows * rowBytes, buffer, at: at + offset };
    });
  });
}

/** Where the bytes of an expert's record lie. Those between its planes lie nowhere. */
export function recordSegments(experts: GpuExperts, expert: number): Segment[] {
  const { up, down, downOffset } = recordLayout(experts);
  return [...matrixSegments(experts.w13, expert, up), ...matrixSegments(experts.w2, expert, down, downOffset)];
}

/**
 * Writes bytes `offset ..` of the matrix or record that the segments are of, in the queue's order.
 */
export function writeSegments(device: Device, segments: readonly Segment[], offset: number, bytes: Uint8Array): void {
  for (const { start, end, buffer, at } of segments) {
    const [from, to] = [Math.max(offset, start), Math.min(offset + bytes.length, end)];
    if (from < to) upload(device, buffer, at + from - start, bytes.subarray(from - offset, to - offset));
  }
}
