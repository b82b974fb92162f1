// The shared vocabulary: dtypes, tensors as opaque handles, and sources of weights.
//
// Letters used everywhere: T tokens in the batch, B sequences, D hidden size, H query heads, Hkv
// key/value heads, Dh head size, F expert intermediate size, E experts, K experts per token, V
// vocabulary, L layers, S positions cached.

import type { Format, GgmlType } from "./format.ts";

/** Supported element types of stored weights (safetensors names). */
export type StoredDtype = "F32" | "F16" | "BF16";

/** A value that lives on a backend for one step. */
export interface Tensor {
  readonly shape: readonly number[];
}

/** A weight vector [size] on a backend, always f32: a norm, a bias, sinks. */
export interface Vector {
  readonly size: number;
  readonly bytes: number;
}

/**
 * Whether a read goes past the page cache, if possible: best where the offsets in the file and in
 * memory are multiples of a page, else through a copy. "pages": the offsets are the same distance
 * from a page's begin, and the rest of the pages of memory that the read begins and ends in may be
 * overwritten, so that no copy is needed.
 */
export type Bypass = boolean | "pages";

/** The bytes of a stored tensor. */
export interface StoredBytes {
  readonly bytes: number;
  /**
   * Fills `into` from byte `offset`.
   * @throws WeightsError if the file cannot be read or is too short; the signal's reason
   */
  read(offset: number, into: Uint8Array, signal?: AbortSignal, bypass?: Bypass): Promise<void>;
}

/** A tensor as its file holds it. */
export interface StoredTensor extends StoredBytes {
  /** Its file and name, for messages. */
  readonly where: string;
  /** Its element type, as safetensors names them. */
  readonly dtype: string;
  readonly shape: readonly number[];
}

/** A stored packed matrix, panelLayout(format, rows, cols): bytes to copy unchanged. */
export interface StoredPanels extends StoredBytes {
  readonly format: Format;
}

/** A stored record, recordLayout(): bytes to copy unchanged. */
export interface StoredRecord extends StoredBytes {
  readonly up: Format;
  readonly down: Format;
}

/** A matrix [rows, cols] of a weights source, read in ranges of rows. */
export interface MatrixSource {
  /** Name in the file, for messages. */
  readonly name: string;
  readonly rows: number;
  readonly cols: number;
  /**
   * Reads rows `first .. first + count - 1` into `into` [count, cols] as f32.
   * @throws WeightsError on a short read, or naming the tensor and index of a NaN or infinite
   * weight.
   */
  readRows(first: number, count: number, into: Float32Array): Promise<void>;
  /** Says that its rows will soon be read. Present where a read takes a latency of its own. */
  soon?(): void;
  /** The element type of its file, where that is a checkpoint's; none of a sum or a product. */
  readonly dtype?: StoredDtype;
  /**
   * The format that the matrix is stored in, if kernels support it: loaded in that format, its
   * values are the file's.
   */
  readonly format?: Format;
  /**
   * Optional fast path: the same rows in planes of `format`, row-major, of exactly `count` rows.
   * Returns false if this format is not available; then use readRows and pack.
   */
  readPlanes?(format: Format, first: number, count: number, planes: readonly Uint8Array[]): Promise<boolean>;
  /** The type of the blocks that a GGUF file has of it: one of those of `format`. */
  readonly ggml?: GgmlType;
  /**
   * The same rows as the file holds them, row after row, rowBlocks() bytes each. With `ggml`.
   */
  readBlocks?(first: number, count: number, into: Uint8Array, signal?: AbortSignal, bypass?: Bypass): Promise<void>;
  /**
   * The byte of its file at which the blocks of row `first` begin, if the rows lie there in order;
   * else null. Only how a read is best aligned depends on it.
   */
  blocksAt?(first: number): number | null;
  /** The bytes of a matrix that is stored in panels. */
  readonly panels?: StoredPanels;
  /**
   * [cols]: where planes of `format`, and panels, have their columns in another order than
   * readRows() has: column i of them is column order[i].
   */
  readonly order?: Uint32Array;
  /**
   * Present where that is not known before something is read: the matrix with its format and order.
   * Until then its weights are read as f32.
   * @throws WeightsError
   */
  settle?(): Promise<MatrixSource>;
  /** [1, rows] or [rows, 1]: what is added to every product with the matrix, in f32. */
  readonly bias?: MatrixSource;
  /** [cols]: what a weight's error counts when the matrix is packed (Format.pack()). */
  readonly importance?: Float32Array;
}

/** The three matrices of one expert: y = w2 · (silu(w1 · x) * (w3 · x)). */
export interface ExpertSource {
  readonly w1: MatrixSource; // gate [F, D]
  readonly w3: MatrixSource; // up   [F, D]
  readonly w2: MatrixSource; // down [D, F]
  /** [2F, D], rows of w1 and w3 in turn, where they lie so: read in their place. */
  readonly w13?: MatrixSource;
  /** The bytes of an expert that is stored as a record. */
  readonly record?: StoredRecord;
}

/** The weights of a model: a folder of safetensors or a synthetic generator. */
export interface WeightSource {
  /** Its name in messages: the folder's path or the synthetic URL. */
  readonly label: string;
  has(name: string): boolean;
  names(): Iterable<string>;
  /** Of a source that makes its tensors: makes this one, unless it is there. */
  make?(name: string, shape: readonly number[]): void;
  /** Shape of a stored tensor. @throws WeightsError if it is missing. */
  shape(name: string): readonly number[];
  /**
   * A stored tensor as a matrix [rows, cols]. A tensor of more than two dimensions is read as
   * [product of all but the last, last]; `firstRow` and `rows` cut a range of those rows (one
   * expert of a fused tensor).
   * @throws WeightsError if it is missing or of a dtype that is not read.
   */
  matrix(name: string, firstRow?: number, rows?: number): MatrixSource;
  /**
   * The bytes of a tensor of dtype U8, if the source has such tensors.
   * @throws WeightsError for another dtype
   */
  bytes?(name: string): StoredBytes;
  /** Any tensor as it is stored, if the source has files. @throws WeightsError if it is missing */
  stored?(name: string): StoredTensor;
}
