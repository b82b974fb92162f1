// The verbs of a forward pass. A backend is one implementation; nothing above it knows a buffer.
//
// Tensors are handles that live until the next begin(), or until the same verb has made two more of
// the same width: a forward pass needs no more, so a step's memory is bounded. Using one later is
// an error where it is detected. WebGPU only encodes until read(). Letters: see tensor/types.ts.

import type { Activation } from "../tensor/activation.ts";
import type { Format } from "../tensor/format.ts";
import type { ExpertShape } from "../tensor/record.ts";
import type { RouteRule } from "../tensor/route_rule.ts";
import type { ExpertSource, MatrixSource, Tensor, Vector } from "../tensor/types.ts";
import type { DeviceExperts, DeviceScheduler, HostExperts, HostStore } from "./experts.ts";
import type { KvGeometry, KvPrecision, KvStore } from "./kv_store.ts";
import type { RecurrentVerbs } from "./recurrent.ts";
import type { Rope } from "./rope.ts";

export type { Vector } from "../tensor/types.ts";
export type { KvGeometry, KvPrecision, KvStore, PaneStore } from "./kv_store.ts";

/** A weight matrix [rows, cols] on the backend; y = x · Wᵀ + b with its source's bias. */
export interface Matrix {
  readonly name: string;
  readonly rows: number;
  readonly cols: number;
  readonly format: Format;
  /** Of the matrix and its bias. */
  readonly bytes: number;
}

/** Matrices [rows, cols] of one format on the backend, one for each head. */
export interface HeadMatrices {
  readonly heads: number; // H
  readonly rows: number;
  readonly cols: number;
  readonly format: Format;
  readonly bytes: number;
}

/**
 * What a layer's experts do besides their matrices:
 * w2(f(w1 x + b1) * (w3 x + b3)) + b2, where f(gate) * up is as kernels/activate.ts has it.
 */
export interface ExpertRule {
  readonly activation: Activation;
  /** Where swiglu_oai cuts its inputs; not read by others. */
  readonly limit: number;
  /** up [E, 2F], b1 and b3 in turn; down [E, D]. Null: none. */
  readonly biases: { readonly up: Vector; readonly down: Vector } | null;
}

/** The E experts of one layer on the backend. */
export interface Experts {
  readonly count: number; // E
  readonly hidden: number; // D
  readonly intermediate: number; // F
  /** Formats of w1 and w3, and of w2. */
  readonly up: Format;
  readonly down: Format;
  readonly bytes: number;
  /** Absent: silu, and no biases. */
  readonly rule?: ExpertRule | undefined;
}

/** What every token takes of a layer, on the backend: a dense part, or shared experts. */
export interface Ffn {
  readonly hidden: number; // D
  readonly intermediate: number; // F
  /** Formats of w1 and w3, and of w2. */
  readonly up: Format;
  readonly down: Format;
  /** [1, D], f32: the result is multiplied by sigmoid(gate . x). Null: it is taken as it is. */
  readonly gate: Matrix | null;
  /** Of one expert. Absent: silu, and no biases. */
  readonly rule?: ExpertRule | undefined;
  /** Without those of the gate. */
  readonly bytes: number;
}

/** Orders [count, cols] in which matrices take their inputs: one, or one for each expert. */
export interface InputOrder {
  readonly count: number;
  readonly cols: number;
  readonly bytes: number;
}

/** How one layer chooses experts and weighs them. */
export interface Router {
  readonly gate: Matrix; // [E, D]
  readonly k: number; // K
  readonly rule: RouteRule;
  /** [E]: added to scores to choose experts by, not to their weights. */
  readonly bias: Vector | null;
}

/**
 * The experts of each token, in the order of choice: ids [T, K] (u32) and their weights [T, K]
 * (f32), which need not sum to 1.
 */
export interface Routes {
  readonly ids: Tensor;
  readonly weights: Tensor;
}

/**
 * RMS norms of q and k between projection and RoPE, each over runs as long as its weights: Dh for
 * each head, H Dh (Hkv Dh) for all heads together.
 */
