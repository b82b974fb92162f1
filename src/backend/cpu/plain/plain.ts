// The CPU backend without WebAssembly SIMD: every verb of Ops by plain kernels, on one thread.

import { add } from "../../../../kernels/add.ts";
import { addBias } from "../../../../kernels/add_bias.ts";
import { append } from "../../../../kernels/append.ts";
import { attention } from "../../../../kernels/attention.ts";
import { clip } from "../../../../kernels/clip.ts";
import { embed } from "../../../../kernels/embed.ts";
import { expertUp } from "../../../../kernels/expert_up.ts";
import { latent } from "../../../../kernels/latent.ts";
import { layerNorm } from "../../../../kernels/layer_norm.ts";
import { matmul } from "../../../../kernels/matmul.ts";
import type { Packed } from "../../../../kernels/packed.ts";
import { qkNorm } from "../../../../kernels/qk_norm.ts";
import { reorder } from "../../../../kernels/reorder.ts";
import { rmsNorm } from "../../../../kernels/rms_norm.ts";
import { rope } from "../../../../kernels/rope.ts";
import { route } from "../../../../kernels/route.ts";
import { rows } from "../../../../kernels/rows.ts";
import { scaleRows } from "../../../../kernels/scale_rows.ts";
import { Scratch } from "../../../../kernels/scratch.ts";
import { RequestError } from "../../../errors.ts";
import type { Format } from "../../../tensor/format.ts";
import { biasOf, matrixPanels, plainWork } from "../../../tensor/load.ts";
import type { ExpertSource, MatrixSource, Tensor } from "../../../tensor/types.ts";
import { ruleOf } from "../../host_rule.ts";
import { rowOf } from "../../kv_block.ts";
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
  KvPrecision,
  KvStore,
  Latent,
  Matrix,
  Observer,
  Ops,
  Router,
  Routes,
  Vector,
} from "../../ops.ts";
import type { Rope } from "../../rope.ts";
import { angleTable } from "../angles.ts";
import { Yielder } from "../slices.ts";
import { Arena, type CpuTensor } from "./arena.ts";
import { headProducts } from "./heads.ts";
import { CpuKv } from "./kv.ts";
import { loadExpert, loadPacked } from "./load.ts";
import { type ExpertWatcher, moe } from "./moe.ts";
import { plainRecurrent } from "./recurrent.ts";
import {
  type CpuExperts,
  type CpuFfn,
  type CpuHeads,
  type CpuMatrix,
  type CpuOrder,
  type CpuVector,
  floats,
  rowsOf,
} from "./values.ts";

/** The plain CPU backend. `deviceName`: of the processor, for info.device. */
export function createPlainOps(maxTokens: number, deviceName: string, observer: Observer | null = null): Ops {
  return new PlainOps(maxTokens, deviceName, observer);
}

class PlainOps implements Ops {
  readonly info: BackendInfo;
  readonly maxTokens: number;
  readonly rowsAgree = Number.POSITIVE_INFINITY;
  readonly #arena = new Arena();
  readonly #work = plainWork();
  #scratch = new Scratch();
  #weightBytes = 0;
  #kv = new Set<CpuKv>();
  #batch: Batch | null = null;
  #turned: Rope | null = null; // the RoPE of the step's table of angles
  #closed = false;
  readonly #observer: Observer | null;
  #expertLayers = 0; // of the step so far
  readonly #yielder = new Yielder();
  readonly recurrent = plainRecurrent(
    () => this.#step(),
    (shape) => this.#floats(shape),
  );

  constructor(maxTokens: number, deviceName: string, observer: Observer | null) {
    this.maxTokens = maxTokens;
    this.#observer = observer;
    this.info = { backend: "cpu", device: deviceName, software: false, threads: 1, features: [] };
  }

