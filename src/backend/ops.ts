// The verbs that a forward pass is written in. A backend is one implementation; nothing above it
// knows a buffer.
//
// Tensors are handles that live until the next begin(), or until the verb that made one has made
// two more of the same width: a forward pass needs no more, and what a step holds stays bounded.
// Using one later is an error where it is seen. WebGPU only records until read(); the CPU computes
// at once. Letters: see tensor/types.ts.

import type { Format } from "../tensor/format.ts";
import type { ExpertShape } from "../tensor/record.ts";
import type { ExpertSource, MatrixSource, Tensor } from "../tensor/types.ts";
import type { DeviceExperts, DeviceScheduler, HostExperts, HostStore } from "./experts.ts";

/** A weight matrix [rows, cols] on the backend; y = x · Wᵀ. */
export interface Matrix {
  readonly name: string;
  readonly rows: number;
  readonly cols: number;
  readonly format: Format;
  readonly bytes: number;
}

/** A weight vector [size] on the backend, always f32 (norms). */
export interface Vector {
  readonly size: number;
  readonly bytes: number;
}

/** The E experts of one layer on the backend. */
export interface Experts {
  readonly count: number; // E
  readonly hidden: number; // D
  readonly intermediate: number; // F
  /** Of w1 and w3, and of w2. */
  readonly up: Format;
  readonly down: Format;
  readonly bytes: number;
}

/** How one layer chooses experts: the k likeliest by softmax over all of the gate's logits. */
export interface Router {
  readonly gate: Matrix; // [E, D]
  readonly k: number; // K
  /** Whether the chosen probabilities are divided by their sum. */
  readonly normalize: boolean;
}

/**
 * Which experts each token goes to, likeliest first: ids [T, K] (u32) and their weights [T, K]
 * (f32).
 */
export interface Routes {
  readonly ids: Tensor;
  readonly weights: Tensor;
}

/**
 * Rotary position embedding: of the first rd dimensions of a head the pair (i, i + rd/2) turns by
 * position * inverse[i]; cos and sin are multiplied by `factor`. Dimensions from rd on stay as they
 * are. Layers that turn alike share one object: backends keep a table for each.
 */
export interface Rope {
  readonly inverse: Float64Array; // [rd/2]
  readonly factor: number;
}

/**
 * RMS norms of q and k between projection and RoPE, each over runs of as many values as it has
 * weights: Dh for every head by itself, H Dh (Hkv Dh) for all of them together.
 */
export interface QkNorm {
  readonly q: Vector;
  readonly k: Vector;
  readonly eps: number;
}

/** How one layer attends. */
export interface Attention {
  readonly heads: number; // H
  readonly kvHeads: number; // Hkv
  readonly headDim: number; // Dh
  /** What scores are multiplied by before the softmax: 1 / sqrt(Dh) as a rule. */
  readonly scale: number;
  /** Key j is seen from position i iff 0 <= i - j < window; null sees every earlier key. */
  readonly window: number | null;
  readonly rope: Rope;
  /** Null: q and k are turned as they are projected. */
  readonly qkNorm: QkNorm | null;
  /**
   * [H]: a logit a head that takes part in the softmax and has no value. It is not scaled. Null:
   * none.
   */
  readonly sinks: Vector | null;
}

/** What the cache keeps of a position: keys and values [Hkv, Dh] of each layer. */
export interface KvGeometry {
  readonly layers: number; // L
  readonly kvHeads: number; // Hkv
  readonly headDim: number; // Dh
}

/**
 * Storage of keys and values in blocks of `blockSize` positions: [block, position in block, Hkv,
 * Dh] for each layer.
 */
export interface KvStore {
  readonly blockSize: number;
  readonly precision: "f32" | "f16";
  /** Blocks that exist now. */
  readonly blocks: number;
  /** Blocks that can exist whatever the memory; absent: only memory bounds them. */
  readonly maxBlocks?: number;
  /** Bytes of one block over all layers, K and V. */
  readonly blockBytes: number;
  /**
   * Makes sure that block ids below `blocks` exist; keeps what the present ones hold. Only between
   * steps.
   * @throws MemoryError if the backend cannot allocate them.
   */
  reserve(blocks: number): Promise<void>;
  /**
   * A block's contents, the same on every backend: for each layer its keys, then its values,
   * [blockSize, Hkv, Dh] each, as f32 or f16, little-endian. Only between steps, as all that
   * follows. @throws RequestError for a block that does not exist
   */
  readBlock(id: number): Promise<Uint8Array>;
  /**
   * Gives a block the contents that readBlock() gave.
   * @throws RequestError for a block that does not exist, or another size
   */
  writeBlock(id: number, bytes: Uint8Array): Promise<void>;
  close(): void;
}

