// Mixtral: its tensors by name, their loading onto a backend, and the forward pass.
//
// Semantics are those of transformers' modeling_mixtral.py (checkpoints of the model hub): RoPE rotates the two halves
// of a head (i, i + Dh/2), not interleaved pairs; the router is softmax over all experts, top k, renormalised.

import { FORMATS } from "../../kernels/formats/index.ts";
import type {
  Attention,
  Batch,
  Experts,
  KvGeometry,
  KvStore,
  Matrix,
  Ops,
  Router,
  Routes,
  Vector,
} from "../backend/ops.ts";
import { WeightsError } from "../errors.ts";
import { type Format, rowsOfPlanes } from "../tensor/format.ts";
import type { ExpertSource, MatrixSource, Tensor, WeightSource } from "../tensor/types.ts";
import type { MixtralConfig } from "./mixtral_config.ts";
import { bindStored } from "./mixtral_stored.ts";
import { defaultRope } from "./rope.ts";

export interface MixtralLayer {
  readonly attnNorm: Vector; // [D]
  readonly qkv: Matrix; // [(H + 2 Hkv) Dh, D]
  readonly attention: Attention;
  readonly wo: Matrix; // [D, H Dh]
  readonly ffnNorm: Vector; // [D]
  readonly router: Router; // its gate [E, D] is always f32
  readonly experts: Experts;
}

export interface Mixtral {
  readonly config: MixtralConfig;
  readonly kv: KvGeometry;
  readonly embed: Matrix; // [V, D]
  readonly layers: readonly MixtralLayer[];
  readonly norm: Vector; // [D]
  readonly head: Matrix; // [V, D]
}

/** Called with each layer's routes while the step is open; for evaluation and traces. */
export type RouteWatcher = (layer: number, routes: Routes) => Promise<void>;

/** What a step gives for its output rows: logits [R, V], or the hidden states [R, D] that they are computed from. */
export type Output = "logits" | "hidden";

/**
 * One step: logits [R, V] for the batch's output rows, keys and values of all T tokens appended to `kv`.
 * The last layer's expert FFN runs only for rows whose logits are wanted: nothing else reads it.
 */
export async function forward(
  ops: Ops,
  m: Mixtral,
  kv: KvStore,
  batch: Batch | "next",
  watch?: RouteWatcher,
  output: Output = "logits",
): Promise<Tensor> {
  const { rms_norm_eps: eps } = m.config;
  ops.begin(batch);
  let x = ops.embed(m.embed); // [T, D]
  for (const [i, layer] of m.layers.entries()) {
    const h = ops.rmsNorm(x, layer.attnNorm, eps); // [T, D]
    const qkv = ops.qkv(h, layer.qkv, layer.attention); // [T, (H + 2 Hkv) Dh], RoPE applied
    ops.append(kv, i, qkv, layer.attention);
    const a = ops.attention(kv, i, qkv, layer.attention); // [T, H Dh]
    x = ops.add(x, ops.matmul(a, layer.wo));
    if (i === m.layers.length - 1) x = ops.rows(x); // [R, D]
    if (x.shape[0] === 0) return x;
    const g = ops.rmsNorm(x, layer.ffnNorm, eps);
    const routes = ops.route(g, layer.router); // [T, K]
    await watch?.(i, routes);
    x = ops.add(x, await ops.moe(g, routes, layer.experts));
  }
  const h = ops.rmsNorm(x, m.norm, eps); // [R, D]
  return output === "hidden" ? h : ops.matmul(h, m.head); // [R, V]
}

/** Where each tensor of the model is read from: this file and mixtral_stored.ts are the places that know names. */
export interface MixtralSources {
  readonly embed: MatrixSource;
  readonly norm: MatrixSource;
  readonly head: MatrixSource | null; // null: tied to embed
  readonly layers: readonly {
    readonly attnNorm: MatrixSource;
    readonly qkv: MatrixSource;
    readonly wo: MatrixSource;
    readonly ffnNorm: MatrixSource;
    readonly gate: MatrixSource;
    readonly experts: readonly ExpertSource[];
  }[];
}

