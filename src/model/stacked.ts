// Experts that lie in stacked tensors, in several layouts.

import { Kept } from "../tensor/kept.ts";
import type { ExpertSource, MatrixSource } from "../tensor/types.ts";
import type { Take } from "./family.ts";

/** The most bytes of turned matrices: the two of an expert that are loaded together, and more. */
const KEPT = 128 * 2 ** 20;

/** Experts of two tensors: [E, 2F, D], rows 0 .. F - 1 of an expert its gate, and [E, D, F]. */
export function stackedExperts(
  take: Take,
  up: string,
  down: string,
  { E, F, D }: { readonly E: number; readonly F: number; readonly D: number },
): ExpertSource[] {
  take.matrix(up, E, 2 * F, D);
  take.matrix(down, E, D, F);
  return Array.from({ length: E }, (_, e) => ({
    w1: take.rows(up, e * 2 * F, F),
    w3: take.rows(up, (e * 2 + 1) * F, F),
    w2: take.rows(down, e * D, D),
  }));
}

/** Rows `side`, `side` + 2, ... of a matrix: the gates or the ups of one that has them in turn. */
export function everyOther(whole: MatrixSource, side: 0 | 1): MatrixSource {
  const { name, rows, cols, dtype, format } = whole;
  /** Every other row of `from` to `to`, whose rows are as long. */
  const pick = <T extends Float32Array | Uint8Array>(from: T, to: T, count: number): void => {
    const width = to.length / count;
    for (let r = 0; r < count; r++)
      to.set(from.subarray((2 * r + side) * width, (2 * r + side + 1) * width), r * width);
  };
  return {
    name,
    rows: rows / 2,
    cols,
    ...(dtype && { dtype }),
    ...(format && { format }),
    async readRows(first, count, into) {
      const both = new Float32Array(2 * count * cols);
      await whole.readRows(2 * first, 2 * count, both);
      pick(both, into, count);
    },
    ...(whole.readPlanes && {
      async readPlanes(wanted, first, count, planes) {
        const both = planes.map(({ length }) => new Uint8Array(2 * length));
        if (!(await whole.readPlanes!(wanted, 2 * first, 2 * count, both))) return false;
        for (const [p, plane] of planes.entries()) pick(both[p]!, plane, count);
        return true;
      },
    }),
  };
}

/** Matrices that lie as [cols, rows] in one tensor, one after the other. */
export class Transposed {
  readonly #take: Pick<Take, "rows">;
  readonly #kept = new Kept<Float32Array>(KEPT);

  constructor(take: Pick<Take, "rows">) {
    this.#take = take;
  }

  /**
   * Rows `side`, `side` + step, ... of matrix `index` [rows, cols] of a tensor that was taken. The
   * whole is read for the first of them, and let go after the last.
   */
  matrix(
    tensor: string,
    index: number,
    [rows, cols]: readonly [rows: number, cols: number],
    [side, step]: readonly [side: number, step: number] = [0, 1],
  ): MatrixSource {
    const lying = this.#take.rows(tensor, index * cols, cols);
    const name = `${tensor} ${index}`;
    const read = async (): Promise<Float32Array> => {
      const whole = new Float32Array(rows * cols);
      await lying.readRows(0, cols, whole);
      return whole;
    };
    return {
      name: tensor,
      rows: rows / step,
      cols,
      ...(lying.dtype && { dtype: lying.dtype }),
      readRows: async (first, count, into) => {
        if (first < 0 || count < 0 || first + count > rows / step)
          throw new RangeError(`rows ${first} to ${first + count} of ${rows / step} of ${name}`);
        const range = { first: side + first * step, count, step };
        const whole = await this.#kept.get({ name, rows, bytes: 4 * rows * cols }, range, read);
        for (let c = 0; c < cols; c++)
          for (let r = 0; r < count; r++) into[r * cols + c] = whole[c * rows + range.first + r * step]!;
      },
    };
  }
}

/** The vectors [n, size] of two tensors, elements in turn: [n, 2 size]. */
export function inTurn(even: MatrixSource, odd: MatrixSource): MatrixSource {
  const { name, rows, cols } = even;
  return {
    name: `${name} and ${odd.name}`,
    rows,
    cols: 2 * cols,
    async readRows(first, count, into) {
      const one = new Float32Array(count * cols);
      for (const [side, source] of [even, odd].entries()) {
        await source.readRows(first, count, one);
        for (const [i, value] of one.entries()) into[2 * i + side] = value;
      }
    },
  };
}
