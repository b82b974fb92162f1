// compressed-tensors "pack-quantized": 4-bit levels in words along the inputs, low nibble first.
//
// weight_packed I32 [out, in / 8], each level plus 8; weight_scale [out, groups];
// weight_zero_point, absent for symmetric ones: I32 [out / 8, groups], eight outputs a word, each
// plus 8; weight_g_idx I32 [in], each input's group, where inputs were reordered; weight_shape [2].

import { WeightsError } from "../../errors.ts";
import type { Kept } from "../../tensor/kept.ts";
import type { MatrixSource, StoredTensor } from "../../tensor/types.ts";
import { affineInAnyOrder, affineMatrix, type Levels } from "./affine.ts";
import { orderWords } from "./nibbles.ts";
import type { Packing, Parts } from "./packing.ts";
import { bytesOf, expectTensor, groupsOf, integersOf, scalesOf } from "./tensors.ts";

export interface CompressedOptions {
  readonly label: string;
  /** Inputs of a group; Infinity: all of them. */
  readonly size: number;
  readonly symmetric: boolean;
  /** Whether the groups of inputs may lie in any order, which weight_g_idx has. */
  readonly anyOrder: boolean;
}

interface Found {
  readonly rows: number;
  readonly cols: number;
  readonly groups: number;
  readonly packed: StoredTensor;
  readonly scales: StoredTensor;
  readonly zeros: StoredTensor | null;
  readonly index: StoredTensor | null;
}

export function compressedPacking(options: CompressedOptions): Packing {
  return {
    label: options.label,
    endings: [".weight_packed", ".weight_scale", ".weight_zero_point", ".weight_g_idx", ".weight_shape"],
    shape: (parts) => {
      const { rows, cols } = find(parts, options);
      return [rows, cols];
    },
    matrix: (parts, kept) => matrixOf(parts, kept, options),
  };
}

function find(parts: Parts, { size, symmetric, anyOrder }: CompressedOptions): Found {
  const packed = parts.get(".weight_packed");
  const [rows, words] = packed.shape as [number, number];
  if (packed.shape.length !== 2 || packed.dtype !== "I32")
    throw new WeightsError(`${packed.where}: expected I32 of two dimensions, found ${packed.dtype} [${packed.shape}]`);
  const cols = 8 * words;
  const groups = Math.ceil(cols / Math.min(size, cols));
  const why = `config.json's config_groups make ${groups} group${groups === 1 ? "" : "s"} of ${cols} inputs`;
  const scales = expectTensor(parts.get(".weight_scale"), ["F16", "BF16", "F32"], [rows, groups], why);
  const zeroShape = [Math.ceil(rows / 8), groups];
  return {
    rows,
    cols,
    groups,
    packed,
    scales,
    zeros: symmetric ? null : expectTensor(parts.get(".weight_zero_point"), ["I32"], zeroShape, why),
    // Without it, groups in any order would be read as if they followed each other.
    index:
      parts.has(".weight_g_idx") || (anyOrder && groups > 1)
        ? expectTensor(parts.get(".weight_g_idx"), ["I32"], [cols], why)
        : null,
  };
}

function matrixOf(parts: Parts, kept: Kept<Levels>, options: CompressedOptions): MatrixSource {
  const { rows, cols, groups, packed, scales, zeros, index } = find(parts, options);
  const shape = { name: parts.name, rows, cols, size: Math.min(options.size, cols), symmetric: options.symmetric };
  const read = async (): Promise<Levels> => {
    if (parts.has(".weight_shape")) await checkShape(parts.get(".weight_shape"), rows, cols);
    const words = new Uint32Array((await bytesOf(packed)).buffer);
    orderWords(words);
    const points = new Uint8Array(rows * groups).fill(8);
    if (zeros) {
      const from = await integersOf(zeros);
      for (let r = 0; r < rows; r++)
        for (let g = 0; g < groups; g++)
          points[r * groups + g] = (from[(r >>> 3) * groups + g]! >>> (4 * (r & 7))) & 15;
    }
    return { words, ...(await scalesOf(scales)), zeros: points };
  };
  return index && groups > 1
    ? affineInAnyOrder(shape, kept, read, () => groupsOrRuns(index, groups, shape.size))
    : affineMatrix(shape, kept, read);
}

/** Matrices that no text of the calibration reached, as of rare experts, have -1 in all places. */
async function groupsOrRuns(tensor: StoredTensor, groups: number, size: number): Promise<Int32Array> {
  const index = await integersOf(tensor);
  return index.every((group) => group === -1)
    ? index.map((_, column) => Math.floor(column / size))
    : groupsOf(tensor, groups);
}

/** weight_shape says where rows end within a word: those are not read. */
async function checkShape(tensor: StoredTensor, rows: number, cols: number): Promise<void> {
  const raw = (await bytesOf(tensor)).buffer;
  const shape = tensor.dtype === "I64" ? [...new BigInt64Array(raw)].map(Number) : [...new Int32Array(raw)];
  if (shape.length !== 2 || shape[0] !== rows || shape[1] !== cols)
    throw new WeightsError(`${tensor.where}: expected [${rows}, ${cols}], as weight_packed has, found [${shape}]`);
}