  async loadMatrix(source: MatrixSource, format: Format): Promise<Matrix> {
    this.#open();
    const packed = await loadPacked(matrixPanels(source, format), this.#work);
    const bias = await biasOf(source);
    const bytes = packed.layout.bytes + (bias?.byteLength ?? 0);
    this.#weightBytes += bytes;
    const { name, rows, cols } = source;
    const matrix: CpuMatrix = { name, rows, cols, format, bytes, packed, bias };
    return matrix;
  }

  async loadHeads(sources: readonly MatrixSource[], format: Format): Promise<HeadMatrices> {
    this.#open();
    const packed: Packed[] = [];
    for (const source of sources) packed.push(await loadPacked(matrixPanels(source, format), this.#work));
    const bytes = packed.reduce((sum, { layout }) => sum + layout.bytes, 0);
    this.#weightBytes += bytes;
    const { rows, cols } = sources[0]!;
    const heads: CpuHeads = { heads: sources.length, rows, cols, format, bytes, packed };
    return heads;
  }

  async loadVector(source: MatrixSource): Promise<Vector> {
    this.#open();
    const data = new Float32Array(source.rows * source.cols);
    await source.readRows(0, source.rows, data);
    this.#weightBytes += data.byteLength;
    const vector: CpuVector = { size: data.length, bytes: data.byteLength, data };
    return vector;
  }

  async loadOrder(lists: Uint32Array, cols: number): Promise<InputOrder> {
    this.#open();
    this.#weightBytes += lists.byteLength;
    const order: CpuOrder = { count: lists.length / cols, cols, bytes: lists.byteLength, lists };
    return order;
  }

  async loadExperts(sources: readonly ExpertSource[], up: Format, down: Format, rule?: ExpertRule): Promise<Experts> {
    this.#open();
    const [w13, w2]: [Packed[], Packed[]] = [[], []];
    let bytes = 0;
    for (const source of sources) {
      const one = await loadExpert(source, up, down, this.#work);
      w13.push(one.w13);
      w2.push(one.w2);
      bytes += one.bytes;
    }
    this.#weightBytes += bytes;
    const { rows: hidden, cols: intermediate } = sources[0]!.w2;
    const experts: CpuExperts = { count: sources.length, hidden, intermediate, up, down, bytes, rule, w13, w2 };
    return experts;
  }

  async loadFfn(source: ExpertSource, gate: Matrix | null, up: Format, down: Format, rule?: ExpertRule): Promise<Ffn> {
    this.#open();
    const one = await loadExpert(source, up, down, this.#work);
    this.#weightBytes += one.bytes;
    const { rows: hidden, cols: intermediate, name } = source.w2;
    const ffn: CpuFfn = { hidden, intermediate, up, down, gate, rule, names: [source.w1.name, name], ...one };
    return ffn;
  }

  createKv(geometry: KvGeometry, precision: KvPrecision, blockSize: number): KvStore {
    this.#open();
    const kv = new CpuKv(geometry, precision, blockSize);
    this.#kv.add(kv);
    return kv;
  }

  begin(batch: Batch | "next"): void {
    if (batch === "next") throw new RequestError("this backend chooses no tokens: give it a batch");
    this.#open();
    const T = batch.tokens.length;
    if (T < 1 || T > this.maxTokens)
      throw new RequestError(`A step takes 1 to ${this.maxTokens} tokens, found ${T}; split the batch`);
    this.#batch = batch;
    this.#yielder.begin();
    this.#turned = null;
    this.#expertLayers = 0;
    this.#arena.reset();
  }

  embed(table: Matrix): Tensor {
    const { tokens } = this.#step();
    const bad = tokens.find((id) => id >= table.rows);
    if (bad !== undefined)
      throw new RequestError(`Token id ${bad} is not in the vocabulary: ids are 0 to ${table.rows - 1}`);
    const y = this.#floats([tokens.length, table.cols]);
    embed(tokens, (table as CpuMatrix).packed, y.data, 0, tokens.length);
    return y;
  }

  rmsNorm(x: Tensor, w: Vector, eps: number): Tensor {
    const y = this.#floats(x.shape);
    rmsNorm(floats(x), (w as CpuVector).data, eps, y.data, 0, rowsOf(x));
    return y;
  }

  layerNorm(x: Tensor, w: Vector, bias: Vector, eps: number): Tensor {
    const y = this.#floats(x.shape);
    layerNorm(floats(x), (w as CpuVector).data, (bias as CpuVector).data, eps, y.data, 0, rowsOf(x));
    return y;
  }

  qkv(x: Tensor, parts: readonly Matrix[], attention: Attention): Tensor {
    const { heads, kvHeads, headDim, qkNorm: norms, clip: limit } = attention;
    const width = parts.reduce((sum, { rows }) => sum + rows, 0);
    const y = this.#floats([rowsOf(x), width]);
    let first = 0;
    for (const part of parts) {
      const own = this.#product(x, part).data;
      for (let t = 0; t < rowsOf(x); t++)
        y.data.set(own.subarray(t * part.rows, (t + 1) * part.rows), t * width + first);
      first += part.rows;
    }
    if (norms) {
      const [q, k] = [(norms.q as CpuVector).data, (norms.k as CpuVector).data];
      const all = heads * headDim; // values of q
      qkNorm(y.data, width, 0, all / q.length, q, norms.eps, 0, rowsOf(x));
      qkNorm(y.data, width, all, (kvHeads * headDim) / k.length, k, norms.eps, 0, rowsOf(x));
    }
    if (limit !== undefined) clip(y.data, limit);
    this.#turn(y, attention);
    return y;
  }

  latent(q: Tensor, c: Tensor, { absorb, norm, eps }: Latent, attention: Attention): Tensor {
    const { heads: H, headDim, latent: kv = 0 } = attention;
    const T = rowsOf(q);
    const [rope, width] = [headDim - kv, (H + 1) * headDim];
    const y = this.#floats([T, width]);
    latent(floats(q), floats(c), { heads: H, nope: absorb.cols, rope, latent: kv }, y.data, 0, T);
    const own = { first: 0, each: absorb.cols + rope };
    headProducts([q, own], absorb, [y, { first: rope, each: headDim }], this.#scratch);
    qkNorm(y.data, width, H * headDim + rope, 1, (norm as CpuVector).data, eps, 0, T);
    this.#turn(y, attention);
    return y;
  }

  heads(x: Tensor, w: HeadMatrices): Tensor {
    const y = this.#floats([rowsOf(x), w.heads * w.rows]);
    headProducts([x, { first: 0, each: w.cols }], w, [y, { first: 0, each: w.rows }], this.#scratch);
    return y;
  }

  append(kv: KvStore, layer: number, qkv: Tensor, shape: Attention): void {
    const { positions, sequence, tables } = this.#step();
    const store = kv as CpuKv;
    const { q, kv: kvWidth, width } = rowOf(shape);
    const own = { headDim: shape.headDim, scratch: this.#scratch };
    for (let t = 0; t < positions.length; t++) {
      const position = positions[t]!;
      const block = tables[sequence[t]!]![Math.floor(position / store.blockSize)]!;
      const keys = store.keys[layer]![block];
      if (keys === undefined)
        throw new RequestError(
          `KV cache: position ${position} of sequence ${sequence[t]} has no block (${store.blocks} reserved), or the block no pane; reserve() it before the step`,
        );
      const at = t * width + q;
      append(floats(qkv), at, keys, position % store.blockSize, kvWidth, { ...own, rotated: !shape.latent });
      if (shape.latent) continue;
      const values = store.values[layer]![block]!;
      append(floats(qkv), at + kvWidth, values, position % store.blockSize, kvWidth, { ...own, rotated: false });
    }
  }

  attention(kv: KvStore, layer: number, qkv: Tensor, shape: Attention): Tensor {
    const { positions, sequence, tables } = this.#step();
    const { keys, values, blockSize } = kv as CpuKv;
    const { heads, kvHeads, window } = shape;
    const { width, valueDim } = rowOf(shape);
    const kernel = { ...shape, sinks: shape.sinks && (shape.sinks as CpuVector).data };
    const y = this.#floats([positions.length, heads * valueDim]);
    for (let t = 0; t < positions.length; t++) {
      const end = positions[t]! + 1;
      const first = window === null ? 0 : Math.max(0, end - window);
      const span = { keys: keys[layer]!, values: values[layer]!, blockSize, table: tables[sequence[t]!]!, first, end };
      attention(floats(qkv), t * width, span, kernel, y.data, t * heads * valueDim, 0, kvHeads, this.#scratch);
    }
    return y;
  }

  reorder(x: Tensor, order: InputOrder): Tensor {
    const y = this.#floats(x.shape);
    reorder(floats(x), null, (order as CpuOrder).lists, y.data, 0, rowsOf(x));
    return y;
  }

  matmul(x: Tensor, w: Matrix): Tensor {
    return this.#product(x, w);
  }

  add(x: Tensor, y: Tensor): Tensor {
    add(floats(x), floats(y), 0, floats(x).length);
    return x;
  }

  route(x: Tensor, { gate, k, rule, bias }: Router): Routes {
    const T = rowsOf(x);
    const logits = this.#product(x, gate);
    const ids: CpuTensor & { data: Uint32Array } = { shape: [T, k], data: this.#arena.ids(T * k) };
    const weights = this.#floats([T, k]);
    const biases = bias && (bias as CpuVector).data;
    route(logits.data, gate.rows, k, rule, biases, ids.data, weights.data, 0, T);
    return { ids, weights };
  }

  async moe(x: Tensor, routes: Routes, experts: Experts, order: InputOrder | null = null): Promise<Tensor> {
    const y = this.#floats(x.shape);
    const tools = { arena: this.#arena, scratch: this.#scratch, yielder: this.#yielder };
    const seen: ExpertWatcher = (...rows) => this.#observer?.expert(this.#expertLayers, ...rows);
    await moe(x, routes, experts as CpuExperts, order as CpuOrder | null, y.data, tools, seen);
    this.#expertLayers++;
    return y;
  }

  ffn(x: Tensor, w: Ffn): Tensor {
    const { w13, w2, names, hidden: D, intermediate: F, gate, rule } = w as CpuFfn;
    const T = rowsOf(x);
    const y = this.#floats([T, D]);
    const h = this.#scratch.floats("hidden", T * F).subarray(0, T * F);
    this.#observer?.input(names[0], D, floats(x));
    const { gating, down } = ruleOf(rule, 0, F, D, (of) => (of as CpuVector).data);
    expertUp(floats(x), T, w13, h, 0, F, this.#scratch, gating);
    this.#observer?.input(names[1], F, h);
    matmul(h, T, w2, y.data, 0, D, this.#scratch);
    if (down) addBias(y.data, D, 0, down, 0, T);
    if (gate) scaleRows(y.data, D, this.#product(x, gate).data);
    return y;
  }

  rows(x: Tensor): Tensor {
    const { outputs } = this.#step();
    const D = x.shape[1]!;
    const y = this.#floats([outputs.length, D]);
    rows(floats(x), outputs, D, y.data, 0, outputs.length);
    return y;
  }

  async read(x: Tensor): Promise<Float32Array> {
    this.#open();
    return Float32Array.from((x as CpuTensor).data);
  }

  memory(): BackendMemory {
    let kv = 0;
    for (const store of this.#kv) kv += store.bytes;
    return { weights: this.#weightBytes, kv, scratch: this.#arena.bytes + this.#scratch.bytes };
  }

  close(): void {
    for (const kv of this.#kv) kv.close();
    this.#kv.clear();
    this.#weightBytes = 0;
    this.#scratch = new Scratch();
    this.#arena.close();
    this.#batch = null;
    this.#closed = true;
  }

  /** x [T, D] · wᵀ + its bias as a new tensor [T, rows of w]. */
  #product(x: Tensor, w: Matrix): CpuTensor & { data: Float32Array } {
    const y = this.#floats([rowsOf(x), w.rows]);
    this.#observer?.input(w.name, w.cols, floats(x));
    const { packed, bias } = w as CpuMatrix;
    matmul(floats(x), rowsOf(x), packed, y.data, 0, w.rows, this.#scratch);
    if (bias) addBias(y.data, w.rows, 0, bias, 0, rowsOf(x));
    return y;
  }

  /** Turns q and k of rows of q, k and v, in place. */
  #turn(y: CpuTensor & { data: Float32Array }, { heads, kvHeads, headDim, rope: turns }: Attention): void {
    const batch = this.#step();
    const pairs = turns.inverse.length;
    const table = this.#scratch.floats("rope", 2 * batch.positions.length * pairs);
    if (turns !== this.#turned) angleTable(turns, batch, table);
    this.#turned = turns;
    rope(y.data, y.shape[1]!, heads + kvHeads, headDim, pairs, table, 0, rowsOf(y));
  }

  #floats(shape: readonly number[]): CpuTensor & { data: Float32Array } {
    this.#step();
    return { shape, data: this.#arena.floats(shape.reduce((a, b) => a * b, 1)) };
  }

  /** The step's batch. */
  #step(): Batch {
    this.#open();
    if (this.#batch === null) throw new RequestError("No step is open: call begin() first");
    return this.#batch;
  }

  #open(): void {
    if (this.#closed) throw new RequestError("The CPU backend is closed; open the model again");
  }
}
