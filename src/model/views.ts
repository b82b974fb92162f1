// Other views of a checkpoint's tensors: a part of each head's rows, the transpose, a function of
// each value.

import { rowsOfPlanes } from "../tensor/format.ts";
import type { MatrixSource } from "../tensor/types.ts";

/**
 * Rows of a matrix whose rows come in groups of `group`: of each the `count` rows from `first` on;
 * its bias too.
 */
export function rowsOfGroups(whole: MatrixSource, group: number, first: number, count: number): MatrixSource {
  const { name, rows, cols, dtype, format, order, importance, ggml, bias } = whole;
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
    ...(dtype && { dtype }),
    ...(format && { format }),
    ...(order && { order }),
    ...(importance && { importance }),
    ...(bias && { bias: elementsOfGroups(bias, group, first, count) }),
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
        async readBlocks(from, n, into, signal, bypass) {
          const bytes = into.length / n;
          await each(from, n, async (start, run, at) => {
            await whole.readBlocks!(start, run, into.subarray(at * bytes, (at + run) * bytes), signal, bypass);
            return true;
          });
        },
      }),
    ...(whole.settle && { settle: async () => rowsOfGroups(await whole.settle!(), group, first, count) }),
  };
}

/** A vector's elements that come in groups, likewise. */
function elementsOfGroups(whole: MatrixSource, group: number, first: number, count: number): MatrixSource {
  const size = whole.rows * whole.cols;
  return {
    name: whole.name,
    rows: 1,
    cols: (size / group) * count,
    async readRows(_first, _count, into) {
      const all = new Float32Array(size);
      await whole.readRows(0, whole.rows, all);
      for (let i = 0; i < into.length; i++) into[i] = all[Math.floor(i / count) * group + first + (i % count)]!;
    },
  };
}

/** The transpose of a small matrix, packed again unless its format holds one number at a time. */
export function transposed(source: MatrixSource): MatrixSource {
  const { rows, cols, dtype, format } = source;
  return {
    name: `${source.name}, transposed`,
    rows: cols,
    cols: rows,
    ...(dtype && { dtype }),
    ...(format?.planes.length === 1 && format.pack && { format }),
    async readRows(first, count, into) {
      const whole = new Float32Array(rows * cols);
      await source.readRows(0, rows, whole);
      for (let r = 0; r < count; r++) for (let c = 0; c < rows; c++) into[r * rows + c] = whole[c * cols + first + r]!;
    },
  };
}

/** The same vector, or small matrix, with `of` of each value. */
export function mapped(source: MatrixSource, of: (x: number) => number): MatrixSource {
  const { name, rows, cols } = source;
  return {
    name,
    rows,
    cols,
    async readRows(first, count, into) {
      await source.readRows(first, count, into);
      for (let i = 0; i < count * cols; i++) into[i] = of(into[i]!);
    },
  };
}
