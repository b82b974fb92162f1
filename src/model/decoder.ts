// The decoder: loads the weights of any architecture, and computes a forward pass.

import { FORMATS } from "../../kernels/formats/index.ts";
import type {
  Attention,
  Batch,
  ExpertRule,
  Experts,
  Ffn,
  InputOrder,
  KvStore,
  Matrix,
  Ops,
  Router,
  Routes,
  Vector,
} from "../backend/ops.ts";
import type { Format } from "../tensor/format.ts";
import type { MatrixSource, Tensor } from "../tensor/types.ts";
import type { Architecture, FfnBiases, FfnSource, ModelSources } from "./family.ts";
import { expertShape, type FormatPlan, ffnFormats, joinedQkv } from "./formats.ts";
import { expertOrders, inOrder, loadOrder, moveColumns, orderIn } from "./input_order.ts";
import { type LoadedLatent, loadLatent } from "./latent.ts";
import { type LoadedRecurrence, loadRecurrence, recur } from "./recurrence.ts";

/** A norm of rows: a LayerNorm has a bias, an RMS norm none. */
export interface Norm {
  readonly weight: Vector; // [D]
  readonly bias: Vector | null; // [D]
}

export interface DecoderLayer {
  readonly attnNorm: Norm;
  /**
   * [(H + 2 Hkv) Dh, D]: rows of q, then k, then v, in parts of whole heads; or the one that a
   * recurrence takes.
   */
  readonly qkv: readonly Matrix[];
  /** Null: the layer has a recurrence. */
  readonly attention: Attention | null;
  /** What makes q, k and v in place of `qkv` (src/model/mla.ts); null: there is no latent. */
  readonly latent: LoadedLatent | null;
  readonly recurrence: LoadedRecurrence | null;
  /** [H Dh, D]: of what the result is gated by, or null. */
  readonly outGate: Matrix | null;
  readonly wo: Matrix; // [D, H Dh], [D, H dv] with a latent
  readonly ffnNorm: Norm;
  /** Its gate [E, D] is always f32. Null, as experts are: a dense layer. */
  readonly router: Router | null;
  readonly experts: Experts | null;
  /** What every token takes: the dense layer, or the shared experts. */
  readonly ffn: Ffn | null;
  /** How qkv, wo, ffn and each expert's w1 and w3 take their inputs; null: as they are. */
  readonly orders: Readonly<Record<"qkv" | "outGate" | "wo" | "experts" | "ffn", InputOrder | null>>;
}

/** A model on a backend. */
export interface Decoder {
  readonly architecture: Architecture;
  readonly embed: Matrix; // [V, D]
  readonly layers: readonly DecoderLayer[];
  readonly norm: Norm;
  readonly head: Matrix; // [V, D]
  readonly headOrder: InputOrder | null;
}

/**
 * Called with the routes of each layer that has a router, counted from 0, during the step; for
 * evaluation and traces.
 */
export type RouteWatcher = (layer: number, routes: Routes) => Promise<void>;

/**
 * The result of a step for its output rows: logits [R, V], or the hidden states [R, D] before them.
 */
export type Output = "logits" | "hidden";

/**
 * One step: computes logits [R, V] for the batch's output rows, and appends keys and values of all
 * T tokens to `kv`. What follows keys and values in the last layer is computed for the output rows
 * only, from the experts on or, where the backend can, from attention on: nothing else reads it.
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
  const norm = (x: Tensor, { weight, bias }: Norm) =>
    bias ? ops.layerNorm(x, weight, bias, eps) : ops.rmsNorm(x, weight, eps);
  ops.begin(batch);
  let x = ops.embed(m.embed); // [T, D]
  const next = { router: 0, kv: 0, state: 0 }; // numbers of those that layers have
  for (const [i, layer] of m.layers.entries()) {
    const last = i === m.layers.length - 1;
    const h = norm(x, layer.attnNorm); // [T, D]
    let a: Tensor; // [T, H Dh]
    if (layer.attention) {
      const qkv = layer.latent
        ? latentQkv(ops, h, layer.latent, layer.attention) // [T, (H + 1) (dr + kv)]
        : ops.qkv(inOrder(ops, h, layer.orders.qkv), layer.qkv, layer.attention); // [T, (H + 2 Hkv) Dh], RoPE applied
      ops.append(kv, next.kv, qkv, layer.attention);
      a = ops.attention(kv, next.kv++, qkv, layer.attention, last && !layer.outGate ? "outputs" : undefined);
      if (layer.latent) a = ops.heads(a, layer.latent.expand); // [T, H kv] -> [T, H dv]
      const gate = layer.outGate && ops.matmul(inOrder(ops, h, layer.orders.outGate), layer.outGate);
      if (gate) a = ops.recurrent!.gate(a, gate);
    } else {
      a = recur(ops, kv.states!, next.state, layer, h); // or [T, Hv dv], or [T, D]
      next.state += layer.recurrence!.delta ? 2 : 1;
    }
    const few = a.shape[0]! < x.shape[0]!; // [R, ...]
    if (few) x = ops.rows(x);
    if (x.shape[0] === 0) return x;
    x = ops.add(x, ops.matmul(inOrder(ops, a, layer.orders.wo), layer.wo));
    if (last && !few) x = ops.rows(x); // [R, D]
    if (x.shape[0] === 0) return x;
    const g = norm(x, layer.ffnNorm);
    const outputs: Tensor[] = [];
    if (layer.router && layer.experts) {
      const routes = ops.route(g, layer.router, layer.orders.ffn ? null : layer.ffn); // [T, K]
      await watch?.(next.router++, routes);
      outputs.push(await ops.moe(g, routes, layer.experts, layer.orders.experts));
    }
    if (layer.ffn) outputs.push(ops.ffn(inOrder(ops, g, layer.orders.ffn), layer.ffn));
    for (const y of outputs) x = ops.add(x, y);
  }
  const h = norm(x, m.norm); // [R, D]
  return output === "hidden" ? h : ops.matmul(inOrder(ops, h, m.headOrder), m.head); // [R, V]
}

/** The queries and the key of multi-head latent attention. */
function latentQkv(ops: Ops, h: Tensor, latent: LoadedLatent, attention: Attention): Tensor {
  let q = ops.matmul(h, latent.q);
  if (latent.low) q = ops.matmul(ops.rmsNorm(q, latent.low.norm, latent.eps), latent.low.b); // [T, H (dn + dr)]
  return ops.latent(q, ops.matmul(h, latent.kv), latent, attention);
}

