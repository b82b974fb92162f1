// The fast CPU backend: every verb of Ops by SIMD kernels, on the threads of a pool,
// over shared memories.
//
// Verbs are queued and computed later, in order, when moe() or read() needs them: in slices,
// between which the event loop runs and a step can be aborted (slices.ts).
//
// Values of a step are in the home heap. Weights and cached keys may be in others (a WebAssembly
// memory ends at 4 GiB): a verb that needs them runs there, on a copy of its small inputs.

import { route } from "../../../kernels/route.ts";
import { RequestError } from "../../errors.ts";
import type { Format } from "../../tensor/format.ts";
import type { ExpertShape } from "../../tensor/record.ts";
import type { ExpertSource, MatrixSource, Tensor } from "../../tensor/types.ts";
import type { HostExperts, HostStore } from "../experts.ts";
import { rowOf } from "../kv_block.ts";
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
} from "../ops.ts";
import type { RecurrentVerbs } from "../recurrent.ts";
import type { Heap } from "./heap.ts";
import type { Pool } from "./pool.ts";
import { SimdAttention } from "./simd_attention.ts";
import { OffloadedExperts, type SimdExpertSlots } from "./simd_experts.ts";
import { type SimdFfn, SimdFfns } from "./simd_ffn.ts";
import { SimdHeaps } from "./simd_heaps.ts";
import { SimdKv } from "./simd_kv.ts";
import { SimdLatent } from "./simd_latent.ts";
import { SimdMoe } from "./simd_moe.ts";
import { SimdProducts } from "./simd_products.ts";
import { simdRecurrent } from "./simd_states.ts";
import {
  at,
  type LoadedMatrix,
  ruleAt,
  type SimdExperts,
  type SimdOptions,
  type SimdOrder,
  type SimdTensor,
  type SimdVector,
  sizes,
} from "./simd_values.ts";
import { SimdWeights } from "./simd_weights.ts";
import { Pending } from "./slices.ts";

/** How many results of one verb and width exist at once (see ops.ts). */
const RING = 2;

export function createSimdOps(options: SimdOptions): Ops {
  return new SimdOps(options);
}

class SimdOps implements Ops {
  readonly #info: BackendInfo;
  readonly maxTokens: number;
  readonly rowsAgree = Number.POSITIVE_INFINITY;
  readonly #home: Heap;
  readonly #pool: Pool;
  readonly #heaps: SimdHeaps;
  readonly #products: SimdProducts;
  readonly #weights: SimdWeights;
  readonly #moe: SimdMoe;
  readonly #ffns: SimdFfns;
  readonly recurrent: RecurrentVerbs;
  readonly #rings = new Map<string, number>();
  readonly #attention: SimdAttention;
  readonly #latent: SimdLatent;
  readonly #later = new Pending(() => this.#open());
  readonly #kv = new Set<SimdKv>();
  readonly #observer: Observer | undefined;
  #batch: Batch | null = null;
  #closed = false;

