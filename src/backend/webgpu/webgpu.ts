// The verbs of a forward pass on WebGPU: each records dispatches; read() submits them as one pass.

import { RequestError } from "../../errors.ts";
import { GROUP } from "../../tensor/pack.ts";
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
import { describeAdapter, hasSubgroups, requestAdapter, requestDevice } from "./adapter.ts";
import { type RowKind, StepBatch } from "./batch.ts";
import { type Buffer, type Counters, Device } from "./device.ts";
import { GpuKv } from "./kv.ts";
import { type Call, Recorder } from "./recorder.ts";
import { type GpuTensor, Scratch } from "./scratch.ts";
import type { Variant } from "./shader.ts";
import { type GpuExperts, type GpuMatrix, type GpuVector, WeightLoader } from "./weights.ts";

export interface WebGpuOptions {
  /** Largest batch (T) of a step. */
  readonly maxTokens: number;
  /** Default: the adapter that the platform prefers. */
  readonly adapter?: GPUAdapter;
  /** False keeps to the core of WebGPU where the adapter offers more. Default true. */
  readonly optionalFeatures?: boolean;
  /** Bind at most this many bytes at once. Default: what the device allows. */
  readonly maxBindingBytes?: number;
  /** Called once, by close(). */
  readonly onClose?: () => void;
}

/** Ops on WebGPU, with what tests and measurements need beyond the interface. */
export interface WebGpuOps extends Ops {
  readonly device: GPUDevice;
  counters(): Readonly<Counters>;
}

// Up to so many rows, a workgroup a row of weights beats a tile that is mostly empty.
const FEW_ROWS = 8;
const FEW_SLOTS_AN_EXPERT = 8;

/** @throws DeviceError without an adapter or device */
export async function createWebGpuOps(gpu: GPU, options: WebGpuOptions): Promise<WebGpuOps> {
  try {
    const adapter = options.adapter ?? (await requestAdapter(gpu));
    const subgroups = (options.optionalFeatures ?? true) && hasSubgroups(gpu, adapter);
    const device = new Device(await requestDevice(adapter, subgroups), options.maxBindingBytes);
    const { name, software } = describeAdapter(adapter);
    const features = subgroups ? ["subgroups"] : [];
    return new Verbs(device, { backend: "webgpu", device: name, software, threads: 1, features }, options);
  } catch (error) {
    options.onClose?.();
    throw error;
  }
}

class Verbs implements WebGpuOps {
  readonly info: BackendInfo;
  readonly maxTokens: number;
  readonly #device: Device;
  readonly #recorder: Recorder;
  readonly #loader: WeightLoader;
  readonly #step: StepBatch;
  readonly #scratch: Scratch;
  readonly #reduce: "tree" | "subgroups";
  /** Calls of a verb on given weights and tensors, so that a step makes no bind group and hardly a string. */
  readonly #plans = new Map<string, readonly Call[]>();
  readonly #onClose: (() => void) | undefined;
  #closed = false;

