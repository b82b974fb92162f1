// AWQ and GPTQ: 4-bit levels in words of eight, transposed: a matrix [out, in] lies by its inputs.
//
// AWQ "gemm": qweight I32 [in, out / 8], eight outputs of an input a word; qzeros I32 [in / g,
// out / 8] alike; scales [in / g, out].
//
// GPTQ: qweight I32 [in / 8, out], eight inputs of an output a word; qzeros I32 [in / g, out / 8],
// which hold z - 1 in the first version; scales [in / g, out]; g_idx I32 [in], each input's group.

import { WeightsError } from "../../errors.ts";
import type { Kept } from "../../tensor/kept.ts";
import type { MatrixSource, StoredTensor } from "../../tensor/types.ts";
import { affineInAnyOrder, affineMatrix, type Levels } from "./affine.ts";
import { transposeAwq, transposeGptq } from "./nibbles.ts";
import type { Packing, Parts } from "./packing.ts";
import { bytesOf, expectTensor, groupsOf, integersOf, scalesOf } from "./tensors.ts";

/** The most bytes of words to read at once. */
const PIECE = 4 * 2 ** 20;
const SCALES = ["F16", "BF16", "F32"];
/** The nibble of a word that holds output i of eight. */
const AWQ_NIBBLES = [0, 4, 1, 5, 2, 6, 3, 7];

/** A method and its options. */
export interface WordsOptions {
  readonly label: string;
  readonly method: "awq" | "gptq";
  /** Inputs of a group; Infinity: all of them. */
  readonly size: number;
  /** What is added to a stored zero point, modulo 16. */
  readonly zeroShift: 0 | 1;
  /** Whether the groups of inputs may lie in any order, which g_idx has. */
  readonly anyOrder: boolean;
}

/** Tensors of a matrix [rows, cols], checked. */
interface Found {
  readonly rows: number;
  readonly cols: number;
  readonly groups: number;
  readonly qweight: StoredTensor;
  readonly qzeros: StoredTensor;
  readonly scales: StoredTensor;
  readonly index: StoredTensor | null;
}

export function wordsPacking(options: WordsOptions): Packing {
  return {
    label: options.label,
    endings: [".qweight", ".qzeros", ".scales", ...(options.method === "gptq" ? [".g_idx"] : []), ".bias"],
    shape: (parts) => {
      const { rows, cols } = find(parts, options);
      return [rows, cols];
    },
    matrix: (parts, kept) => matrixOf(parts, kept, options),
  };
}

function find(parts: Parts, { method, size, anyOrder }: WordsOptions): Found {
  const qweight = parts.get(".qweight");
  const [first, second] = qweight.shape as [number, number];
  if (qweight.shape.length !== 2 || qweight.dtype !== "I32")
    throw new WeightsError(
      `${qweight.where}: expected I32 of two dimensions, found ${qweight.dtype} [${qweight.shape}]`,
    );
  const [rows, cols] = method === "awq" ? [8 * second, first] : [second, 8 * first];
  const groups = Math.ceil(cols / Math.min(size, cols));
  const why = `the group_size of config.json makes ${groups} group${groups === 1 ? "" : "s"} of ${cols} inputs`;
  if (cols % 8 !== 0 || rows % 8 !== 0)
    throw new WeightsError(
      `${qweight.where}: [${rows}, ${cols}] weights; 4-bit matrices have multiples of 8 rows and columns`,
    );
  // Without it, groups in any order would be read as if they followed each other.
  const indexed = method === "gptq" && (parts.has(".g_idx") || (anyOrder && groups > 1));
  return {
    rows,
    cols,
    groups,
    qweight,
    qzeros: expectTensor(parts.get(".qzeros"), ["I32"], [groups, rows / 8], why),
    scales: expectTensor(parts.get(".scales"), SCALES, [groups, rows], why),
    index: indexed ? expectTensor(parts.get(".g_idx"), ["I32"], [cols], why) : null,
  };
}