/**
 * Binds the checkpoint's tensors to the model's fields and checks every shape against config.json.
 * Reads two expert layouts: one tensor a matrix (`block_sparse_moe.experts.E.w1.weight`) and transformers v5's fused
 * `mlp.experts.gate_up_proj` [E, 2F, D] (rows 0..F-1 are w1, F..2F-1 are w3) and `down_proj` [E, D, F]; and what
 * `hotset quantize` writes.
 * @throws WeightsError for a missing, an extra or a wrongly shaped tensor
 */
export function bindMixtral(c: MixtralConfig, source: WeightSource): MixtralSources {
  const { hidden_size: D, intermediate_size: F, num_local_experts: E } = c;
  const q = c.num_attention_heads * c.head_dim;
  const kv = c.num_key_value_heads * c.head_dim;
  const used = new Set<string>();
  const check = (name: string, shape: readonly number[]): void => {
    used.add(name);
    const found = source.has(name) ? source.shape(name) : missing(source, name, shape);
    if (found.length !== shape.length || found.some((size, i) => size !== shape[i])) {
      throw new WeightsError(
        `${source.label}: tensor ${name}: config.json asks for shape [${shape}], the file has [${found}]; one of the two is wrong`,
      );
    }
  };
  const take = (name: string, ...shape: number[]): MatrixSource => {
    check(name, shape);
    return source.matrix(name);
  };
  if (c.stored !== null) {
    const sources = bindStored(c, FORMATS[c.stored], source, check);
    refuseExtra(source, used, false);
    return sources;
  }
  const vector = (name: string): MatrixSource => take(name, D);

  const layers = Array.from({ length: c.num_hidden_layers }, (_, i) => {
    const p = `model.layers.${i}.`;
    const fused = source.has(`${p}mlp.experts.gate_up_proj`);
    const moe = fused || source.has(`${p}mlp.gate.weight`) ? `${p}mlp.` : `${p}block_sparse_moe.`;
    const attention = [
      take(`${p}self_attn.q_proj.weight`, q, D),
      take(`${p}self_attn.k_proj.weight`, kv, D),
      take(`${p}self_attn.v_proj.weight`, kv, D),
    ];
    if (fused) {
      take(`${moe}experts.gate_up_proj`, E, 2 * F, D);
      take(`${moe}experts.down_proj`, E, D, F);
    }
    return {
      attnNorm: vector(`${p}input_layernorm.weight`),
      qkv: concatRows(`${p}self_attn.{q,k,v}_proj.weight`, attention),
      wo: take(`${p}self_attn.o_proj.weight`, D, q),
      ffnNorm: vector(`${p}post_attention_layernorm.weight`),
      gate: take(`${moe}gate.weight`, E, D),
      experts: Array.from({ length: E }, (_, e): ExpertSource => {
        if (fused) {
          return {
            w1: source.matrix(`${moe}experts.gate_up_proj`, e * 2 * F, F),
            w3: source.matrix(`${moe}experts.gate_up_proj`, (e * 2 + 1) * F, F),
            w2: source.matrix(`${moe}experts.down_proj`, e * D, D),
          };
        }
        return {
          w1: take(`${moe}experts.${e}.w1.weight`, F, D),
          w3: take(`${moe}experts.${e}.w3.weight`, F, D),
          w2: take(`${moe}experts.${e}.w2.weight`, D, F),
        };
      }),
    };
  });
  const embed = take("model.embed_tokens.weight", c.vocab_size, D);
  const norm = vector("model.norm.weight");
  const head = c.tie_word_embeddings ? null : take("lm_head.weight", c.vocab_size, D);
  refuseExtra(source, used, c.tie_word_embeddings);
  return { embed, norm, head, layers };
}

function missing(source: WeightSource, name: string, shape: readonly number[]): never {
  throw new WeightsError(
    `${source.label}: tensor ${name} [${shape}] is missing; the checkpoint is incomplete or not a Mixtral`,
  );
}

/** Unknown tensors mean that the model computes something that this file does not: refuse rather than guess. */
function refuseExtra(source: WeightSource, used: ReadonlySet<string>, tied: boolean): void {
  // Old checkpoints store RoPE's inverse frequencies; a tied one may repeat the embedding as lm_head.
  const harmless = (name: string) => name.endsWith(".rotary_emb.inv_freq") || (tied && name === "lm_head.weight");
  const extra: string[] = [];
  for (const name of source.names()) if (!used.has(name) && !harmless(name)) extra.push(name);
  if (extra.length > 0) {
    const more = extra.length > 3 ? ` and ${extra.length - 3} more` : "";
    throw new WeightsError(
      `${source.label}: tensors that config.json does not ask for: ${extra.slice(0, 3).join(", ")}${more}; the configuration and the weights disagree`,
    );
  }
}