  constructor(device: Device, info: BackendInfo, options: WebGpuOptions) {
    this.info = info;
    this.maxTokens = options.maxTokens;
    this.#device = device;
    this.#reduce = info.features.includes("subgroups") ? "subgroups" : "tree";
    this.#recorder = new Recorder(device);
    this.#loader = new WeightLoader(device);
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

  createKv(layers: number, shape: AttentionShape, precision: "f32" | "f16", blockSize: number): KvStore {
    this.#device.check();
    return new GpuKv(this.#device, layers, shape, precision, blockSize, (buffer) => this.#forget(buffer));
  }

  // ---- a step --------------------------------------------------------------------------------------------------

  begin(batch: Batch): void {
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
    const n = tokens.length;
    const y = this.#scratch.tensor("embed", n, w.cols, "tokens");
    const calls = this.#plan(`embed ${w.id} ${y.buffer.id}`, () =>
      w.parts.map(({ buffer, part }) =>
        this.#recorder.call("embed", { weights: w.precision }, { GROUPS: w.groups }, [
          buffer,
          part,
          this.#step.counts.tokens,
          this.#step.tokens,
          y.buffer,
        ]),
      ),
    );
    for (const call of calls) this.#recorder.dispatch(call, n);
    return y;
  }

  rmsNorm(x: Tensor, w: Vector, eps: number): Tensor {
    const from = this.#scratch.own(x);
    const weight = (w as GpuVector).buffer;
    const [n, D] = from.shape;
    if (w.size !== D) throw new RequestError(`rmsNorm: weights of ${w.size} for rows of ${D}`);
    const y = this.#scratch.tensor("rmsNorm", n, D, from.rows);
    const VECTORS = from.stride / 4;
    this.#run(`rms_norm ${weight.id} ${from.buffer.id} ${y.buffer.id} ${eps}`, n, () => [
      this.#recorder.call(
        "rms_norm",
        { reduce: this.#reduce },
        { D, EPS: eps, VECTORS, THREADS: VECTORS > 256 ? 256 : 64 },
        [this.#step.counts[from.rows], from.buffer, weight, y.buffer],
      ),
    ]);
    return y;
  }

  qkv(x: Tensor, w: Matrix, shape: AttentionShape): Tensor {
    const { heads, kvHeads, headDim } = shape;
    if (w.rows !== (heads + 2 * kvHeads) * headDim || headDim % 2 !== 0)
      throw new RequestError(`${w.name}: ${w.rows} rows for ${heads} + 2 x ${kvHeads} heads of ${headDim} (even)`);
    const from = this.#tokenRows(x);
    const y = this.#scratch.tensor("qkv", from.shape[0], w.rows, "tokens");
    this.#product(from, w as GpuMatrix, y.buffer, y.stride);
    const angles = this.#step.angles(shape);
    this.#run(`rope ${y.buffer.id} ${angles.id} ${heads + kvHeads}`, from.shape[0], () => [
      this.#recorder.call("rope", {}, { TURNED: heads + kvHeads, PAIRS: headDim / 2, STRIDE: y.stride }, [
        this.#step.counts.tokens,
        angles,
        y.buffer,
      ]),
    ]);
    return y;
  }

  append(kv: KvStore, layer: number, qkv: Tensor, shape: AttentionShape): void {
    const from = this.#tokenRows(qkv);
    const { keys, values } = (kv as GpuKv).layer(layer, this.#batch());
    this.#run(`append ${keys.id} ${from.buffer.id}`, from.shape[0], () => [
      this.#recorder.call("append", { kv: kv.precision }, { ...cacheShape(kv, shape), STRIDE: from.stride }, [
        this.#step.counts.tokens,
        this.#step.tokens,
        this.#step.blocks,
        from.buffer,
        keys,
        values,
      ]),
    ]);
  }

  attention(kv: KvStore, layer: number, qkv: Tensor, shape: AttentionShape): Tensor {
    const from = this.#tokenRows(qkv);
    const { keys, values } = (kv as GpuKv).layer(layer, this.#batch());
    const y = this.#scratch.tensor("attention", from.shape[0], shape.heads * shape.headDim, "tokens");
    const overrides = {
      ...cacheShape(kv, shape),
      WINDOW: shape.slidingWindow ?? 0,
      SCALE: 1 / Math.sqrt(shape.headDim),
      STRIDE: from.stride,
      Y_STRIDE: y.stride,
      THREADS: 64,
    };
    this.#run(`attention ${keys.id} ${from.buffer.id} ${y.buffer.id}`, from.shape[0], () => [
      this.#recorder.call("attention", { kv: kv.precision, reduce: this.#reduce }, overrides, [
        this.#step.tokens,
        this.#step.blocks,
        from.buffer,
        keys,
        values,
        y.buffer,
      ]),
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
      this.#recorder.call("add", {}, { VECTORS: to.stride / 4 }, [this.#step.counts[to.rows], to.buffer, from.buffer]),
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
    const ids = this.#scratch.tensor("ids", n, k, from.rows, "u32");
    const weights = this.#scratch.tensor("weights", n, k, from.rows);
    this.#run(`route ${logits.id} ${ids.buffer.id} ${weights.buffer.id} ${E}`, n, () => [
      this.#recorder.call("route", {}, { E, K: k, STRIDE: stride }, [
        this.#step.counts[from.rows],
        logits,
        ids.buffer,
        weights.buffer,
      ]),
    ]);
    return { ids, weights };
  }

  async moe(x: Tensor, routes: Routes, experts: Experts): Promise<Tensor> {
    const from = this.#scratch.own(x);
    const ids = this.#scratch.own(routes.ids);
    const weights = this.#scratch.own(routes.weights);
    const { count: E, hidden: D, intermediate: F, precision: held, up, down } = experts as GpuExperts;
    const [n, width] = from.shape;
    const K = ids.shape[1];
    if (width !== D) throw new RequestError(`moe: experts of hidden size ${D} for rows of ${width}`);
    const { rows } = from;
    const act = this.#scratch.storage("expert activations", n, padded(F), rows, 1, K);
    const out = this.#scratch.storage("expert outputs", n, padded(D), rows, 1, K);
    const sorted = this.#scratch.storage("sorted slots", n, 1, rows, 1, K);
    const starts = this.#scratch.storage("expert starts", 1, E + 1, "outputs");
    const y = this.#scratch.tensor("moe", n, D, rows);
    const vec: Variant = { weights: held, reduce: this.#reduce };
    const tile: Variant = { weights: held };
    const upShape = { GROUPS: up.groups, E, K, Y_STRIDE: padded(F), THREADS: threadsFor(up.groups) };
    const downShape = { GROUPS: down.groups, E, Y_STRIDE: padded(D), THREADS: threadsFor(down.groups) };
    const key = `${up.id} ${from.buffer.id} ${ids.buffer.id} ${y.buffer.id}`;
    const few = n * K <= FEW_SLOTS_AN_EXPERT * E;
    const count = this.#step.counts[rows];
    const call = this.#recorder.call.bind(this.#recorder);

    // Both forms are bound at the first use, so that a warm-up with one token serves prompts too.
    const upFew = this.#plan(`up few ${key}`, () =>
      up.parts.map((p) =>
        call("expert_up_vec", vec, upShape, [p.buffer, p.part, from.buffer, ids.buffer, act], p.rows),
      ),
    );
    const downFew = this.#plan(`down few ${key}`, () =>
      down.parts.map((p) => call("expert_down_vec", vec, downShape, [p.buffer, p.part, act, ids.buffer, out], p.rows)),
    );
    const group = this.#plan(`group ${key}`, () => [call("group", {}, { E, K }, [count, ids.buffer, starts, sorted])]);
    const upMany = this.#plan(`up many ${key}`, () =>
      up.parts.map((p) =>
        call("expert_up", tile, upShape, [p.buffer, p.part, from.buffer, starts, sorted, act], p.rows),
      ),
    );
    const downMany = this.#plan(`down many ${key}`, () =>
      down.parts.map((p) => call("expert_down", tile, downShape, [p.buffer, p.part, act, starts, sorted, out], p.rows)),
    );
    if (n > 0) {
      for (const c of few ? upFew : [...group, ...upMany]) this.#recorder.dispatch(c, n);
      for (const c of few ? downFew : downMany) this.#recorder.dispatch(c, n * K);
    }
    this.#run(`combine ${key} ${weights.buffer.id}`, n, () => [
      call("combine", {}, { K, VECTORS: y.stride / 4 }, [count, out, weights.buffer, y.buffer]),
    ]);
    return y;
  }

  rows(x: Tensor): Tensor {
    const from = this.#tokenRows(x);
    const n = this.#batch().outputs.length;
    const y = this.#scratch.tensor("rows", n, from.shape[1], "outputs");
    this.#run(`rows ${from.buffer.id} ${y.buffer.id}`, n, () => [
      this.#recorder.call("rows", {}, { VECTORS: y.stride / 4 }, [
        this.#step.counts.outputs,
        from.buffer,
        this.#step.outputs,
        y.buffer,
      ]),
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
    this.#device.close();
    this.#plans.clear();
    this.#onClose?.();
  }

  // ---- inside --------------------------------------------------------------------------------------------------

  /** y [n, rows of w] = x · wᵀ, a dispatch a part. */
  #product(x: GpuTensor, w: GpuMatrix, y: Buffer, stride: number): void {
    const [n, cols] = x.shape;
    if (cols !== w.cols) throw new RequestError(`${w.name}: a matrix [${w.rows}, ${w.cols}] for rows of ${cols}`);
    const key = `${w.id} ${x.buffer.id} ${y.id}`;
    const shape = { GROUPS: w.groups, Y_STRIDE: stride, THREADS: threadsFor(w.groups) };
    const weights = w.precision;
    const count = this.#step.counts[x.rows];
    const few = this.#plan(`few ${key}`, () =>
      w.parts.map((p) =>
        this.#recorder.call(
          "matmul_vec",
          { weights, reduce: this.#reduce },
          shape,
          [p.buffer, p.part, x.buffer, y],
          p.rows,
        ),
      ),
    );
    const many = this.#plan(`many ${key}`, () =>
      w.parts.map((p) =>
        this.#recorder.call("matmul", { weights }, shape, [p.buffer, p.part, count, x.buffer, y], p.rows),
      ),
    );
    if (n > 0) for (const call of n <= FEW_ROWS ? few : many) this.#recorder.dispatch(call, n);
  }

  /** Plans and records a verb's calls over n rows; nothing for none. */
  #run(key: string, n: number, make: () => readonly Call[]): void {
    const calls = this.#plan(key, make);
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
    const wanted: RowKind = "tokens";
    if (tensor.rows !== wanted)
      throw new RequestError(`a tensor [${x.shape}] of output rows was given to a verb that needs all tokens`);
    return tensor;
  }
}

function cacheShape(kv: KvStore, { heads, kvHeads, headDim }: AttentionShape) {
  return { BLOCK: kv.blockSize, HEADS: heads, KV_HEADS: kvHeads, PAIRS: headDim / 2 };
}

/** Floats of a row of `width`, padding included. */
function padded(width: number): number {
  return Math.ceil(width / GROUP) * GROUP;
}

/** Invocations for a row of weights that is read 8 columns at a time. */
function threadsFor(groups: number): number {
  return groups <= 8 ? 32 : 64;
}