function matrixOf(parts: Parts, kept: Kept<Levels>, options: WordsOptions): MatrixSource {
  const { name } = parts;
  const found = find(parts, options);
  const { rows, cols, groups, qweight, index } = found;
  const anyOrder = groups > 1 && options.anyOrder;
  const shape = { name, rows, cols, size: Math.min(options.size, cols) };
  const read = async (): Promise<Levels> => {
    if (parts.has(".bias") && !parts.isTaken(".bias")) await refuseBias(parts.get(".bias"));
    const words = new Uint32Array((rows * cols) / 8);
    await readWords(qweight, found, options, words);
    const stored = await scalesOf(found.scales);
    const scales = transposed(stored.scales, new Float32Array(rows * groups), groups);
    const halves = stored.halves && transposed(stored.halves, new Uint16Array(rows * groups), groups);
    const zeros = zerosOf(await integersOf(found.qzeros), found, options);
    if (index && !anyOrder && groups > 1) await expectRuns(index, shape.size, groups);
    return { words, scales, halves, zeros };
  };
  return anyOrder
    ? affineInAnyOrder(shape, kept, read, () => groupsOf(index!, groups))
    : affineMatrix(shape, kept, read);
}

/** Reads the next piece while one is turned. */
async function readWords(qweight: StoredTensor, { rows, cols }: Found, { method }: WordsOptions, words: Uint32Array) {
  const turn = method === "awq" ? transposeAwq : transposeGptq;
  const eight = 4 * rows; // bytes of eight inputs of all outputs
  const step = Math.max(1, Math.floor(PIECE / eight)) * eight;
  const read = async (at: number) => {
    const bytes = new Uint8Array(Math.min(step, qweight.bytes - at));
    await qweight.read(at, bytes);
    return new Uint32Array(bytes.buffer);
  };
  let next = read(0);
  for (let at = 0; at < qweight.bytes; at += step) {
    const piece = await next;
    if (at + step < qweight.bytes) next = read(at + step);
    next.catch(() => {}); // reported when its turn comes
    turn(piece, rows, words, at / eight, cols / 8);
  }
}

/** [groups, rows] to [rows, groups]. */
function transposed<T extends Float32Array | Uint16Array>(from: T, into: T, groups: number): T {
  const rows = from.length / groups;
  for (let g = 0; g < groups; g++) for (let r = 0; r < rows; r++) into[r * groups + g] = from[g * rows + r]!;
  return into;
}

/** Zero points [rows, groups]. */
function zerosOf(from: Int32Array, { rows, groups }: Found, { method, zeroShift }: WordsOptions): Uint8Array {
  const zeros = new Uint8Array(rows * groups);
  for (let g = 0; g < groups; g++)
    for (let r = 0; r < rows; r++) {
      const word = from[(g * rows + r) >>> 3]!;
      const nibble = method === "awq" ? AWQ_NIBBLES[r & 7]! : r & 7;
      zeros[r * groups + g] = ((word >>> (4 * nibble)) + zeroShift) & 15;
    }
  return zeros;
}

/** @throws WeightsError unless groups are runs of `size` inputs */
async function expectRuns(tensor: StoredTensor, size: number, groups: number): Promise<void> {
  const index = await groupsOf(tensor, groups);
  const wrong = index.findIndex((g, i) => g !== Math.floor(i / size));
  if (wrong === -1) return;
  throw new WeightsError(
    `${tensor.where}: group of input ${wrong}: expected ${Math.floor(wrong / size)}, since config.json says desc_act false, found ${index[wrong]}`,
  );
}

/** Old checkpoints have biases of zeros beside matrices of models without biases. */
async function refuseBias(tensor: StoredTensor): Promise<void> {
  // zeros of either sign, in any float
  const size = tensor.dtype === "F32" ? 4 : 2;
  const bytes = await bytesOf(tensor);
  if (bytes.some((byte, i) => (i % size === size - 1 ? byte & 127 : byte) !== 0))
    throw new WeightsError(
      `${tensor.where} is a bias that is not zero, and the model has none there; the configuration and the weights disagree`,
    );
}