export interface QkNorm {
  readonly q: Vector;
  readonly k: Vector;
  readonly eps: number;
}

/** How the queries and the key of multi-head latent attention (MLA) are made: see Ops.latent(). */
export interface Latent {
  /** H x [kv, dn]: the transpose of what makes the first dn numbers of a head's key of a latent. */
  readonly absorb: HeadMatrices;
  /** [kv]: RMS norm of the latent. */
  readonly norm: Vector;
  readonly eps: number;
}

/** The attention of one layer. */
export interface Attention {
  readonly heads: number; // H
  readonly kvHeads: number; // Hkv
  readonly headDim: number; // Dh
  /**
   * kv: values are the last `latent` numbers of keys, and are not stored again (MLA, whose one key
   * of dr + kv numbers serves all heads). Absent: values of their own, Dh each.
   */
  readonly latent?: number;
  /** The factor of scores before the softmax, usually 1 / sqrt(Dh). */
  readonly scale: number;
  /** Position i sees key j if 0 <= i - j < window; null: every earlier key. */
  readonly window: number | null;
  readonly rope: Rope;
  /** Null: q and k are not normed. */
  readonly qkNorm: QkNorm | null;
  /** q, k (normed) and v are cut at ±clip before RoPE. Absent: they are not. */
  readonly clip?: number;
  /**
   * [H]: an unscaled logit for each head that takes part in the softmax without a
   * value. Null: none.
   */
  readonly sinks: Vector | null;
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
  /** [B] the slot of each sequence's states; absent: the model has none. */
  readonly states?: Uint32Array;
  /** Each sequence's anchor (RopeLengths); absent: 0, each position turns by its own. */
  readonly anchors?: Uint32Array; // [B]
  /** Rows of the batch with logits, ascending. Empty for a prompt chunk that is not the last. */
  readonly outputs: Uint32Array; // [R]
  /** The chooser of each output row's next token; only for a step that ends with choose(). */
  readonly choosers?: readonly Chooser[]; // [R]
  /**
   * The rows follow each other in one sequence and have one chooser. Each is chosen as long as the
   * rows before it chose the tokens that follow them in the batch; the others are UNDECIDED.
   */
  readonly chain?: boolean;
  /** Aborts the step while a verb waits. Keys and values of the step may have been appended. */
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

/** Chooses the tokens of one generation on the backend, with their penalties. */
export interface Chooser {
  close(): void;
}

export interface Choosing {
  /** Null for settings that only the host supports. @throws MemoryError */
  create(settings: ChooserSettings): Chooser | null;
  /**
   * Ends the step: chooses a token for each output row from its logits [R, V], with the batch's
   * choosers. Resolves with the ids [R], some of which may be UNDECIDED. Everything is submitted
   * before this returns, so begin("next") may follow immediately.
   */
  choose(logits: Tensor): Promise<Uint32Array>;
}

/** The id of a row that its chooser cannot decide: the host must choose from the logits. */
export const UNDECIDED = 0xffffffff;

/**
 * A draw goes through this many of the most likely tokens in order of probability, then the others
 * in order of id (engine/draw.ts). So a backend that knows these and the total mass draws as the
 * host does.
 */
export const RANKED = 256;

/** Bytes that the backend holds now. */
export interface BackendMemory {
  /** Weights, tables of RoPE and the like. */
  readonly weights: number;
  /** Keys and values. */
  readonly kv: number;
  /** What steps compute in. */
  readonly scratch: number;
}

/** A description of the backend for users. */
export interface BackendInfo {
  /** Which backend it is. */
  readonly backend: "cpu" | "webgpu";
  /** Name of the processor or adapter, if known. */
  readonly device: string;
  /** Whether it is a software WebGPU adapter. */
  readonly software: boolean;
  /** Threads that compute. */
  readonly threads: number;
  /** Optional features in use, such as "shader-f16" or "subgroups". */
  readonly features: readonly string[];
  /** Kernel variants that this device does not compile, or computes wrongly, with the reason. */
  readonly leftOut?: readonly string[];
}

export interface Ops {
  readonly info: BackendInfo;
  /** Largest batch (T) that begin() takes. */
  readonly maxTokens: number;
  /**
   * Up to so many rows of a step have the same results, to the bit, beside each other as alone.
   * Absent: none.
   */
  readonly rowsAgree?: number;
  /**
   * Tokens of a prompt, at most maxTokens, that a step should take from `position` on: others wait
   * for it, and some systems reset a device that is busy for seconds. It follows from what earlier
   * steps have taken. Absent: maxTokens, fewer beside other sessions.
   */
  chunk?(position: number): number;

