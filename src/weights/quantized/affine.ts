// Matrices of 4-bit levels with scales and zero points: w = s (q - z), as AWQ, GPTQ and
// compressed-tensors store them.
//
// AWQ's and GPTQ's words lie across the rows that a layer is loaded by, so a matrix is turned
// whole, at its 4 bits, when its first rows are asked for, and let go after its last ones.

import { FORMATS } from "../../../kernels/formats/index.ts";
import { WeightsError } from "../../errors.ts";
import { type Format, rowsOfPlanes } from "../../tensor/format.ts";
import { HALF_TO_FLOAT, toHalf } from "../../tensor/half.ts";
import type { MatrixSource } from "../../tensor/types.ts";

/** A matrix at the file's own bits, row after row. */
export interface Levels {
  /** [rows, cols / 8]: words in the order of kernels/formats/bits.ts. */
  readonly words: Uint32Array;
  /** [rows, groups] */
  readonly scales: Float32Array;
  /** The same as f16 bits, if the file has them so. */
  readonly halves: Uint16Array | null;
  /** [rows, groups], 0..15 */
  readonly zeros: Uint8Array;
  /** The group of each column, where groups are not runs of columns. */
  readonly index: Int32Array | null;
}

/** What is known of a matrix before it is read. */
export interface AffineShape {
  readonly name: string;
  readonly rows: number;
  readonly cols: number;
  /** Columns of a group of the file. */
  readonly size: number;
  /** Whether groups are runs of columns. */
  readonly runs: boolean;
}

/** Formats by the columns of a group, the largest first. */
const AFFINE = Object.values<Format>(FORMATS)
  .flatMap((format) => (format.affine ? [{ format, columns: format.affine }] : []))
  .sort((a, b) => b.columns - a.columns);

/** The format whose groups the file's are made of, if there is one. */
function formatOf({ size, cols, runs }: AffineShape): Format | null {
  const found = runs ? AFFINE.find(({ columns }) => size >= cols || size % columns === 0) : undefined;
  return found?.format ?? null;
}

/** Matrices that were turned, the last used last, up to a number of bytes. */
export class Kept {
  readonly #limit: number;
  readonly #all = new Map<string, { readonly levels: Promise<Levels>; readonly bytes: number }>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get({ name, rows, cols }: AffineShape, read: () => Promise<Levels>): Promise<Levels> {
    const found = this.#all.get(name) ?? { levels: read(), bytes: (rows * cols) / 2 };
    found.levels.catch(() => this.#all.delete(name));
    this.#all.delete(name);
    let held = found.bytes;
    for (const { bytes } of this.#all.values()) held += bytes;
    for (const [oldest, { bytes }] of this.#all) {
      if (held <= this.#limit) break;
      this.#all.delete(oldest);
      held -= bytes;
    }
    this.#all.set(name, found);
    return found.levels;
  }

  drop(name: string): void {
    this.#all.delete(name);
  }
}

/** A matrix whose levels `read` gets. */
export function affineMatrix(shape: AffineShape, kept: Kept, read: () => Promise<Levels>): MatrixSource {
  const { name, rows, cols, size } = shape;
  const format = formatOf(shape);
  const words = cols / 8;

  async function levelsOf(first: number, count: number): Promise<Levels> {
    if (first < 0 || count < 0 || first + count > rows)
      throw new RangeError(`rows ${first} to ${first + count} of ${rows} of ${name}`);
    const levels = await kept.get(shape, read);
    if (first + count === rows) kept.drop(name); // rows are read in order
    return levels;
  }

  return {
    name,
    rows,
    cols,
    async readRows(first, count, into) {
      const { words: all, scales, zeros, index } = await levelsOf(first, count);
      const groups = scales.length / rows;
      for (let r = 0; r < count; r++) {
        const row = first + r;
        for (let i = 0; i < cols; i++) {
          const word = all[row * words + (i >>> 3)]!;
          const level = (word >>> (8 * (i & 3) + (i & 4))) & 15;
          const g = row * groups + (index ? index[i]! : Math.floor(i / size));
          into[r * cols + i] = scales[g]! * (level - zeros[g]!);
        }
      }
    },
    ...(format && {
      format,
      async readPlanes(wanted: Format, first: number, count: number, planes: readonly Uint8Array[]) {
        if (wanted !== format) return false;
        const levels = await levelsOf(first, count);
        for (let r = 0; r < count; r++) fillPlanes(shape, levels, first + r, rowsOfPlanes(planes, count, r, 1));
        return true;
      },
    }),
  };
}

/** Writes a row in the planes of formatOf(). */
function fillPlanes(
  { name, rows, cols, size }: AffineShape,
  levels: Levels,
  row: number,
  planes: readonly Uint8Array[],
) {
  const words = cols / 8;
  const [nibbles, halves, zeros] = planes as [Uint8Array, Uint8Array, Uint8Array];
  nibbles.fill(0);
  nibbles.set(new Uint8Array(levels.words.buffer, 4 * row * words, 4 * words));
  zeros.fill(0);
  halves.fill(0);
  const span = (2 * nibbles.length) / zeros.length; // columns of a group of the format
  const groups = levels.scales.length / rows;
  for (let g = 0; g * span < cols; g++) {
    const from = row * groups + Math.min(groups - 1, Math.floor((g * span) / size));
    const scale = levels.scales[from]!;
    const half = levels.halves ? levels.halves[from]! : toHalf(scale);
    if (HALF_TO_FLOAT[half] !== scale)
      throw new WeightsError(
        `${name}: the scale ${scale} of row ${row} does not fit f16, in which 4-bit weights have theirs; open the model with other weights (--weights f16)`,
      );
    halves[2 * g] = half & 255;
    halves[2 * g + 1] = half >>> 8;
    zeros[g] = levels.zeros[from]!;
  }
  // Where columns end within a group, its padding is levels at the zero point: weights of 0.
  const last = Math.ceil(cols / span);
  nibbles.fill(17 * zeros[last - 1]!, cols / 2, (last * span) / 2);
}
