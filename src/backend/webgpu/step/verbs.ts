// The verbs of a forward pass on WebGPU: each encodes dispatches; read() submits them as one pass.

import { RequestError } from "../../../errors.ts";
import type { Format } from "../../../tensor/format.ts";
import type { ExpertShape } from "../../../tensor/record.ts";
import type { ExpertSource, MatrixSource, Tensor } from "../../../tensor/types.ts";
import type { DeviceExperts, DeviceScheduler } from "../../experts.ts";
import type {
  Attention,
  BackendInfo,
  BackendMemory,
  Batch,
  ExpertRule,
  Experts,
  Ffn,
  HeadMatrices,
  InputOrder,
  KvGeometry,
  KvStore,
  Latent,
  Matrix,
  Router,
  Routes,
  Vector,
} from "../../ops.ts";
import type { Buffer, Counters, Device } from "../device/device.ts";
import { StepEncoder } from "../dispatch/encoder.ts";
import { NO_BATCH } from "../dispatch/pace.ts";
import { VariantError } from "../dispatch/pipelines.ts";
import { Plans } from "../dispatch/plans.ts";
import { Profiling } from "../dispatch/profile.ts";
import type { Arithmetic } from "../dispatch/shader.ts";
import { type TuningStore, tune } from "../tuning/autotune.ts";
import type { TuneOptions } from "../tuning/options.ts";
import type { Solved } from "../tuning/problem.ts";
import { Tuning } from "../tuning/tuning.ts";
import { GpuSlots, type SlottedExperts } from "../weights/slots.ts";
import type { GpuExperts, GpuHeads, GpuMatrix, GpuOrder, GpuVector } from "../weights/space.ts";
import { WeightLoader } from "../weights/weights.ts";
import { AttentionCalls, widthOfHeads } from "./attention.ts";
import { StepBatch } from "./batch.ts";
import { GpuChoosing } from "./choosing.ts";
import { FfnCalls, ffnOf, type GpuFfn, sharedGate } from "./ffn.ts";
import { type Cache, GpuKv } from "./kv.ts";
import { LatentCalls } from "./latent.ts";
import { addRows, embedded, type LookupTools, outputRows } from "./lookup.ts";
import { Norms } from "./norms.ts";
import { Waiting } from "./pending.ts";
import { Products } from "./products.ts";
import { RecurrentCalls } from "./recurrent.ts";
import { type GpuTensor, Scratch } from "./scratch.ts";
import { SlottedMoe } from "./slotted.ts";
import type { VerbsOptions, WebGpuOps } from "./webgpu_ops.ts";

export class Verbs implements WebGpuOps {
  readonly maxTokens: number;
  readonly #info: BackendInfo;
  readonly #adapter: string;
  readonly tuning: Tuning;
  readonly profiling: Profiling;
  readonly choosing: GpuChoosing;
  readonly recurrent: RecurrentCalls;
  readonly #device: Device;
  readonly #encoder: StepEncoder;
  readonly #loader: WeightLoader;
  readonly #step: StepBatch;
  readonly #scratch: Scratch;
  readonly #plans: Plans;
  readonly #products: Products;
  readonly #attention: AttentionCalls;
  readonly #latent: LatentCalls;
  readonly #tools: LookupTools;
  readonly #ffn: FfnCalls;
  readonly #slotted: SlottedMoe;
  readonly #slots: GpuSlots[] = []; // that deviceExperts() has made
  /** Variants of kernels that this device does not take, each with the reason. */
  readonly #leftOut = new Set<string>();
  readonly #norms: Norms;
  readonly #waiting = new Waiting();
  readonly #onClose: (() => void) | undefined;
  #closed = false;

