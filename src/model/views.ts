// Other views of a checkpoint's tensors: a part of each head's rows, a transposed vector of taps,
// norms that are stored less one.

import { rowsOfPlanes } from "../tensor/format.ts";
import type { MatrixSource } from "../tensor/types.ts";

/**
 * Rows of a matrix without a bias whose rows come in groups of `group`: of each the `count` rows
 * from `first` on.
 */
export function rowsOfGroups(whole: MatrixSource, group: number, first: number, count: number): MatrixSource {
  const { name, rows, cols, format, order, importance, ggml } = whole;
  /**
   * Calls `use` for each run of rows of `whole` that rows from..from+n-1 are, and its place in
   * them.
   */
  async function each(
    from: number,
    n: number,
    use: (start: number, rows: number, at: number) => Promise<boolean>,
  ): Promise<boolean> {
    for (let at = 0; at < n; ) {
      const row = from + at;
      const run = Math.min(n - at, count - (row % count));
      if (!(await use(Math.floor(row / count) * group + first + (row % count), run, at))) return false;
      at += run;
    }
    return true;
  }
  return {
    name,
    rows: (rows / group) * count,
    cols,
    ...(format && { format }),
    ...(order && { order }),
    ...(importance && { importance }),
    async readRows(from, n, into) {
      await each(from, n, async (start, run, at) => {
        await whole.readRows(start, run, into.subarray(at * cols, (at + run) * cols));
        return true;
      });
    },
    ...(whole.readPlanes && {
      readPlanes: (wanted, from, n, planes) =>
        each(from, n, (start, run, at) => whole.readPlanes!(wanted, start, run, rowsOfPlanes(planes, n, at, run))),
    }),
    ...(ggml &&
      whole.readBlocks && {
        ggml,
        async readBlocks(from: number, n: number, into: Uint8Array, signal?: AbortSignal) {
          const bytes = into.length / n;
          await each(from, n, async (start, run, at) => {
            await whole.readBlocks!(start, run, into.subarray(at * bytes, (at + run) * bytes), signal);
            return true;
          });
        },
      }),
    ...(whole.settle && { settle: async () => rowsOfGroups(await whole.settle!(), group, first, count) }),
  };
}

/** [cols, rows] of a small matrix [rows, cols], as one row. */
export function transposed(source: MatrixSource): MatrixSource {
  const { name, rows, cols } = source;
  return {
    name,
    rows: 1,
    cols: rows * cols,
    async readRows(_first, _count, into) {
      const own = new Float32Array(rows * cols);
      await source.readRows(0, rows, own);
      for (let r = 0; r < rows; r++) for (let c = 0; c < cols; c++) into[c * rows + r] = own[r * cols + c]!;
    },
  };
}

/** A vector plus one: weights of norms that multiply by 1 + w. */
export function plusOne(source: MatrixSource): MatrixSource {
  const { name, rows, cols } = source;
  return {
    name,
    rows,
    cols,
    async readRows(first, count, into) {
      await source.readRows(first, count, into);
      for (let i = 0; i < into.length; i++) into[i]! += 1;
    },
  };
}