/**
 * One step's tokens: a flat list over any number of sequences. A prompt chunk, one decoded token
 * and twenty sessions decoding together are the same call. Example, a 3-token chunk of sequence 0
 * beside one decoded token of sequence 1:
 *   tokens    [9, 4, 7, 2]    positions [5, 6, 7, 31]    sequence [0, 0, 0, 1]    outputs [2, 3]
 *   tables    [[0], [3, 1]]   (blocks of 16: sequence 1 keeps positions 0-15 in block 3 and 16-31 in block 1)
 */
export interface Batch {
  readonly tokens: Uint32Array; // [T]
  readonly positions: Uint32Array; // [T]
  readonly sequence: Uint32Array; // [T], index into tables
  readonly tables: readonly Uint32Array[]; // [B] block ids of each sequence, in order of position
  /**
   * Rows of the batch whose logits are wanted, ascending. May be empty (a prompt chunk that is not
   * the last).
   */
  readonly outputs: Uint32Array; // [R]
  /** Who chooses the token after each output row; only for a step that ends in choose(). */
  readonly choosers?: readonly Chooser[]; // [R]
  /**
   * Ends the step early, with its reason, where a verb waits for something; keys and values of it
   * may have been appended.
   */
  readonly signal?: AbortSignal;
}

/**
 * How the tokens of one generation are chosen from their logits: engine/api.ts says what each
 * setting means.
 */
export interface ChooserSettings {
  readonly vocab: number; // V
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repeatPenalty: number;
  readonly frequencyPenalty: number;
  readonly presencePenalty: number;
  readonly logitBias: ReadonlyMap<number, number>;
  /** Tokens that count as seen for the repetition penalty. */
  readonly seen: Iterable<number>;
  /** Tokens already generated, and how often, for the other two penalties. */
  readonly counts: ReadonlyMap<number, number>;
  /**
   * State of the generator of random numbers, four words (engine/random.ts); not used at
   * temperature 0.
   */
  readonly random: Uint32Array;
}

/** Chooses the tokens of one generation on the backend, and remembers them for the penalties. */
export interface Chooser {
  close(): void;
}

export interface Choosing {
  /** Null for settings that only the host honours. @throws MemoryError */
  create(settings: ChooserSettings): Chooser | null;
  /**
   * Ends the step: chooses a token for each output row of the batch from its logits [R, V], with
   * the batch's choosers, and reads the ids [R], UNDECIDED among them. Everything is submitted
   * before this returns: begin("next") may follow at once.
   */
  choose(logits: Tensor): Promise<Uint32Array>;
}

/**
 * What choose() gives for a row that its chooser cannot decide: the host has to, from the logits.
 */
export const UNDECIDED = 0xffffffff;

/**
 * A draw takes so many of the most likely tokens in order of probability, then the others in order
 * of id (engine/draw.ts): a backend that knows these, and the mass of all, can draw as the host
 * does.
 */
export const RANKED = 256;

/** Bytes held on the backend now. */
export interface BackendMemory {
  readonly weights: number;
  readonly kv: number;
  readonly scratch: number;
}

/** What a person is told about a backend. */
export interface BackendInfo {
  readonly backend: "cpu" | "webgpu";
  /** Processor or adapter name, as far as the platform tells. */
  readonly device: string;
  /** A WebGPU adapter that is computed on the CPU. */
  readonly software: boolean;
  readonly threads: number;
  /** Optional features in use, as "shader-f16" or "subgroups". */
  readonly features: readonly string[];
  /**
   * Forms of kernels that this device does not compile, or computes wrongly, and so are not used:
   * each with the reason.
   */
  readonly leftOut?: readonly string[];
}

export interface Ops {
  readonly info: BackendInfo;
  /** Largest batch (T) that begin() takes. */
  readonly maxTokens: number;