/** Matrices of equal width on top of each other, read as one. */
function concatRows(name: string, parts: readonly MatrixSource[]): MatrixSource {
  const cols = parts[0]!.cols;
  /** Calls `use` for each part that overlaps rows first..first+count-1, with the part's own range and the offset in the result. */
  async function each(
    first: number,
    count: number,
    use: (part: MatrixSource, from: number, rows: number, at: number) => Promise<boolean>,
  ): Promise<boolean> {
    let start = 0;
    let all = true;
    for (const part of parts) {
      const from = Math.max(first, start);
      const to = Math.min(first + count, start + part.rows);
      if (from < to) all = (await use(part, from - start, to - from, from - first)) && all;
      start += part.rows;
    }
    return all;
  }
  return {
    name,
    rows: parts.reduce((sum, part) => sum + part.rows, 0),
    cols,
    async readRows(first, count, into) {
      await each(first, count, async (part, from, rows, at) => {
        await part.readRows(from, rows, into.subarray(at * cols, (at + rows) * cols));
        return true;
      });
    },
    async readPlanes(format, first, count, planes) {
      return each(first, count, async (part, from, rows, at) => {
        const own = rowsOfPlanes(planes, count, at, rows);
        return (await part.readPlanes?.(format, from, rows, own)) ?? false;
      });
    },
  };
}

export interface LoadOptions {
  /** What matrices are held in, but for those that are stored in a format of their own. */
  readonly format: Format;
  /** Where a layer's experts are, if they are not to be loaded whole. */
  readonly experts?: ((layer: number, sources: readonly ExpertSource[]) => Experts) | undefined;
  /** Called after each matrix with the bytes it takes on the backend. */
  readonly onLoaded?: (bytes: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/** What w1 and w3, and w2, of a layer's experts are held in. */
function expertFormats([first]: readonly ExpertSource[], format: Format): readonly [Format, Format] {
  return [first?.w1.format ?? format, first?.w2.format ?? format];
}

/** Reads, packs and places every weight on the backend, one matrix after the other. */
export async function loadMixtral(
  ops: Ops,
  config: MixtralConfig,
  sources: MixtralSources,
  { format, experts, onLoaded, signal }: LoadOptions,
): Promise<Mixtral> {
  const done = async <T extends { readonly bytes: number }>(loading: Promise<T>): Promise<T> => {
    const loaded = await loading;
    signal?.throwIfAborted();
    onLoaded?.(loaded.bytes);
    return loaded;
  };
  const matrix = (from: MatrixSource, wanted = format) => done(ops.loadMatrix(from, from.format ?? wanted));
  const vector = (from: MatrixSource) => done(ops.loadVector(from));

  signal?.throwIfAborted();
  const { num_attention_heads: heads, num_key_value_heads: kvHeads, head_dim: headDim } = config;
  const attention: Attention = {
    heads,
    kvHeads,
    headDim,
    scale: 1 / Math.sqrt(headDim),
    window: config.sliding_window,
    rope: defaultRope(config.rope_theta, headDim),
    qkNorm: null,
  };
  const embed = await matrix(sources.embed);
  const layers: MixtralLayer[] = [];
  for (const [i, s] of sources.layers.entries()) {
    layers.push({
      attnNorm: await vector(s.attnNorm),
      qkv: await matrix(s.qkv),
      attention,
      wo: await matrix(s.wo),
      ffnNorm: await vector(s.ffnNorm),
      router: { gate: await matrix(s.gate, FORMATS.f32), k: config.num_experts_per_tok, normalize: true },
      experts: experts
        ? experts(i, s.experts)
        : await done(ops.loadExperts(s.experts, ...expertFormats(s.experts, format))),
    });
  }
  return {
    config,
    kv: { layers: layers.length, kvHeads, headDim },
    embed,
    layers,
    norm: await vector(sources.norm),
    head: sources.head === null ? embed : await matrix(sources.head),
  };
}
