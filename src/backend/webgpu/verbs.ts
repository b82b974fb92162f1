// The verbs of a forward pass on WebGPU: each records dispatches; read() submits them as one pass.

import { RequestError } from "../../errors.ts";
import type { ExpertSource, MatrixSource, Precision, Tensor } from "../../tensor/types.ts";
import type {
  AttentionShape,
  BackendInfo,
  BackendMemory,
  Batch,
  Experts,
  KvStore,
  Matrix,
  Ops,
  Routes,
  Vector,
} from "../ops.ts";
import { StepBatch } from "./batch.ts";
import type { Buffer, Counters, Device } from "./device.ts";
import { GpuKv } from "./kv.ts";
import { type Call, Recorder } from "./recorder.ts";
import { type GpuTensor, padded, Scratch } from "./scratch.ts";
import type { KernelName } from "./table.ts";
import { type GpuExperts, type GpuMatrix, type GpuVector, type PackedWeights, WeightLoader } from "./weights.ts";

/** Ops on WebGPU, with what tests and measurements need beyond the interface. */
export interface WebGpuOps extends Ops {
  readonly device: GPUDevice;
  counters(): Readonly<Counters>;
}

/** Up to so many rows, or rows an expert, a product row by row beats a tile that is mostly empty. */
const FEW_ROWS = 8;
/** Queries that one workgroup of attention.wgsl holds. */
const QUERIES = 8;

export interface VerbsOptions {
  /** Largest batch (T) of a step. */
  readonly maxTokens: number;
  /** Bind at most this many bytes of weights at once. Default: what the device allows. */
  readonly maxWeightBytes?: number;
  /** Called once, when close() has ended all that ran. */
  readonly onClose?: () => void;
}

/** Implements the verbs over an open device. */
export class Verbs implements WebGpuOps {
  readonly info: BackendInfo;
  readonly maxTokens: number;
  readonly #device: Device;
  readonly #recorder: Recorder;
  readonly #loader: WeightLoader;
  readonly #step: StepBatch;
  readonly #scratch: Scratch;
  /** Calls of a verb on given weights and tensors, so that a step makes no bind group and hardly a string. */
  readonly #plans = new Map<string, readonly Call[]>();
  readonly #onClose: (() => void) | undefined;
  #closed = false;

  constructor(device: Device, info: BackendInfo, options: VerbsOptions) {
    this.info = info;
    this.maxTokens = options.maxTokens;
    this.#device = device;
    this.#recorder = new Recorder(device, info.features.includes("subgroups"));
    this.#loader = new WeightLoader(device, options.maxWeightBytes ?? device.maxBinding);
    this.#step = new StepBatch(device, this.#recorder, options.maxTokens);
    this.#scratch = new Scratch(device, options.maxTokens, (buffer) => this.#forget(buffer));
    this.#onClose = options.onClose;
  }

  get device(): GPUDevice {
    return this.#device.gpu;
  }