  // ---- loading: every matrix is read in bounded pieces and packed on the way
  // -----------------------------------
  /**
   * Where the source says what format it is stored in, that is the one to ask for.
   * @throws WeightsError from the source, MemoryError or DeviceError if it cannot be held.
   */
  loadMatrix(source: MatrixSource, format: Format): Promise<Matrix>;
  /** A [1, n] or [n, 1] source as f32 [n]. */
  loadVector(source: MatrixSource): Promise<Vector>;
  /**
   * All experts of one layer, in order; w1 and w3 rows interleaved so that gate and up are one
   * pass.
   */
  loadExperts(sources: readonly ExpertSource[], up: Format, down: Format): Promise<Experts>;
  /**
   * Where experts can come and go: slots for `slots` of them in host memory, and a layer's experts
   * that are found in these slots by way of `store`. Absent on a backend that only computes with
   * what it has loaded.
   * @throws MemoryError
   */
  expertSlots?(shape: ExpertShape, slots: number): Promise<HostExperts>;
  storedExperts?(layer: number, slots: HostExperts, store: HostStore): Experts;
  /**
   * The same in device memory: empty slots, `slots` for each of `layers` layers and `transit` that
   * all share, at least one of each; and a layer's experts as far as they are in them. moe() asks
   * the scheduler for the rest, and so waits within a step.
   * @throws MemoryError, DeviceError: then none are kept
   */
  deviceExperts?(shape: ExpertShape, layers: number, slots: number, transit: number): Promise<DeviceExperts>;
  slottedExperts?(layer: number, device: DeviceExperts, scheduler: DeviceScheduler): Experts;
  /** An empty KvStore. `positions`: of the longest sequence to come, where that is known. */
  createKv(geometry: KvGeometry, precision: "f32" | "f16", blockSize: number, positions?: number): KvStore;

  // ---- a step: begin, verbs, read
  // ------------------------------------------------------------------------------
  /**
   * Starts a step over `batch`; ends the life of the previous step's tensors. T must be in
   * 1..maxTokens. "next" is the batch before with every sequence one token on: the one that
   * `choosing.choose()` gave. That batch must have been one token of each of its sequences, all of
   * them outputs, and its block tables must have room. Its ids need not have arrived: a backend
   * that chooses keeps token and position where it computes.
   * @throws RequestError for "next" where there is no such batch, and always without `choosing`
   */
  begin(batch: Batch | "next"): void;
  /** Rows of the embedding table for the batch's tokens: [T, D]. */
  embed(table: Matrix): Tensor;
  /**
   * x / sqrt(mean(x²) + eps) * w, by row, in f32: [T, D]. May be computed where it is used: it
   * lives as long as x.
   */
  rmsNorm(x: Tensor, w: Vector, eps: number): Tensor;
  /**
   * Fused projection, q and k normed by the layer's qkNorm and turned by the layer's RoPE: [T, (H +
   * 2 Hkv) Dh] as q | k | v.
   */
  qkv(x: Tensor, w: Matrix, attention: Attention): Tensor;
  /** Writes k and v of every token to its sequence's block. */
  append(kv: KvStore, layer: number, qkv: Tensor, attention: Attention): void;
  /**
   * softmax(scale q kᵀ) v over the sequence's cached positions up to the token's own: [T, H Dh].
   */
  attention(kv: KvStore, layer: number, qkv: Tensor, attention: Attention): Tensor;
  /** x · wᵀ: [T, rows of w]. */
  matmul(x: Tensor, w: Matrix): Tensor;
  /** x + y, in x's storage: x and norms of x must not be used again. */
  add(x: Tensor, y: Tensor): Tensor;
  /**
   * The experts that the layer's router chooses, by a softmax in f32; equal logits: the lowest
   * expert first.
   */
  route(x: Tensor, router: Router): Routes;
  /** Σₖ weightₖ · w2(silu(w1 x) * (w3 x)) over each token's experts: [T, D]. */
  moe(x: Tensor, routes: Routes, experts: Experts): Promise<Tensor>;
  /** The batch's output rows of x: [R, D]. Every later verb of the step works on R rows. */
  rows(x: Tensor): Tensor;
  /**
   * Finishes the step so far and copies a tensor to the host; f32 tensors come as they are, u32 ids
   * as numbers. An empty tensor waits for the step all the same. The step may go on after it.
   * @throws DeviceError if the device was lost or refused a command.
   */
  read(x: Tensor): Promise<Float32Array>;
  /** Choosing tokens on the backend: only where reading logits back is dear. */
  readonly choosing?: Choosing;

  memory(): BackendMemory;
  /** Frees everything; later calls throw RequestError. Safe to call twice. */
  close(): void;
}