export interface LoadOptions {
  readonly plan: FormatPlan;
  /**
   * Returns the offloaded experts of a layer, counted among those that have a router; absent: all
   * experts are loaded.
   */
  readonly experts?: ((layer: number, rule?: ExpertRule) => Experts) | undefined;
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
  const heads = (from: readonly MatrixSource[], format: Format) => done(ops.loadHeads(from, format));
  const norm = async (from: MatrixSource): Promise<Norm> => {
    return { weight: await vector(from), bias: from.bias ? await vector(from.bias) : null };
  };

  const { activation, limit = 0 } = architecture;
  const ruleOf = async (biases: FfnBiases | undefined): Promise<ExpertRule | undefined> => {
    const added = biases ? { up: await vector(biases.up), down: await vector(biases.down) } : null;
    return activation === "silu" && !added ? undefined : { activation, limit, biases: added };
  };

  const ffn = async (from: FfnSource, layer: number): Promise<Ffn> => {
    const { up, down } = ffnFormats(from, plan, layer);
    const order = orderIn(from.w1, up); // in which the gate gets its inputs too
    const gate = from.gate && (await matrix(order ? moveColumns(from.gate, order) : from.gate, FORMATS.f32));
    return done(ops.loadFfn(from, gate, up, down, await ruleOf(from.biases)));
  };

  let sparse = 0; // layers with experts so far
  signal?.throwIfAborted();
  const embed = await matrix(sources.embed, plan(sources.embed, "embed", -1));
  const layers: DecoderLayer[] = [];
  for (const [i, s] of sources.layers.entries()) {
    const { attention, recurrence, experts: own } = architecture.layers[i]!;
    const norms = s.qkNorm && { q: await vector(s.qkNorm.q), k: await vector(s.qkNorm.k), eps: architecture.eps };
    const shape = own && expertShape(s, plan, i);
    const qkv: Matrix[] = [];
    const parts = joinedQkv(s, plan, i);
    for (const { source, format } of parts) qkv.push(await matrix(source, format));
    const o = plan(s.wo, "o", i);
    const outGate = s.outGate && { source: s.outGate, format: plan(s.outGate, "outGate", i) };
    const lists = shape && expertOrders(s.experts, shape.up);
    const orders = {
      qkv: await loadOrder(ops, parts[0] && orderIn(parts[0].source, parts[0].format)),
      outGate: await loadOrder(ops, outGate && orderIn(outGate.source, outGate.format)),
      wo: await loadOrder(ops, orderIn(s.wo, o)),
      experts: lists && (await ops.loadOrder(lists, architecture.hidden)),
      ffn: await loadOrder(ops, s.ffn ? orderIn(s.ffn.w1, ffnFormats(s.ffn, plan, i).up) : undefined),
    };
    const rule = own ? await ruleOf(s.expertBiases) : undefined;
    layers.push({
      attnNorm: await norm(s.attnNorm),
      qkv,
      attention: attention && { ...attention, qkNorm: norms, sinks: s.sinks ? await vector(s.sinks) : null },
      latent: s.latent ? await loadLatent(s.latent, plan, i, { matrix, heads, vector }) : null,
      recurrence: recurrence ? await loadRecurrence(recurrence, s.recurrence!, architecture, { matrix, vector }) : null,
      outGate: outGate ? await matrix(outGate.source, outGate.format) : null,
      wo: await matrix(s.wo, o),
      orders,
      ffnNorm: await norm(s.ffnNorm),
      router: own && {
        gate: await matrix(s.gate!, FORMATS.f32),
        k: own.perToken,
        rule: own.rule,
        bias: s.gateBias && (await vector(s.gateBias)),
      },
      experts:
        shape && (experts?.(sparse++, rule) ?? (await done(ops.loadExperts(s.experts, shape.up, shape.down, rule)))),
      ffn: s.ffn && (await ffn(s.ffn, i)),
    });
  }
  const last = await norm(sources.norm);
  const { head } = sources;
  const headFormat = head && plan(head, "head", -1);
  return {
    architecture,
    embed,
    layers,
    norm: last,
    head: head ? await matrix(head, headFormat!) : embed,
    headOrder: head && (await loadOrder(ops, orderIn(head, headFormat!))),
  };
}