  counters(): Readonly<Counters> {
    return { ...this.#device.counters };
  }

  // ---- loading -------------------------------------------------------------------------------------------------

  async loadMatrix(source: MatrixSource, precision: Precision): Promise<Matrix> {
    this.#device.check();
    return this.#loader.matrix(source, precision);
  }

  async loadVector(source: MatrixSource): Promise<Vector> {
    this.#device.check();
    return this.#loader.vector(source);
  }

  async loadExperts(sources: readonly ExpertSource[], precision: Precision): Promise<Experts> {
    this.#device.check();
    return this.#loader.experts(sources, precision);
  }

  createKv(layers: number, shape: AttentionShape, precision: "f32" | "f16", blockSize: number, positions = 0): KvStore {
    this.#device.check();
    this.#step.angles(shape, positions);
    return new GpuKv(this.#device, layers, shape, precision, blockSize, (buffer) => this.#forget(buffer));
  }

  // ---- a step --------------------------------------------------------------------------------------------------

  begin(batch: Batch | "next"): void {
    if (batch === "next") throw new RequestError("this backend chooses no tokens: give it a batch");
    this.#device.check();
    this.#recorder.reset();
    this.#scratch.begin();
    if (this.#step.begin(batch)) this.#plans.clear();
  }

  embed(table: Matrix): Tensor {
    const w = table as GpuMatrix;
    const { tokens } = this.#batch();
    const stray = tokens.find((id) => id >= w.rows);
    if (stray !== undefined)
      throw new RequestError(`token id ${stray} is outside the vocabulary of ${w.rows} (${w.name})`);
    const y = this.#scratch.tensor("embed", tokens.length, w.cols, "tokens");
    this.#run(`embed ${w.id} ${y.buffer.id}`, tokens.length, () =>
      w.parts.map((part) =>
        this.#recorder.call("embed", {
          variant: { weights: w.precision },
          buffers: { ...part.buffers, count: this.#step.counts.tokens, step: this.#step.words, y: y.buffer },
          part,
        }),
      ),
    );
    return y;
  }

  rmsNorm(x: Tensor, w: Vector, eps: number): Tensor {
    const from = this.#scratch.own(x);
    const weight = (w as GpuVector).buffer;
    const [n, D] = from.shape;
    if (w.size !== D) throw new RequestError(`rmsNorm: weights of ${w.size} for rows of ${D}`);
    const y = this.#scratch.tensor("rmsNorm", n, D, from.rows);
    const vectors = from.stride / 4;
    this.#run(`rms_norm ${weight.id} ${from.buffer.id} ${y.buffer.id} ${eps}`, n, () => [
      this.#recorder.call("rms_norm", {
        params: { D, vectors, eps },
        overrides: { THREADS: vectors > 256 ? 256 : 64 },
        buffers: { count: this.#step.counts[from.rows], x: from.buffer, w: weight, y: y.buffer },
      }),
    ]);
    return y;
  }

  qkv(x: Tensor, w: Matrix, shape: AttentionShape): Tensor {
    const { heads, kvHeads, headDim } = shape;
    if (w.rows !== (heads + 2 * kvHeads) * headDim || headDim % 2 !== 0)
      throw new RequestError(`${w.name}: ${w.rows} rows for ${heads} + 2 x ${kvHeads} heads of ${headDim} (even)`);
    const from = this.#tokenRows(x);
    const n = from.shape[0];
    const y = this.#scratch.tensor("qkv", n, w.rows, "tokens");
    this.#product(from, w as GpuMatrix, y.buffer, y.stride);
    const angles = this.#step.angles(shape);
    this.#run(`rope ${y.buffer.id} ${angles.id} ${heads + kvHeads}`, n, () => [
      this.#recorder.call("rope", {
        params: { turned: heads + kvHeads, pairs: headDim / 2, stride: y.stride },
        buffers: { count: this.#step.counts.tokens, step: this.#step.words, angles, qkv: y.buffer },
      }),
    ]);
    return y;
  }

  append(kv: KvStore, layer: number, qkv: Tensor, shape: AttentionShape): void {
    const from = this.#tokenRows(qkv);
    const { keys, values } = (kv as GpuKv).layer(layer, this.#batch());
    const { counts, words } = this.#step;
    this.#run(`append ${keys.id} ${from.buffer.id}`, from.shape[0], () => [
      this.#recorder.call("append", {
        variant: { kv: kv.precision },
        params: { ...cacheShape(kv, shape), stride: from.stride },
        buffers: { count: counts.tokens, step: words, qkv: from.buffer, keys, values },
      }),
    ]);
  }

  attention(kv: KvStore, layer: number, qkv: Tensor, shape: AttentionShape): Tensor {
    const from = this.#tokenRows(qkv);
    const n = from.shape[0];
    const { heads, headDim, slidingWindow } = shape;
    const { keys, values } = (kv as GpuKv).layer(layer, this.#batch());
    const { words } = this.#step;
    const runs = this.#step.runs(Math.max(1, Math.floor(QUERIES / (heads / shape.kvHeads))));
    const y = this.#scratch.tensor("attention", n, heads * headDim, "tokens");
    this.#run(`attention ${keys.id} ${from.buffer.id} ${y.buffer.id}`, runs.count, () => [
      this.#recorder.call("attention", {
        variant: { kv: kv.precision },
        params: {
          ...cacheShape(kv, shape),
          window: slidingWindow ?? 0,
          scale: 1 / Math.sqrt(headDim),
          stride: from.stride,
          y_stride: y.stride,
        },
        overrides: { THREADS: Math.max(32, 2 ** Math.ceil(Math.log2(headDim / 2))) },
        buffers: { runs: runs.buffer, step: words, qkv: from.buffer, keys, values, y: y.buffer },
      }),
    ]);
    return y;
  }

  matmul(x: Tensor, w: Matrix): Tensor {
    const from = this.#scratch.own(x);
    const y = this.#scratch.tensor("matmul", from.shape[0], w.rows, from.rows);
    this.#product(from, w as GpuMatrix, y.buffer, y.stride);
    return y;
  }

  add(x: Tensor, y: Tensor): Tensor {
    const to = this.#scratch.own(x);
    const from = this.#scratch.own(y);
    if (to.shape[0] !== from.shape[0] || to.shape[1] !== from.shape[1] || to === from)
      throw new RequestError(`add: needs two tensors of one shape, found [${x.shape}] and [${y.shape}]`);
    this.#run(`add ${to.buffer.id} ${from.buffer.id}`, to.shape[0], () => [
      this.#recorder.call("add", {
        params: { vectors: to.stride / 4 },
        buffers: { count: this.#step.counts[to.rows], x: to.buffer, y: from.buffer },
      }),
    ]);
    return this.#scratch.reuse(to);
  }

  route(x: Tensor, gate: Matrix, k: number): Routes {
    const from = this.#scratch.own(x);
    const [n] = from.shape;
    const E = gate.rows;
    if (!(k >= 1 && k <= E)) throw new RequestError(`route: ${k} experts a token of ${E}`);
    const stride = padded(E);
    const logits = this.#scratch.storage("gate logits", n, stride, from.rows);
    this.#product(from, gate as GpuMatrix, logits, stride);
    const ids = this.#scratch.list("ids", n, k, from.rows, "u32");
    const weights = this.#scratch.list("weights", n, k, from.rows, "f32");
    this.#run(`route ${logits.id} ${ids.buffer.id} ${weights.buffer.id} ${E}`, n, () => [
      this.#recorder.call("route", {
        params: { E, K: k, stride },
        buffers: { count: this.#step.counts[from.rows], logits, ids: ids.buffer, weights: weights.buffer },
      }),
    ]);
    return { ids, weights };
  }

  async moe(x: Tensor, routes: Routes, experts: Experts): Promise<Tensor> {
    const from = this.#scratch.own(x);
    const ids = this.#scratch.own(routes.ids);
    const weights = this.#scratch.own(routes.weights);
    const { count: E, hidden: D, intermediate: F, precision, up, down } = experts as GpuExperts;
    const [n, width] = from.shape;
    const K = ids.shape[1];
    if (width !== D || ids.shape[0] !== n)
      throw new RequestError(`moe: rows [${from.shape}] and routes [${ids.shape}] for experts of hidden size ${D}`);
    const { rows } = from;
    const act = this.#scratch.storage("expert activations", n, padded(F), rows, K);
    const out = this.#scratch.storage("expert outputs", n, padded(D), rows, K);
    const sorted = this.#scratch.storage("sorted slots", n, 1, rows, K);
    const starts = this.#scratch.storage("expert starts", 1, E + 1, "outputs");
    const y = this.#scratch.tensor("moe", n, D, rows);
    const count = this.#step.counts[rows];
    const key = `${up.id} ${from.buffer.id} ${ids.buffer.id} ${y.buffer.id}`;
    const few = n * K <= FEW_ROWS * E;

    const bound = { x: from.buffer, ids: ids.buffer, starts, sorted, y: act };
    const ups = this.#forms(`up ${key}`, "expert_up", up, precision, { E, K, y_stride: padded(F) }, bound);
    const again = { x: act, ids: ids.buffer, starts, sorted, y: out };
    const downs = this.#forms(`down ${key}`, "expert_down", down, precision, { E, y_stride: padded(D) }, again);
    const group = this.#plan(`group ${key}`, () => [
      this.#recorder.call("group", { params: { E, K }, buffers: { count, ids: ids.buffer, starts, sorted } }),
    ]);
    if (!few) this.#dispatch(group, n);
    this.#dispatch(few ? ups.few : ups.many, n);
    this.#dispatch(few ? downs.few : downs.many, n * K);
    this.#run(`combine ${key} ${weights.buffer.id}`, n, () => [
      this.#recorder.call("combine", {
        params: { K, vectors: y.stride / 4 },
        buffers: { count, x: out, weights: weights.buffer, y: y.buffer },
      }),
    ]);
    return y;
  }

  rows(x: Tensor): Tensor {
    const from = this.#tokenRows(x);
    const n = this.#batch().outputs.length;
    const y = this.#scratch.tensor("rows", n, from.shape[1], "outputs");
    const { counts, outputs } = this.#step;
    this.#run(`rows ${from.buffer.id} ${y.buffer.id}`, n, () => [
      this.#recorder.call("rows", {
        params: { vectors: y.stride / 4 },
        buffers: { count: counts.outputs, x: from.buffer, outputs, y: y.buffer },
      }),
    ]);
    return y;
  }

  async read(x: Tensor): Promise<Float32Array> {
    const { buffer, shape, stride, type } = this.#scratch.own(x);
    return this.#recorder.read({ buffer, rows: shape[0], width: shape[1], stride, type });
  }

  memory(): BackendMemory {
    return this.#device.memory;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#plans.clear();
    void this.#device.close().then(this.#onClose);
  }

  // ---- inside --------------------------------------------------------------------------------------------------

  /** y [n, rows of w] = x · wᵀ, a dispatch a part. */
  #product(x: GpuTensor, w: GpuMatrix, y: Buffer, stride: number): void {
    const [n, cols] = x.shape;
    if (cols !== w.cols) throw new RequestError(`${w.name}: a matrix [${w.rows}, ${w.cols}] for rows of ${cols}`);
    const buffers = { count: this.#step.counts[x.rows], x: x.buffer, y };
    const forms = this.#forms(
      `${w.id} ${x.buffer.id} ${y.id}`,
      "matmul",
      w,
      w.precision,
      { y_stride: stride },
      buffers,
    );
    this.#dispatch(n <= FEW_ROWS ? forms.few : forms.many, n);
  }

  /** Both forms of a product over all parts, bound at its first use: a warm-up with one token serves prompts too. */
  #forms(
    key: string,
    kernel: "matmul" | "expert_up" | "expert_down",
    weights: PackedWeights,
    precision: Precision,
    params: Readonly<Record<string, number>>,
    buffers: Readonly<Record<string, Buffer>>,
  ): { few: readonly Call[]; many: readonly Call[] } {
    const variant = { weights: precision };
    const overrides = { THREADS: weights.groups <= 8 ? 32 : 64 }; // an invocation reads 8 columns at a time
    const bind = (name: KernelName) =>
      weights.parts.map((part) =>
        this.#recorder.call(name, { variant, params, overrides, buffers: { ...part.buffers, ...buffers }, part }),
      );
    return {
      few: this.#plan(`few ${key}`, () => bind(`${kernel}_vec`)),
      many: this.#plan(`many ${key}`, () => bind(kernel)),
    };
  }

  /** Plans and records a verb's calls over n rows. */
  #run(key: string, n: number, make: () => readonly Call[]): void {
    this.#dispatch(this.#plan(key, make), n);
  }

  /** Records calls over n rows; nothing for none. */
  #dispatch(calls: readonly Call[], n: number): void {
    if (n > 0) for (const call of calls) this.#recorder.dispatch(call, n);
  }

  #plan(key: string, make: () => readonly Call[]): readonly Call[] {
    let calls = this.#plans.get(key);
    if (!calls) {
      calls = make();
      this.#plans.set(key, calls);
    }
    return calls;
  }

  #forget(buffer: Buffer): void {
    this.#recorder.forget(buffer);
    this.#plans.clear();
  }

  #batch(): Batch {
    this.#device.check();
    const { batch } = this.#step;
    if (!batch) throw new RequestError("a step starts with begin()");
    return batch;
  }

  /** A tensor with a row for every token. @throws RequestError after rows() */
  #tokenRows(x: Tensor): GpuTensor {
    const tensor = this.#scratch.own(x);
    if (tensor.rows !== "tokens")
      throw new RequestError(`a tensor [${x.shape}] of output rows was given to a verb that needs all tokens`);
    return tensor;
  }
}

function cacheShape(kv: KvStore, { heads, kvHeads, headDim }: AttentionShape) {
  return { block: kv.blockSize, heads, kv_heads: kvHeads, pairs: headDim / 2 };
}