  constructor(device: Device, info: BackendInfo, options: VerbsOptions) {
    this.#info = info;
    this.#adapter = options.adapterKey;
    this.tuning = new Tuning(options.abilities);
    this.maxTokens = options.maxTokens;
    this.#device = device;
    const subgroups = info.features.includes("subgroups");
    this.#encoder = new StepEncoder(device, subgroups, () => this.#step.batch ?? NO_BATCH, options.pace);
    this.#loader = new WeightLoader(device, options.maxWeightBytes ?? device.maxBinding, options.workOf);
    this.#step = new StepBatch(device, this.#encoder, options.maxTokens);
    this.#scratch = new Scratch(device, options.maxTokens, (buffer) => this.#forget(buffer));
    this.#plans = new Plans(this.#encoder);
    const parts = { encoder: this.#encoder, plans: this.#plans, scratch: this.#scratch, step: this.#step };
    this.#tools = parts;
    const fewRegisters = this.tuning.abilities.fewRegisters ?? false;
    const tools = { ...parts, device, software: info.software, fewRegisters, agree: this.tuning.agree };
    this.#attention = new AttentionCalls(tools);
    this.#latent = new LatentCalls({ ...tools, tuning: this.tuning });
    this.#norms = new Norms(tools);
    this.#products = new Products({ ...tools, tuning: this.tuning, norms: this.#norms });
    const own = { products: this.#products, maxTokens: options.maxTokens };
    this.#ffn = new FfnCalls({ device, ...own });
    this.#slotted = new SlottedMoe({ ...tools, ...own });
    this.profiling = new Profiling(device, this.#encoder, () => this.#batch(), info.software);
    const given = (x: Tensor): GpuTensor => this.#norms.computed(this.#given(x));
    this.choosing = new GpuChoosing({ ...tools, given });
    this.recurrent = new RecurrentCalls({ ...tools, ...own, given, batch: () => this.#batch() });
    this.#onClose = options.onClose;
  }

  get rowsAgree(): number {
    return this.tuning.agree;
  }

  get device(): GPUDevice {
    return this.#device.gpu;
  }

  get info(): BackendInfo {
    const features = [...this.#info.features, ...(this.tuning.usesInt8 ? ["int8-activations"] : [])];
    const leftOut = [...this.#leftOut];
    return { ...this.#info, features, ...(leftOut.length > 0 && { leftOut }) };
  }

  leaveOut(error: unknown): boolean {
    if (!(error instanceof VariantError) || !this.tuning.leaveOut(error.variant)) return false;
    this.#leftOut.add(`${error.kernel}: ${error.message}`);
    if (this.tuning.abilities.subgroup === null) this.#encoder.reduce = "tree";
    this.#encoder.reset();
    this.#plans.clear();
    return true;
  }

  tune(store: TuningStore | null, options: TuneOptions = {}): Promise<readonly Solved[]> {
    this.#waiting.settle();
    const own = { device: this.#device, encoder: this.#encoder, plans: this.#plans, products: this.#products };
    const { matrices, experts, space } = this.#loader;
    const has = { matrices, experts, space, slots: this.#slots, tuning: this.tuning };
    const { software } = this.#info;
    const of = { ops: this, software, adapter: this.#adapter, leftOut: (why: string) => void this.#leftOut.add(why) };
    this.tuning.startTiming();
    return tune({ ...own, ...has, ...of }, store, options);
  }

  chunk(position: number): number {
    return this.#encoder.pace.chunk(position, this.maxTokens);
  }

  counters(): Readonly<Counters> {
    return { ...this.#device.counters };
  }

  // ---- loading ----------------------------------------------------------------------------------

  loadMatrix(source: MatrixSource, format: Format): Promise<Matrix> {
    return this.#loader.matrix(source, format);
  }

  loadHeads(sources: readonly MatrixSource[], format: Format): Promise<HeadMatrices> {
    return this.#loader.heads(sources, format);
  }

  loadVector(source: MatrixSource): Promise<Vector> {
    return this.#loader.vector(source);
  }

  loadOrder(lists: Uint32Array<ArrayBuffer>, cols: number): Promise<InputOrder> {
    return this.#loader.order(lists, cols);
  }

  loadExperts(sources: readonly ExpertSource[], up: Format, down: Format, rule?: ExpertRule): Promise<Experts> {
    return this.#loader.layer(sources, up, down, rule);
  }

  async loadFfn(source: ExpertSource, gate: Matrix | null, up: Format, down: Format, rule?: ExpertRule): Promise<Ffn> {
    return ffnOf({ ...(await this.#loader.one(source, up, down)), rule }, gate);
  }

  async deviceExperts(shape: ExpertShape, layers: number, slots: number, transit: number): Promise<DeviceExperts> {
    this.#device.check();
    const made = await GpuSlots.create(this.#device, this.#loader.space, shape, layers, slots, transit);
    this.#slots.push(made);
    return made;
  }

  slottedExperts(layer: number, device: DeviceExperts, scheduler: DeviceScheduler, rule?: ExpertRule): Experts {
    return (device as GpuSlots).experts(layer, scheduler, rule);
  }

  createKv(geometry: KvGeometry, precision: KvStore["precision"], blockSize: number, positions = 0): KvStore {
    this.#device.check();
    this.#step.expect(positions);
    return new GpuKv(this.#device, geometry, precision, blockSize, (buffer) => this.#forget(buffer));
  }

  // ---- a step -----------------------------------------------------------------------------------

  begin(batch: Batch | "next"): void {
    this.#device.check();
    if (batch === "next") this.#step.next();
    else if (this.#step.begin(batch, (b) => this.choosing.begin(b))) this.#plans.clear();
    this.#encoder.reset();
    this.#waiting.clear();
    this.#norms.begin();
    this.#products.begin();
    this.#scratch.begin();
  }

  embed(table: Matrix): Tensor {
    return embedded(this.#tools, table as GpuMatrix, this.#batch());
  }

  rmsNorm(x: Tensor, w: Vector, eps: number): Tensor {
    return this.#norms.later(this.#given(x), w as GpuVector, eps);
  }

  layerNorm(x: Tensor, w: Vector, bias: Vector, eps: number): Tensor {
    return this.#norms.layer(this.#given(x), w as GpuVector, bias as GpuVector, eps);
  }

  qkv(x: Tensor, matrices: readonly Matrix[], shape: Attention): Tensor {
    const width = widthOfHeads(matrices, shape);
    this.#waiting.settle();
    const from = this.#tokenRows(x);
    const tensor = this.#scratch.tensor("qkv", from.shape[0], width, "tokens");
    const parts = this.#loader.space.stacked(matrices as readonly GpuMatrix[]);
    this.#scratch.end(this.#waiting.takeLeft());
    const append = (cache: Cache | null) => this.#products.projections.encode(from, parts, shape, tensor, cache);
    this.#waiting.last = { tensor, alone: () => append(null), append };
    return tensor;
  }

  latent(q: Tensor, c: Tensor, latent: Latent, shape: Attention): Tensor {
    const [own, latents] = [q, c].map((x) => this.#norms.computed(this.#given(x))) as [GpuTensor, GpuTensor];
    this.#waiting.last = this.#latent.queries(own, latents, latent, shape);
    return this.#waiting.last.tensor;
  }

  heads(x: Tensor, w: HeadMatrices): Tensor {
    return this.#latent.heads(this.#norms.computed(this.#given(x)), w as GpuHeads);
  }

  append(kv: KvStore, layer: number, qkv: Tensor, shape: Attention): void {
    const cache = this.#step.cache(kv as GpuKv, layer, this.#batch());
    if (this.#waiting.append(qkv, cache)) return;
    this.#waiting.settle(qkv);
    this.#attention.append(cache, this.#tokenRows(qkv), shape);
  }

  attention(kv: KvStore, layer: number, qkv: Tensor, shape: Attention): Tensor {
    const cache = this.#step.cache(kv as GpuKv, layer, this.#batch());
    const unturned = this.#waiting.takeUnturned(qkv, cache.keys);
    this.#waiting.settle(unturned ? undefined : qkv);
    return this.#attention.encode(cache, this.#tokenRows(qkv), shape, unturned);
  }

  reorder(x: Tensor, order: InputOrder): Tensor {
    return this.#products.reorder(this.#norms.computed(this.#given(x)), order as GpuOrder);
  }

  matmul(x: Tensor, w: Matrix): Tensor {
    const from = this.#given(x);
    const tensor = this.#scratch.tensor("matmul", from.shape[0], w.rows, from.rows);
    const encode = (y: GpuTensor, add: boolean): void =>
      this.#products.matmul(from, w as GpuMatrix, y.buffer, y.stride, add);
    this.#waiting.last = {
      tensor,
      reads: from.buffer,
      addTo: (to) => encode(to, true),
      alone: () => encode(tensor, false),
    };
    return tensor;
  }

  add(x: Tensor, y: Tensor): Tensor {
    const to = this.#scratch.own(x);
    const from = this.#scratch.own(y);
    if (to.shape[0] !== from.shape[0] || to.shape[1] !== from.shape[1] || to === from || to.norm)
      throw new RequestError(`add: needs two tensors of one shape, found [${x.shape}] and [${y.shape}]`);
    const encode = this.#waiting.takeSum(from, to);
    if (encode) {
      encode(to);
      return this.#scratch.reuse(to);
    }
    this.#waiting.settle();
    const addend = this.#norms.computed(from);
    addRows(this.#tools, to, addend.buffer);
    return this.#scratch.reuse(to);
  }

  route(x: Tensor, router: Router, beside?: Ffn | null): Routes {
    const rowsOf = this.#given(x);
    const { routes, share, encode } = this.#products.route(rowsOf, router, sharedGate(beside));
    this.#ffn.keep(rowsOf, beside, share);
    this.#waiting.last = { tensor: routes.ids as GpuTensor, rowsOf, rows: encode, alone: () => encode(null) };
    return routes;
  }

  async moe(x: Tensor, routes: Routes, experts: Experts, order?: InputOrder | null): Promise<Tensor> {
    const from = this.#scratch.own(x);
    const lists = (order ?? null) as GpuOrder | null;
    const { ids, weights } = { ids: this.#scratch.own(routes.ids), weights: this.#scratch.own(routes.weights) };
    const slotted = "scheduler" in experts;
    if (slotted || lists) this.#expertRows(from, "f32");
    if (slotted)
      return this.#slotted.run({ x: this.#norms.computed(from), ids, weights }, experts as SlottedExperts, lists);
    const own = { x: from, each: 1, rows: (to: Arithmetic) => this.#expertRows(from, to) };
    const inputs = lists ? this.#products.expertRows(this.#norms.computed(from), ids, lists) : own;
    const finish = this.#products.moe(inputs, ids, weights, experts as GpuExperts);
    const tensor = this.#scratch.tensor("moe", from.shape[0], experts.hidden, from.rows);
    const encode = (y: GpuTensor, add: boolean): void => finish(y.buffer, y.stride, add);
    this.#waiting.last = { tensor, waits: true, addTo: (to) => encode(to, true), alone: () => encode(tensor, false) };
    return tensor;
  }

  ffn(x: Tensor, w: Ffn): Tensor {
    const from = this.#scratch.own(x);
    const beside = this.#waiting.takeBeside(w.gate !== null);
    const rows = (to: Arithmetic) => this.#expertRows(from, to);
    const finish = this.#ffn.encode({ x: from, each: 1, rows }, w as GpuFfn);
    const tensor = this.#scratch.tensor("ffn", from.shape[0], w.hidden, from.rows);
    const encode = (y: GpuTensor, add: boolean): void => finish(y.buffer, y.stride, add);
    this.#waiting.beside = beside;
    this.#waiting.last = { tensor, addTo: (to) => encode(to, true), alone: () => encode(tensor, false) };
    return tensor;
  }

  rows(x: Tensor): Tensor {
    this.#waiting.settle();
    return outputRows(this.#tools, this.#norms.computed(this.#tokenRows(x)), this.#batch());
  }

  async read(x: Tensor): Promise<Float32Array> {
    const { buffer, shape, stride, type } = this.#norms.computed(this.#given(x));
    return this.#encoder.read({ buffer, rows: shape[0], width: shape[1], stride, type }, this.#step.batch?.signal);
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

  // ---- inside -----------------------------------------------------------------------------------

  /**
   * A verb's argument, after everything that it may depend on is encoded.
   * @throws RequestError if its life is over
   */
  #given(x: Tensor): GpuTensor {
    this.#waiting.settle(x);
    return this.#scratch.own(x);
  }

  /** The rows of x as experts take them: by the router, if it waits, or by their own dispatches. */
  #expertRows(x: GpuTensor, to: Arithmetic): Buffer {
    const pending = this.#waiting.last;
    const int8 = to === "int8";
    if (pending?.rows && pending.rowsOf === x && (int8 || (to === "f32" && x.norm))) {
      this.#waiting.last = null;
      const buffer = int8 ? this.#products.int8Rows(x) : this.#norms.place(x).buffer;
      pending.rows({ buffer, int8 });
      return buffer;
    }
    this.#waiting.settle();
    return this.#products.rows(x, to);
  }

  #forget(buffer: Buffer): void {
    this.#encoder.forget(buffer);
    this.#plans.clear();
  }

  #batch(): Batch {
    this.#device.check();
    const { batch } = this.#step;
    if (!batch) throw new RequestError("a step starts with begin()");
    return batch;
  }

  /**
   * A tensor with a row for every token, its norm perhaps left to the reader.
   * @throws RequestError after rows()
   */
  #tokenRows(x: Tensor): GpuTensor {
    const tensor = this.#scratch.own(x);
    if (tensor.rows !== "tokens")
      throw new RequestError(`a tensor [${x.shape}] of output rows was given to a verb that needs all tokens`);
    return tensor;
  }
}