  // ---- loading: every matrix is read in bounded pieces and packed on the way --------------------
  /** @throws WeightsError from the source, MemoryError or DeviceError if it does not fit. */
  loadMatrix(source: MatrixSource, format: Format): Promise<Matrix>;
  /** The matrices of all heads, which have one shape. */
  loadHeads(sources: readonly MatrixSource[], format: Format): Promise<HeadMatrices>;
  /** A [1, n] or [n, 1] source as f32 [n]. */
  loadVector(source: MatrixSource): Promise<Vector>;
  /** Lists [count, cols]: input i of a matrix is column list[i] of the rows that it is given. */
  loadOrder(lists: Uint32Array<ArrayBuffer>, cols: number): Promise<InputOrder>;
  /**
   * All experts of one layer, in order. Rows of w1 and w3 alternate, so that gate and up
   * are one pass.
   */
  loadExperts(sources: readonly ExpertSource[], up: Format, down: Format, rule?: ExpertRule): Promise<Experts>;
  /** A feed-forward layer; `gate` was loaded by loadMatrix(). Rows of w1 and w3 alternate. */
  loadFfn(source: ExpertSource, gate: Matrix | null, up: Format, down: Format, rule?: ExpertRule): Promise<Ffn>;
  /**
   * Offloading in host memory: `slots` slots for experts, and a layer's experts that `store`
   * provides in these slots. Absent on a backend that cannot offload.
   * @throws MemoryError
   */
  expertSlots?(shape: ExpertShape, slots: number): Promise<HostExperts>;
  offloadedExperts?(layer: number, slots: HostExperts, store: HostStore, rule?: ExpertRule): Experts;
  /**
   * Offloading in device memory: empty slots, `slots` for each of `layers` layers and `transit`
   * shared ones, at least one of each; and a layer's experts in them. moe() asks the scheduler for
   * misses, and so waits within a step.
   * @throws MemoryError, DeviceError: nothing is allocated then
   */
  deviceExperts?(shape: ExpertShape, layers: number, slots: number, transit: number): Promise<DeviceExperts>;
  slottedExperts?(layer: number, device: DeviceExperts, scheduler: DeviceScheduler, rule?: ExpertRule): Experts;
  /** An empty KvStore. @param positions of the longest sequence, if known */
  createKv(geometry: KvGeometry, precision: KvPrecision, blockSize: number, positions?: number): KvStore;

