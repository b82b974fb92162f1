// Matrices with their rows in another order, as a family's RoPE wants them.

import { type Format, rowsOfPlanes } from "../tensor/format.ts";
import type { MatrixSource } from "../tensor/types.ts";

/**
 * The rows of a projection whose RoPE turns neighbours (2i, 2i + 1), in the order in which it turns
 * halves (i, i + n/2): in each head of `headDim` rows, the even ones of rows [start, start + n),
 * then the odd ones; its bias too. Scores do not change, because rows of q and k move alike. `rows`
 * must be whole heads.
 */
export function halfSplitRows(source: MatrixSource, headDim: number, start = 0, n = headDim): MatrixSource {
  const order = Uint32Array.from({ length: source.rows }, (_, row) => {
    const at = (row % headDim) - start;
    if (at < 0 || at >= n) return row;
    const [pair, odd] = at < n / 2 ? [at, 0] : [at - n / 2, 1];
    return row - at + 2 * pair + odd;
  });
  return rowsInOrder(source, order, headDim);
}

/**
 * The same matrix with row order[i] as row i. Rows move only within `span` rows, which are read
 * together: a source in blocks or over a network is not read row by row.
 */
function rowsInOrder(source: MatrixSource, order: Uint32Array, span: number): MatrixSource {
  const { name, rows, cols, dtype, format, importance, ggml, settle } = source;
  /** Calls `use` for each span that rows [first, first + count) lie in. */
  async function each(
    first: number,
    count: number,
    use: (start: number, length: number, from: number, to: number) => Promise<void>,
  ) {
    for (let start = first - (first % span); start < first + count; start += span) {
      const length = Math.min(span, rows - start);
      await use(start, length, Math.max(first, start), Math.min(first + count, start + length));
    }
  }
  return {
    name,
    rows,
    cols,
    ...(dtype && { dtype }),
    ...(format && { format }),
    ...(importance && { importance }),
    ...(source.order && { order: source.order }),
    ...(source.bias && { bias: elementsInOrder(source.bias, order) }),
    ...(settle && { settle: async () => rowsInOrder(await settle(), order, span) }),
    async readRows(first, count, into) {
      const whole = new Float32Array(span * cols);
      await each(first, count, async (start, length, from, to) => {
        await source.readRows(start, length, whole);
        for (let row = from; row < to; row++) {
          const at = (order[row]! - start) * cols;
          into.set(whole.subarray(at, at + cols), (row - first) * cols);
        }
      });
    },
    ...(source.readPlanes && {
      async readPlanes(wanted: Format, first: number, count: number, planes: readonly Uint8Array[]) {
        let all = true;
        await each(first, count, async (start, length, from, to) => {
          const whole = planes.map((plane) => new Uint8Array((plane.length / count) * length));
          all &&= await source.readPlanes!(wanted, start, length, whole);
          if (!all) return;
          for (let row = from; row < to; row++)
            for (const [i, plane] of rowsOfPlanes(whole, length, order[row]! - start, 1).entries())
              rowsOfPlanes(planes, count, row - first, 1)[i]!.set(plane);
        });
        return all;
      },
    }),
    ...(ggml &&
      source.readBlocks && {
        ggml,
        async readBlocks(first, count, into, signal, bypass) {
          const rowBytes = into.length / count;
          const whole = new Uint8Array(span * rowBytes);
          await each(first, count, async (start, length, from, to) => {
            await source.readBlocks!(start, length, whole.subarray(0, length * rowBytes), signal, bypass);
            for (let row = from; row < to; row++) {
              const at = (order[row]! - start) * rowBytes;
              into.set(whole.subarray(at, at + rowBytes), (row - first) * rowBytes);
            }
          });
        },
      }),
  };
}

/** A bias with element order[i] as element i. */
function elementsInOrder(source: MatrixSource, order: Uint32Array): MatrixSource {
  return {
    name: source.name,
    rows: 1,
    cols: order.length,
    async readRows(_first, _count, into) {
      const all = new Float32Array(order.length);
      await source.readRows(0, source.rows, all);
      for (const [i, from] of order.entries()) into[i] = all[from]!;
    },
  };
}
