// Biases of matrices: how a source gets one, and what matrices that are joined by rows get.

import type { MatrixSource } from "../tensor/types.ts";
import type { Architecture, Biased, Take } from "./family.ts";

/** The same matrix with a bias [1, rows], which is added to every product with it. */
export function biased(matrix: MatrixSource, bias: MatrixSource): MatrixSource {
  const { name, rows, cols, dtype, format, ggml, panels, order, importance } = matrix;
  return {
    name,
    rows,
    cols,
    bias,
    ...(dtype && { dtype }),
    ...(format && { format }),
    ...(ggml && { ggml }),
    ...(panels && { panels }),
    ...(order && { order }),
    ...(importance && { importance }),
    readRows: (first, count, into) => matrix.readRows(first, count, into),
    ...(matrix.readPlanes && { readPlanes: matrix.readPlanes.bind(matrix) }),
    ...(matrix.readBlocks && { readBlocks: matrix.readBlocks.bind(matrix) }),
    ...(matrix.blocksAt && { blocksAt: matrix.blocksAt.bind(matrix) }),
    ...(matrix.settle && { settle: async () => biased(await matrix.settle!(), bias) }),
  };
}

/** The tensors `name`.weight [rows, cols] and, where the architecture has biases, `name`.bias. */
export function takeProduct(
  a: Pick<Architecture, "biases">,
  take: Take,
  of: Biased,
  name: string,
  rows: number,
  cols: number,
): MatrixSource {
  const matrix = take.matrix(`${name}.weight`, rows, cols);
  return a.biases?.includes(of) ? biased(matrix, take.matrix(`${name}.bias`, rows)) : matrix;
}

/** A norm before attention, experts or head: `name`.weight [D], a LayerNorm's with `name`.bias. */
export function takeNorm({ hidden, layerNorms }: Architecture, take: Take, name: string): MatrixSource {
  const weight = take.matrix(`${name}.weight`, hidden);
  return layerNorms ? biased(weight, take.matrix(`${name}.bias`, hidden)) : weight;
}

/** The bias of matrices joined by rows: zeros where a part has none; null: none has one. */
export function concatBiases(name: string, parts: readonly MatrixSource[]): MatrixSource | null {
  if (parts.every(({ bias }) => !bias)) return null;
  const rows = parts.reduce((sum, part) => sum + part.rows, 0);
  return {
    name: `the bias of ${name}`,
    rows: 1,
    cols: rows,
    async readRows(_first, _count, into) {
      let at = 0;
      for (const part of parts) {
        const own = into.subarray(at, at + part.rows);
        if (part.bias) await part.bias.readRows(0, part.bias.rows, own);
        else own.fill(0);
        at += part.rows;
      }
    },
  };
}
