// Matrices of 4-bit levels with scales and zero points: w = s (q - z), as AWQ, GPTQ and
// compressed-tensors store them.
//
// AWQ's and GPTQ's words lie across the rows that a layer is loaded by, so a matrix is turned
// whole, at its 4 bits, when its first rows are asked for, and let go after its last ones.

import { FORMATS } from "../../../kernels/formats/index.ts";
import { WeightsError } from "../../errors.ts";
import { type Format, rowsOfPlanes } from "../../tensor/format.ts";
import { HALF_TO_FLOAT, toHalf } from "../../tensor/half.ts";
import type { Kept } from "../../tensor/kept.ts";
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
}

/** What is known of a matrix before it is read. */
export interface AffineShape {
  readonly name: string;
  readonly rows: number;
  readonly cols: number;
  /** Columns of a group of the file. */
  readonly size: number;
  /** The group of each column, where groups may be other columns than runs of `size`. */
  readonly groups?: Int32Array;
  /** Whether all zero points are known to be 8. */
  readonly symmetric?: boolean;
}

/** Formats by the columns of a group, the largest first. */
const AFFINE = Object.values<Format>(FORMATS)
  .flatMap((format) => (format.affine ? [{ format, columns: format.affine }] : []))
  .sort((a, b) => b.columns - a.columns);

/** The format whose groups the file's are made of, if there is one. */
function formatOf({ size, cols, symmetric }: AffineShape): Format | null {
  const found = AFFINE.find(({ columns }) => size >= cols || size % columns === 0);
  if (!found) return null;
  // The same groups without zero points, which are a twentieth of groups of 32.
  const centered = Object.values<Format>(FORMATS).find((format) => format.centered === found.columns);
  return (symmetric && centered) || found.format;
}

/**
 * A matrix whose levels `read` gets: in planes with its columns sorted by group. As f32 if no
 * format has such groups.
 */
export function affineMatrix(shape: AffineShape, kept: Kept<Levels>, read: () => Promise<Levels>): MatrixSource {
  const { name, rows, cols, size, groups: index = null } = shape;
  const order = index && sortedColumns(index, Math.ceil(cols / size));
  const runs = index === null || isRuns(index, order!, size);
  const format = runs ? formatOf(shape) : null;
  const moved = order?.some((column, i) => column !== i) ? order : null;
  const groupOf = runs ? null : index;
  const words = cols / 8;
  const turned = { name, rows, bytes: (rows * cols) / 2 };

  async function levelsOf(first: number, count: number): Promise<Levels> {
    if (first < 0 || count < 0 || first + count > rows)
      throw new RangeError(`rows ${first} to ${first + count} of ${rows} of ${name}`);
    return kept.get(turned, { first, count }, read);
  }

  return {
    name,
    rows,
    cols,
    format: format ?? FORMATS.f32,
    ...(format && moved && { order: moved }),
    async readRows(first, count, into) {
      const { words: all, scales, zeros } = await levelsOf(first, count);
      const groups = scales.length / rows;
      for (let r = 0; r < count; r++) {
        const row = first + r;
        for (let i = 0; i < cols; i++) {
          const column = moved ? moved[i]! : i;
          const word = all[row * words + (column >>> 3)]!;
          const level = (word >>> placeOf(column)) & 15;
          const g = row * groups + (groupOf ? groupOf[column]! : Math.floor(i / size));
          into[r * cols + column] = scales[g]! * (level - zeros[g]!);
        }
      }
    },
    ...(format && {
      async readPlanes(wanted: Format, first: number, count: number, planes: readonly Uint8Array[]) {
        if (wanted !== format) return false;
        const levels = await levelsOf(first, count);
        for (let r = 0; r < count; r++) fillPlanes(shape, levels, first + r, moved, rowsOfPlanes(planes, count, r, 1));
        return true;
      },
    }),
  };
}

/** The same matrix, whose groups `index` reads: until then as f32. */
export function affineInAnyOrder(
  shape: AffineShape,
  kept: Kept<Levels>,
  read: () => Promise<Levels>,
  index: () => Promise<Int32Array>,
): MatrixSource {
  const { name, rows, cols } = shape;
  let settled: Promise<MatrixSource> | null = null;
  const settle = (): Promise<MatrixSource> => {
    settled ??= index().then((groups) => affineMatrix({ ...shape, groups }, kept, read));
    settled.catch(() => (settled = null));
    return settled;
  };
  const readRows: MatrixSource["readRows"] = async (...range) => (await settle()).readRows(...range);
  return { name, rows, cols, format: FORMATS.f32, readRows, settle };
}

/** Columns by their groups, and in order within each. */
function sortedColumns(groups: Int32Array, count: number): Uint32Array {
  const next = new Uint32Array(count + 1); // where a group's next column goes
  for (const group of groups) next[group + 1]!++;
  for (let g = 0; g < count; g++) next[g + 1]! += next[g]!;
  const sorted = new Uint32Array(groups.length);
  for (const [column, group] of groups.entries()) sorted[next[group]!++] = column;
  return sorted;
}

/** Whether groups of columns that are sorted by them are runs of `size`, but for the last. */
function isRuns(groups: Int32Array, sorted: Uint32Array, size: number): boolean {
  return sorted.every((column, i) => groups[column] === Math.floor(i / size));
}

/** Where a column's nibble is in its word of eight. */
function placeOf(column: number): number {
  return 8 * (column & 3) + (column & 4);
}

/** Writes a row in the planes of formatOf(), its columns in this order, or as they are. */
function fillPlanes(
  { name, rows, cols, size }: AffineShape,
  levels: Levels,
  row: number,
  order: Uint32Array | null,
  planes: readonly Uint8Array[],
) {
  const words = cols / 8;
  const [nibbles, halves, zeros] = planes as [Uint8Array, Uint8Array, Uint8Array | undefined];
  nibbles.fill(0);
  if (order) moveNibbles(levels.words.subarray(row * words, (row + 1) * words), order, nibbles);
  else nibbles.set(new Uint8Array(levels.words.buffer, 4 * row * words, 4 * words));
  zeros?.fill(0);
  halves.fill(0);
  const span = (4 * nibbles.length) / halves.length; // columns of a group of the format
  let zero = 0;
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
    zero = levels.zeros[from]!;
    if (zeros) zeros[g] = zero;
  }
  // Where columns end within a group, its padding is levels at the zero point: weights of 0.
  const last = Math.ceil(cols / span);
  nibbles.fill(17 * zero, cols / 2, (last * span) / 2);
}

/** Column i of `into` is column order[i] of a row. Bytes hold columns 0 and 4, 1 and 5, ... */
function moveNibbles(row: Uint32Array, order: Uint32Array, into: Uint8Array) {
  for (let byte = 0; byte < row.length * 4; byte++) {
    const first = 2 * (byte & ~3) + (byte & 3);
    const [low, high] = [order[first]!, order[first + 4]!];
    into[byte] = ((row[low >>> 3]! >>> placeOf(low)) & 15) | (((row[high >>> 3]! >>> placeOf(high)) & 15) << 4);
  }
}