  constructor(options: SimdOptions) {
    const { maxTokens, deviceName, instructions, activations, modules, home, pool, limits } = options;
    this.maxTokens = maxTokens;
    this.#observer = options.observer;
    this.#home = home;
    this.#pool = pool;
    this.#heaps = new SimdHeaps(modules, home, pool, limits);
    this.#products = new SimdProducts(this.#heaps, home, activations === "int8");
    this.#weights = new SimdWeights(this.#heaps, home, this.#products);
    this.#attention = new SimdAttention(this.#heaps, home, this.#products);
    this.#latent = new SimdLatent(this.#heaps, home, this.#products, this.#attention);
    this.#moe = new SimdMoe(this.#heaps, home, this.#products);
    this.#ffns = new SimdFfns(this.#heaps, home, this.#products);
    this.recurrent = simdRecurrent({
      ...{ heaps: this.#heaps, home, products: this.#products, later: this.#later },
      step: () => this.#step(),
      tensor: (verb, T, width) => this.#tensor(verb, T, width),
    });
    const features = [instructions === "simd128" ? "simd128" : "relaxed-simd"];
    if (activations === "int8") features.push("int8-activations");
    this.#info = { backend: "cpu", device: deviceName, software: false, threads: pool.threads, features };
  }

  get info(): BackendInfo {
    return { ...this.#info, threads: this.#pool.running };
  }

  async loadMatrix(source: MatrixSource, format: Format): Promise<Matrix> {
    this.#open();
    return this.#weights.matrix(source, format);
  }

  async loadHeads(sources: readonly MatrixSource[], format: Format): Promise<HeadMatrices> {
    this.#open();
    return this.#weights.heads(sources, format);
  }

  async loadVector(source: MatrixSource): Promise<Vector> {
    this.#open();
    return this.#weights.vector(source);
  }

  async loadOrder(lists: Uint32Array, cols: number): Promise<InputOrder> {
    this.#open();
    return this.#weights.order(lists, cols);
  }

  async loadExperts(sources: readonly ExpertSource[], up: Format, down: Format, rule?: ExpertRule): Promise<Experts> {
    this.#open();
    return this.#weights.experts(sources, up, down, rule);
  }

  async loadFfn(source: ExpertSource, gate: Matrix | null, up: Format, down: Format, rule?: ExpertRule): Promise<Ffn> {
    this.#open();
    return { ...(await this.#weights.ffn(this.#ffns, source, gate, up, down)), rule };
  }

  async expertSlots(shape: ExpertShape, slots: number): Promise<HostExperts> {
    this.#open();
    return this.#weights.slots(shape, slots);
  }

  offloadedExperts(layer: number, slots: HostExperts, store: HostStore, rule?: ExpertRule): Experts {
    return new OffloadedExperts(layer, slots as SimdExpertSlots, store, rule);
  }

  createKv(geometry: KvGeometry, precision: KvPrecision, blockSize: number, positions = 0): KvStore {
    this.#open();
    const kv = new SimdKv(geometry, precision, blockSize, positions, this.#heaps);
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
    this.#pool.wake();
    this.#later.begin(batch.signal);
    this.#attention.begin();
  }

  embed(table: Matrix): Tensor {
    const { tokens } = this.#step();
    const bad = tokens.find((id) => id >= table.rows);
    if (bad !== undefined)
      throw new RequestError(`Token id ${bad} is not in the vocabulary: ids are 0 to ${table.rows - 1}`);
    const y = this.#tensor("embed", tokens.length, table.cols);
    this.#later.push(() => this.#products.embed(tokens, (table as LoadedMatrix).packed, y.at));
    return y;
  }

  rmsNorm(x: Tensor, w: Vector, eps: number): Tensor {
    return this.#norm("rmsNorm", x, [w], eps);
  }

  layerNorm(x: Tensor, w: Vector, bias: Vector, eps: number): Tensor {
    return this.#norm("layerNorm", x, [w, bias], eps);
  }

  #norm(kernel: "rmsNorm" | "layerNorm", x: Tensor, vectors: readonly Vector[], eps: number): Tensor {
    const [T, D] = sizes(x);
    const y = this.#tensor("norm", T, D);
    const args = [at(x), ...vectors.map((vector) => (vector as SimdVector).at), eps, D, y.at];
    this.#later.push(() => this.#pool.run(kernel, this.#home, T, this.#products.rowsOf(D), ...args));
    return y;
  }

  qkv(x: Tensor, parts: readonly Matrix[], shape: Attention): Tensor {
    const batch = this.#step();
    const width = parts.reduce((sum, { rows }) => sum + rows, 0);
    const y = this.#tensor("qkv", batch.tokens.length, width);
    let first = 0;
    for (const part of parts) {
      this.#multiply(x, part, y.at + 4 * first, width);
      first += part.rows;
    }
    this.#later.push(() => this.#attention.turn({ at: y.at, width }, batch, shape));
    return y;
  }

  latent(q: Tensor, c: Tensor, latent: Latent, shape: Attention): Tensor {
    const batch = this.#step();
    const y = this.#tensor("latent", batch.tokens.length, rowOf(shape).width);
    this.#later.push(() => this.#latent.queries(at(q), at(c), y.at, batch, latent, shape));
    return y;
  }

  heads(x: Tensor, w: HeadMatrices): Tensor {
    const [T] = sizes(x);
    const y = this.#tensor("heads", T, w.heads * w.rows);
    this.#later.push(() => this.#latent.heads(at(x), T, w, y.at));
    return y;
  }

  append(kv: KvStore, layer: number, qkv: Tensor, shape: Attention): void {
    const batch = this.#step();
    const store = kv as SimdKv;
    store.lists(store.part(layer), batch); // reports a missing block immediately
    const from = { at: at(qkv), width: sizes(qkv)[1] };
    this.#later.push(() => this.#attention.append(store, layer, batch, from, shape));
  }

  attention(kv: KvStore, layer: number, qkv: Tensor, shape: Attention, wanted?: "outputs"): Tensor {
    const batch = this.#step();
    const store = kv as SimdKv;
    const rows = wanted ? batch.outputs.length : batch.tokens.length;
    const y = this.#tensor("attention", rows, shape.heads * rowOf(shape).valueDim);
    const from = { at: at(qkv), width: sizes(qkv)[1] };
    const sinks = shape.sinks && (shape.sinks as SimdVector).at;
    this.#later.push(() => this.#attention.attend(store, layer, batch, from, shape, sinks, y.at, rows));
    return y;
  }

  reorder(x: Tensor, order: InputOrder): Tensor {
    const [T, D] = sizes(x);
    const y = this.#tensor("reorder", T, D);
    const lists = (order as SimdOrder).at;
    this.#later.push(() =>
      this.#pool.run("reorder", this.#home, T, this.#products.rowsOf(D), at(x), 0, lists, D, y.at),
    );
    return y;
  }

  matmul(x: Tensor, w: Matrix): Tensor {
    return this.#product("matmul", x, w);
  }

  add(x: Tensor, y: Tensor): Tensor {
    const [T, D] = sizes(x);
    this.#later.push(() => this.#pool.run("add", this.#home, T * D, this.#products.rowsOf(1), at(x), at(y)));
    return x;
  }

  route(x: Tensor, { gate, k, rule, bias }: Router): Routes {
    const [T] = sizes(x);
    const logits = this.#product("gate", x, gate);
    const ids = { ...this.#tensor("ids", T, k), integers: true };
    const weights = this.#tensor("shares", T, k);
    this.#later.push(() => {
      const { floats, words } = this.#home;
      const values = floats.subarray(logits.at / 4, logits.at / 4 + T * gate.rows);
      const chosen = words.subarray(ids.at / 4, ids.at / 4 + T * k);
      const shares = floats.subarray(weights.at / 4, weights.at / 4 + T * k);
      const at = bias && (bias as SimdVector).at / 4;
      const biases = at === null ? null : floats.subarray(at, at + gate.rows);
      route(values, gate.rows, k, rule, biases, chosen, shares, 0, T);
    });
    return { ids, weights };
  }

  async moe(x: Tensor, routes: Routes, experts: Experts, order: InputOrder | null = null): Promise<Tensor> {
    const [T, D] = sizes(x);
    const K = routes.ids.shape[1]!;
    const y = this.#tensor("moe", T, D);
    const lists = order && (order as SimdOrder).at;
    const { ids, weights } = routes;
    const rule = ruleAt(experts.rule);
    const step = { x: at(x), T, D, ids: at(ids), weights: at(weights), K, y: y.at, order: lists, rule };
    await this.#later.catchUp();
    const use = this.#moe.begin(step, experts.count);
    if (experts instanceof OffloadedExperts) {
      const rows = this.#home.floats.subarray(step.x / 4, step.x / 4 + T * D);
      const { store, slots, layer } = experts;
      const compute = async (expert: number, slot: number): Promise<void> => {
        if (this.#later.late) await this.#later.pause();
        await this.#later.spread(this.#moe.keep(expert, slots.matrices(slot)));
      };
      await store.visit(layer, use, rows, compute, this.#batch?.signal);
      this.#open();
      this.#moe.finish();
    } else {
      const { layer, matrices } = experts as SimdExperts;
      for (const group of this.#moe.groups(use, matrices)) {
        if (this.#later.late) await this.#later.pause();
        await this.#later.spread(this.#moe.add(group, matrices));
        if (this.#observer) this.#moe.show(this.#observer, layer, group, matrices);
      }
    }
    return y;
  }

  ffn(x: Tensor, w: Ffn): Tensor {
    const [T, D] = sizes(x);
    const y = this.#tensor("ffn", T, D);
    const logits = w.gate && this.#product("ffn gate", x, w.gate);
    this.#later.push(() => this.#ffns.run(at(x), T, w as SimdFfn, logits?.at ?? null, y.at, this.#observer));
    return y;
  }

  rows(x: Tensor): Tensor {
    const { outputs } = this.#step();
    const y = this.#tensor("rows", outputs.length, sizes(x)[1]);
    this.#later.push(() => this.#products.rows(at(x), outputs, sizes(x)[1], y.at));
    return y;
  }

  async read(x: Tensor): Promise<Float32Array> {
    this.#open();
    await this.#later.catchUp();
    const { at, shape, integers } = x as SimdTensor;
    const n = shape.reduce((a, b) => a * b, 1);
    const values = integers ? this.#home.words : this.#home.floats;
    return Float32Array.from(values.subarray(at / 4, at / 4 + n));
  }

  memory(): BackendMemory {
    let kv = 0;
    for (const store of this.#kv) kv += store.bytes;
    const used = this.#closed ? 0 : this.#heaps.used;
    const weights = this.#weights.bytes;
    return { weights, kv, scratch: Math.max(0, used - weights - kv) };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const kv of this.#kv) kv.close();
    this.#kv.clear();
    this.#weights.bytes = 0;
    this.#pool.close();
    this.#heaps.close();
    this.#batch = null;
  }

  // ---- parts of verbs ---------------------------------------------------------------------------

  /** x [T, D] · wᵀ + its bias as a new tensor [T, rows of w]. */
  #product(verb: string, x: Tensor, w: Matrix): SimdTensor {
    const y = this.#tensor(verb, sizes(x)[0], w.rows);
    this.#multiply(x, w, y.at);
    return y;
  }

  /** x [T, D] · wᵀ + its bias, later, to `to` in the home heap: columns of rows of `width`. */
  #multiply(x: Tensor, w: Matrix, to: number, width = w.rows): void {
    const [T, D] = sizes(x);
    this.#later.push(() => {
      this.#observer?.input(w.name, D, this.#home.floats.subarray(at(x) / 4, at(x) / 4 + T * D));
      return this.#products.product(at(x), T, (w as LoadedMatrix).packed, to, width);
    });
  }

  /** Storage for a verb's result [T, width]. */
  #tensor(verb: string, T: number, width: number): SimdTensor {
    this.#step();
    const key = `${verb} ${width}`;
    const turn = this.#rings.get(key) ?? 0;
    this.#rings.set(key, (turn + 1) % RING);
    const at = this.#heaps.workspace(this.#home).at(`${key} ${turn}`, 4 * T * width);
    return { shape: [T, width], at, integers: false };
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
