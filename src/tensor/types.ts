// The vocabulary shared by every layer: dtypes, tensors as opaque handles, and sources that weights are read from.
//
// Letters used everywhere: T tokens in the batch, B sequences, D hidden size, H query heads, Hkv key/value heads,
// Dh head size, F expert intermediate size, E experts, K experts per token, V vocabulary, L layers, S positions cached.

/** Element types of stored weights that are read (safetensors names). */
export type StoredDtype = "F32" | "F16" | "BF16";

/** How matrices are held in memory. q8 and q4 are groups of 32 with one f16 scale (8.5 and 4.5 bits a weight). */
export type Precision = "f32" | "f16" | "q8" | "q4";
export const PRECISIONS: readonly Precision[] = ["f32", "f16", "q8", "q4"];

/** A value that lives on a backend for one step. Its storage is the backend's business. */
export interface Tensor {
  readonly shape: readonly number[];
}

/** The bytes of a stored tensor. */
export interface StoredBytes {
  readonly bytes: number;
  /**
   * Fills `into` from byte `offset`. @param bypass past the system's page cache, where that is possible
   * @throws WeightsError where the file cannot be read or ends too soon; the signal's reason
   */
  read(offset: number, into: Uint8Array, signal?: AbortSignal, bypass?: boolean): Promise<void>;
}

/** Weights that are stored as kernels take them (tensor/blocks.ts): bytes to be copied as they are. */
export interface StoredBlocks extends StoredBytes {
  readonly precision: Precision;
}

/** A matrix [rows, cols] of a weights source, read a range of rows at a time, so that nothing is held whole. */
export interface MatrixSource {
  /** Name in the file, for messages. */
  readonly name: string;
  readonly rows: number;
  readonly cols: number;
  /**
   * Reads rows `first .. first + count - 1` into `into` [count, cols] as f32.
   * @throws WeightsError on a short read, or naming the tensor and index of a NaN or infinite weight.
   */
  readRows(first: number, count: number, into: Float32Array): Promise<void>;
  /**
   * Optional fast path: the same rows already in packed form (tensor/pack.ts). `quants` is [count rows] of the quant
   * plane and `scales` of the scale plane. Returns false where this precision is not at hand; then use readRows.
   */
  readPacked?(
    precision: Precision,
    first: number,
    count: number,
    quants: Uint8Array,
    scales: Uint16Array,
  ): Promise<boolean>;
  /** Where the matrix is stored in blocks of eight rows: those bytes, blockLayout(precision, rows, cols). */
  readonly blocks?: StoredBlocks;
}

/** The three matrices of one expert: y = w2 · (silu(w1 · x) * (w3 · x)). */
export interface ExpertSource {
  readonly w1: MatrixSource; // gate [F, D]
  readonly w3: MatrixSource; // up   [F, D]
  readonly w2: MatrixSource; // down [D, F]
  /** Where the expert is stored as one record: those bytes, recordLayout(). */
  readonly record?: StoredBlocks;
}

/** Where a model's weights come from: a folder of safetensors or a synthetic generator. */
export interface WeightSource {
  /** What to call it in messages: the folder's path or the synthetic URL. */
  readonly label: string;
  has(name: string): boolean;
  names(): Iterable<string>;
  /** Shape of a stored tensor. @throws WeightsError if it is missing. */
  shape(name: string): readonly number[];
  /**
   * A stored tensor as a matrix [rows, cols]. A tensor of more than two dimensions is read as [product of all but the
   * last, last]; `firstRow` and `rows` cut a range of those rows (one expert of a fused tensor).
   * @throws WeightsError if it is missing or of a dtype that is not read.
   */
  matrix(name: string, firstRow?: number, rows?: number): MatrixSource;
  /** The bytes of a tensor of dtype U8, where tensors of bytes are at hand. @throws WeightsError if it is another */
  bytes?(name: string): StoredBytes;
}
