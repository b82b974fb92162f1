// The CPU backend without WebAssembly SIMD: every verb of Ops by plain kernels, on typed arrays and
// one thread.

import { add } from "../../../../kernels/add.ts";
import { addBias } from "../../../../kernels/add_bias.ts";
import { append } from "../../../../kernels/append.ts";
import { attention } from "../../../../kernels/attention.ts";
import { clip } from "../../../../kernels/clip.ts";
import { embed } from "../../../../kernels/embed.ts";
import { expertDown } from "../../../../kernels/expert_down.ts";
import { expertUp } from "../../../../kernels/expert_up.ts";
import { group } from "../../../../kernels/group.ts";
import { matmul } from "../../../../kernels/matmul.ts";
import type { Packed } from "../../../../kernels/packed.ts";
import { qkNorm } from "../../../../kernels/qk_norm.ts";
import { reorder } from "../../../../kernels/reorder.ts";
import { rmsNorm } from "../../../../kernels/rms_norm.ts";
import { rope, ropeTable } from "../../../../kernels/rope.ts";
import { route } from "../../../../kernels/route.ts";
import { rows } from "../../../../kernels/rows.ts";
import { scaleRows } from "../../../../kernels/scale_rows.ts";
import { Scratch } from "../../../../kernels/scratch.ts";
import { RequestError } from "../../../errors.ts";
import type { Format } from "../../../tensor/format.ts";
import { biasOf, expertPanels, matrixPanels, plainWork } from "../../../tensor/load.ts";
import type { ExpertSource, MatrixSource, Tensor } from "../../../tensor/types.ts";
import { ruleOf } from "../../host_rule.ts";
import type {
  Attention,
  BackendInfo,
  BackendMemory,
  Batch,
  ExpertRule,
  Experts,
  Ffn,
  InputOrder,
  KvGeometry,
  KvStore,
  Matrix,
  Observer,
  Ops,
  Rope,
  Router,
  Routes,
  Vector,
} from "../../ops.ts";
import { Yielder } from "../slices.ts";
import { Arena, type CpuTensor } from "./arena.ts";
import { CpuKv } from "./kv.ts";
import { loadPacked } from "./load.ts";
import { plainRecurrent } from "./recurrent.ts";
import {
  type CpuExperts,
  type CpuFfn,
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
  readonly recurrent = plainRecurrent({
    step: () => this.#step(),
    floats: (shape) => this.#floats(shape),
    values: (vector) => (vector as CpuVector).data,
  });

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
    const w13: Packed[] = [];
    const w2: Packed[] = [];
    let bytes = 0;
    for (const source of sources) {
      const panels = expertPanels(source, up, down);
      w13.push(await loadPacked(panels.up, this.#work));
      w2.push(await loadPacked(panels.down, this.#work));
      bytes += w13.at(-1)!.layout.bytes + w2.at(-1)!.layout.bytes;
    }
    this.#weightBytes += bytes;
    const { rows: hidden, cols: intermediate } = sources[0]!.w2;
    const experts: CpuExperts = { count: sources.length, hidden, intermediate, up, down, bytes, rule, w13, w2 };
    return experts;
  }

  async loadFfn(source: ExpertSource, gate: Matrix | null, up: Format, down: Format): Promise<Ffn> {
    this.#open();
    const panels = expertPanels(source, up, down);
    const w13 = await loadPacked(panels.up, this.#work);
    const w2 = await loadPacked(panels.down, this.#work);
    const bytes = w13.layout.bytes + w2.layout.bytes;
    this.#weightBytes += bytes;
    const { rows: hidden, cols: intermediate, name } = source.w2;
    const names = [source.w1.name, name] as const;
    const ffn: CpuFfn = { hidden, intermediate, up, down, gate, bytes, names, w13, w2 };
    return ffn;
  }

  createKv(geometry: KvGeometry, precision: "f32" | "f16", blockSize: number): KvStore {
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

  qkv(x: Tensor, parts: readonly Matrix[], attention: Attention): Tensor {
    const { positions } = this.#step();
    const { heads, kvHeads, headDim, rope: turns, qkNorm: norms, clip: limit } = attention;
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
    const pairs = turns.inverse.length;
    const table = this.#scratch.floats("rope", 2 * positions.length * pairs);
    if (turns !== this.#turned) ropeTable(positions, turns, table);
    this.#turned = turns;
    rope(y.data, width, heads + kvHeads, headDim, pairs, table, 0, rowsOf(x));
    return y;
  }

  append(kv: KvStore, layer: number, qkv: Tensor, { heads, kvHeads, headDim }: Attention): void {
    const { positions, sequence, tables } = this.#step();
    const store = kv as CpuKv;
    const kvWidth = kvHeads * headDim;
    const width = heads * headDim + 2 * kvWidth;
    for (let t = 0; t < positions.length; t++) {
      const position = positions[t]!;
      const block = tables[sequence[t]!]![Math.floor(position / store.blockSize)]!;
      const keys = store.keys[layer]![block];
      if (keys === undefined)
        throw new RequestError(
          `KV cache: position ${position} of sequence ${sequence[t]} has no block (${store.blocks} reserved); reserve() it before the step`,
        );
      const at = t * width + heads * headDim;
      append(floats(qkv), at, keys, position % store.blockSize, kvWidth);
      append(floats(qkv), at + kvWidth, store.values[layer]![block]!, position % store.blockSize, kvWidth);
    }
  }

  attention(kv: KvStore, layer: number, qkv: Tensor, shape: Attention): Tensor {
    const { positions, sequence, tables } = this.#step();
    const { keys, values, blockSize } = kv as CpuKv;
    const { heads, kvHeads, headDim, window } = shape;
    const width = (heads + 2 * kvHeads) * headDim;
    const kernel = { ...shape, sinks: shape.sinks && (shape.sinks as CpuVector).data };
    const y = this.#floats([positions.length, heads * headDim]);
    for (let t = 0; t < positions.length; t++) {
      const end = positions[t]! + 1;
      const first = window === null ? 0 : Math.max(0, end - window);
      const span = { keys: keys[layer]!, values: values[layer]!, blockSize, table: tables[sequence[t]!]!, first, end };
      attention(floats(qkv), t * width, span, kernel, y.data, t * heads * headDim, 0, kvHeads, this.#scratch);
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
    const { w13, w2, hidden: D, intermediate: F, rule } = experts as CpuExperts;
    const ids = (routes.ids as CpuTensor).data as Uint32Array;
    const weights = floats(routes.weights);
    const k = routes.ids.shape[1]!;
    const y = this.#floats(x.shape);
    y.data.fill(0);
    const assignments = ids.length;
    const starts = this.#arena.ids(experts.count + 1);
    const sorted = this.#arena.ids(assignments);
    group(ids, experts.count, starts, sorted);
    const tokens = this.#arena.ids(assignments);
    const shares = this.#arena.floats(assignments);
    for (let i = 0; i < assignments; i++) {
      tokens[i] = Math.floor(sorted[i]! / k);
      shares[i] = weights[sorted[i]!]!;
    }
    for (let expert = 0; expert < experts.count; expert++) {
      const [from, to] = [starts[expert]!, starts[expert + 1]!];
      const n = to - from;
      if (n === 0) continue;
      await this.#yielder.yield();
      const own = tokens.subarray(from, to);
      const gathered = this.#scratch.floats("gathered", n * D);
      const h = this.#scratch.floats("hidden", n * F);
      rows(floats(x), own, D, gathered, 0, n);
      let inputs = gathered;
      if (order) {
        inputs = this.#scratch.floats("reordered", n * D);
        const own = (order as CpuOrder).lists.subarray(expert * D, (expert + 1) * D);
        reorder(gathered, null, own, inputs, 0, n);
      }
      const { gating, down } = ruleOf(rule, expert, F, D, (of) => (of as CpuVector).data);
      expertUp(inputs, n, w13[expert]!, h, 0, F, this.#scratch, gating);
      const [rowsIn, hidden] = [gathered.subarray(0, n * D), h.subarray(0, n * F)];
      this.#observer?.expert(this.#expertLayers, expert, rowsIn, hidden, shares.subarray(from, to));
      expertDown(h, own, shares.subarray(from, to), w2[expert]!, y.data, 0, D, this.#scratch, down);
    }
    this.#expertLayers++;
    return y;
  }

  ffn(x: Tensor, w: Ffn): Tensor {
    const { w13, w2, names, hidden: D, intermediate: F, gate } = w as CpuFfn;
    const T = rowsOf(x);
    const y = this.#floats([T, D]);
    const h = this.#scratch.floats("hidden", T * F).subarray(0, T * F);
    this.#observer?.input(names[0], D, floats(x));
    expertUp(floats(x), T, w13, h, 0, F, this.#scratch);
    this.#observer?.input(names[1], F, h);
    matmul(h, T, w2, y.data, 0, D, this.#scratch);
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
    for (const { blocks, blockBytes, states } of this.#kv)
      kv += blocks * blockBytes + (states ? states.slots * states.slotBytes : 0);
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