  // ---- a step: begin, verbs, read ---------------------------------------------------------------
  /**
   * Starts a step over `batch`; ends the life of the previous step's tensors. T must be in
   * 1..maxTokens. "next" is the previous batch with each sequence advanced by the token of
   * `choosing.choose()`. That batch must have been one token of each sequence, all outputs, and its
   * block tables must have room. Its ids need not have arrived: the backend keeps tokens and
   * positions on the device.
   * @throws RequestError for "next" without such a batch, and always without `choosing`
   */
  begin(batch: Batch | "next"): void;
  /** Rows of the embedding table for the batch's tokens: [T, D]. */
  embed(table: Matrix): Tensor;
  /**
   * x / sqrt(mean(x²) + eps) * w, by row, in f32: [T, D]. May be fused into its readers: it lives
   * as long as x.
   */
  rmsNorm(x: Tensor, w: Vector, eps: number): Tensor;
  /** (x - mean(x)) / sqrt(mean((x - mean(x))²) + eps) * w + bias, by row, in f32: [T, D]. */
  layerNorm(x: Tensor, w: Vector, bias: Vector, eps: number): Tensor;
  /**
   * Projection, biases added, q and k with the layer's qkNorm, clip and RoPE: [T, (H + 2 Hkv) Dh]
   * as q | k | v. The rows of `parts` one below the other are those of q, k and v; a part holds
   * whole heads.
   */
  qkv(x: Tensor, parts: readonly Matrix[], attention: Attention): Tensor;
  /**
   * MLA in its absorbed form: the queries of all heads against the latent itself, then the one key,
   * [T, (H + 1) (dr + kv)] in place of qkv()'s q | k | v. A head's query is the last dr numbers of
   * its part of q [T, H (dn + dr)], with RoPE, and absorb_h times the first dn. The key is the last
   * dr numbers of c [T, kv + dr], with RoPE, and the first kv, normed.
   */
  latent(q: Tensor, c: Tensor, latent: Latent, attention: Attention): Tensor;
  /** Each head's own product: x [T, H cols], w_h x_h -> [T, H rows]. */
  heads(x: Tensor, w: HeadMatrices): Tensor;
  /** Writes k and v of every token to its sequence's block. */
  append(kv: KvStore, layer: number, qkv: Tensor, attention: Attention): void;
  /**
   * softmax(scale q kᵀ) v over the sequence's cached positions up to the token's own: [T, H Dh], or
   * [T, H kv] where values are a part of keys. If only output rows are wanted, a backend may return
   * those alone: [R, ...].
   */
  attention(kv: KvStore, layer: number, qkv: Tensor, attention: Attention, wanted?: "outputs"): Tensor;
  /** The columns of x as a matrix takes them: [T, D]. */
  reorder(x: Tensor, order: InputOrder): Tensor;
  /** x · wᵀ + w's bias: [T, rows of w]. */
  matmul(x: Tensor, w: Matrix): Tensor;
  /** x + y, in x's storage: x and norms of x must not be used again. */
  add(x: Tensor, y: Tensor): Tensor;
  /**
   * The experts that the layer's router chooses, in f32; equal logits (with a bias: equal sums):
   * the lowest expert first.
   * @param beside what ffn() computes of the same rows afterwards, if anything: a backend may
   * compute its gate along
   */
  route(x: Tensor, router: Router, beside?: Ffn | null): Routes;
  /**
   * Σₖ weightₖ · w2(silu(w1 x) * (w3 x)) over each token's experts, or what their rule says:
   * [T, D].
   * @param order of the inputs of each expert's w1 and w3, if they are not x as it is
   */
  moe(x: Tensor, routes: Routes, experts: Experts, order?: InputOrder | null): Promise<Tensor>;
  /**
   * w2(silu(w1 x) * (w3 x)), or what its rule says, times sigmoid(gate . x) where there is a gate:
   * [T, D].
   */
  ffn(x: Tensor, w: Ffn): Tensor;
  /** The batch's output rows of x: [R, D]. Every later verb of the step works on R rows. */
  rows(x: Tensor): Tensor;
  /**
   * Finishes the step so far and copies a tensor to the host; u32 ids become numbers. An empty
   * tensor also waits for the step. The step may continue after it.
   * @throws DeviceError if the device was lost or rejected a command.
   */
  read(x: Tensor): Promise<Float32Array>;
  /** The verbs of layers with states; absent: this backend cannot run such models. */
  readonly recurrent?: RecurrentVerbs;
  /** Chooses tokens on the backend; present if reading logits back is expensive. */
  readonly choosing?: Choosing;

  memory(): BackendMemory;
  /** Frees everything; later calls throw RequestError. Can be called twice. */
  close(): void;
}

/** Sees what matrices are multiplied with, to weight the errors of quantizing them. */
export interface Observer {
  /** Rows [n, cols] that a matrix is multiplied with. */
  input(matrix: string, cols: number, x: Float32Array): void;
  /**
   * Rows of an expert of the nth layer of experts in a step: its inputs [n, D], those of w2 [n, F],
   * and the router's weights [n]. Views are valid during the call.
   */
  expert(layer: number, expert: number, x: Float32Array, hidden: Float32Array, shares: Float32Array): void;
}
