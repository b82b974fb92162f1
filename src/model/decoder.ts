// The decoder: loads the weights of any architecture, and computes a forward pass.

import { FORMATS } from "../../kernels/formats/index.ts";
import type {
  Attention,
  Batch,
  Experts,
  InputOrder,
  KvStore,
  Matrix,
  Ops,
  Router,
  Routes,
  Vector,
} from "../backend/ops.ts";
import type { Format } from "../tensor/format.ts";
import type { ExpertSource, MatrixSource, Tensor } from "../tensor/types.ts";
import type { Architecture, ModelSources } from "./family.ts";
import { expertShape, type FormatPlan, joinedQkv } from "./formats.ts";
import { expertOrders, loadOrder, orderIn } from "./input_order.ts";

export interface DecoderLayer {
  readonly attnNorm: Vector; // [D]
  /** [(H + 2 Hkv) Dh, D]: rows of q, then k, then v, in parts of whole heads. */
  readonly qkv: readonly Matrix[];
  readonly attention: Attention;
  readonly wo: Matrix; // [D, H Dh]
  readonly ffnNorm: Vector; // [D]
  readonly router: Router; // its gate [E, D] is always f32
  readonly experts: Experts;
  /** How qkv, wo and each expert's w1 and w3 take their inputs; null: as they are. */
  readonly orders: Readonly<Record<"qkv" | "wo" | "experts", InputOrder | null>>;
}

/** A model on a backend. */
export interface Decoder {
  readonly architecture: Architecture;
  readonly embed: Matrix; // [V, D]
  readonly layers: readonly DecoderLayer[];
  readonly norm: Vector; // [D]
  readonly head: Matrix; // [V, D]
  readonly headOrder: InputOrder | null;
}

/** Called with each layer's routes during the step; for evaluation and traces. */
export type RouteWatcher = (layer: number, routes: Routes) => Promise<void>;

/**
 * The result of a step for its output rows: logits [R, V], or the hidden states [R, D] before them.
 */
export type Output = "logits" | "hidden";

/**
 * One step: computes logits [R, V] for the batch's output rows, and appends keys and values of all
 * T tokens to `kv`. The last layer's experts run only for the output rows: nothing else reads them.
 */
export async function forward(
  ops: Ops,
  m: Decoder,
  kv: KvStore,
  batch: Batch | "next",
  watch?: RouteWatcher,
  output: Output = "logits",
): Promise<Tensor> {
  const { eps } = m.architecture;
  const inOrder = (x: Tensor, order: InputOrder | null) => (order ? ops.reorder(x, order) : x);
  ops.begin(batch);
  let x = ops.embed(m.embed); // [T, D]
  for (const [i, layer] of m.layers.entries()) {
    const h = ops.rmsNorm(x, layer.attnNorm, eps); // [T, D]
    const qkv = ops.qkv(inOrder(h, layer.orders.qkv), layer.qkv, layer.attention); // [T, (H + 2 Hkv) Dh], RoPE applied
    ops.append(kv, i, qkv, layer.attention);
    const a = ops.attention(kv, i, qkv, layer.attention); // [T, H Dh]
    x = ops.add(x, ops.matmul(inOrder(a, layer.orders.wo), layer.wo));
    if (i === m.layers.length - 1) x = ops.rows(x); // [R, D]
    if (x.shape[0] === 0) return x;
    const g = ops.rmsNorm(x, layer.ffnNorm, eps);
    const routes = ops.route(g, layer.router); // [T, K]
    await watch?.(i, routes);
    x = ops.add(x, await ops.moe(g, routes, layer.experts, layer.orders.experts));
  }
  const h = ops.rmsNorm(x, m.norm, eps); // [R, D]
  return output === "hidden" ? h : ops.matmul(inOrder(h, m.headOrder), m.head); // [R, V]
}

export interface LoadOptions {
  readonly plan: FormatPlan;
  /** Returns a layer's offloaded experts; absent: all experts are loaded. */
  readonly experts?: ((layer: number, sources: readonly ExpertSource[]) => Experts) | undefined;
  /** Called after each matrix with its bytes on the backend. */
  readonly onLoaded?: (bytes: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Reads, packs and loads all weights to the backend, one matrix after the other. */
export async function loadDecoder(
  ops: Ops,
  architecture: Architecture,
  sources: ModelSources,
  { plan, experts, onLoaded, signal }: LoadOptions,
): Promise<Decoder> {
  const done = async <T extends { readonly bytes: number }>(loading: Promise<T>): Promise<T> => {
    const loaded = await loading;
    signal?.throwIfAborted();
    onLoaded?.(loaded.bytes);
    return loaded;
  };
  const matrix = (from: MatrixSource, format: Format) => done(ops.loadMatrix(from, format));
  const vector = (from: MatrixSource) => done(ops.loadVector(from));

  signal?.throwIfAborted();
  const embed = await matrix(sources.embed, plan(sources.embed, "embed", -1));
  const layers: DecoderLayer[] = [];
  for (const [i, s] of sources.layers.entries()) {
    const { attention, experts: own } = architecture.layers[i]!;
    const norms = s.qkNorm && { q: await vector(s.qkNorm.q), k: await vector(s.qkNorm.k), eps: architecture.eps };
    const { up, down } = expertShape(s, plan, i);
    const qkv: Matrix[] = [];
    const parts = joinedQkv(s, plan, i);
    for (const { source, format } of parts) qkv.push(await matrix(source, format));
    const o = plan(s.wo, "o", i);
    const lists = expertOrders(s.experts, up);
    const orders = {
      qkv: await loadOrder(ops, orderIn(parts[0]!.source, parts[0]!.format)),
      wo: await loadOrder(ops, orderIn(s.wo, o)),
      experts: lists && (await ops.loadOrder(lists, architecture.hidden)),
    };
    layers.push({
      attnNorm: await vector(s.attnNorm),
      qkv,
      attention: { ...attention, qkNorm: norms, sinks: null },
      wo: await matrix(s.wo, o),
      orders,
      ffnNorm: await vector(s.ffnNorm),
      router: {
        gate: await matrix(s.gate, FORMATS.f32),
        k: own.perToken,
        rule: own.rule,
        bias: s.gateBias && (await vector(s.gateBias)),
      },
      experts: experts ? experts(i, s.experts) : await done(ops.loadExperts(s.experts, up, down)),
    });
  }
  const norm = await vector(sources.norm);
  const { head } = sources;
  const headFormat = head && plan(head, "head", -1);
  return {
    architecture,
    embed,
    layers,
    norm,
    head: head ? await matrix(head, headFormat!) : embed,
    headOrder: head && (await loadOrder(ops, orderIn(head, headFormat!))),
  };
}
