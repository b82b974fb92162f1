// A model as GGUF for llama.cpp: architecture "llama" with experts, as it has Mixtral; matrices in
// Q4_0, norms and router in f32.

import { FORMATS } from "../../kernels/formats/index.ts";
import type { Architecture, ModelSources } from "../../src/model/family.ts";
import { concatRows } from "../../src/model/sources.ts";
import { rowPlanes } from "../../src/tensor/format.ts";
import type { MatrixSource } from "../../src/tensor/types.ts";
import type { Gguf, GgufTensor, GgufValue } from "./gguf.ts";
import { quantizeQ4_0, repackQ4_0 } from "./q4_0.ts";
import { FIRST_WORD, word } from "./words.ts";

/** Weights converted at once. */
const PIECE = 2 ** 22;

/** Metadata and tensors. Weights are read only by the tensors' data(). */
export function decoderGguf(a: Architecture, { embed, norm, head, layers }: ModelSources): Gguf {
  const { heads, kvHeads, headDim } = a.layers[0]!.attention!;
  const q = heads * headDim;
  const kv = kvHeads * headDim;
  const tensors: GgufTensor[] = [matrix("token_embd.weight", embed), plain("output_norm.weight", norm)];
  if (head) tensors.push(matrix("output.weight", head)); // without it llama.cpp uses the embedding
  for (const [i, layer] of layers.entries()) {
    const p = `blk.${i}.`;
    const qkv = concatRows(`${p}qkv`, layer.qkv);
    tensors.push(
      plain(`${p}attn_norm.weight`, layer.attnNorm),
      matrix(`${p}attn_q.weight`, cut(qkv, 0, q), headDim),
      matrix(`${p}attn_k.weight`, cut(qkv, q, kv), headDim),
      matrix(`${p}attn_v.weight`, cut(qkv, q + kv, kv)),
      matrix(`${p}attn_output.weight`, layer.wo),
      plain(`${p}ffn_norm.weight`, layer.ffnNorm),
      plain(`${p}ffn_gate_inp.weight`, layer.gate!),
    );
    const names = { w1: "ffn_gate_exps", w2: "ffn_down_exps", w3: "ffn_up_exps" } as const;
    for (const w of ["w1", "w2", "w3"] as const) {
      const experts = layer.experts.map((expert) => expert[w]);
      tensors.push(stack(`${p}${names[w]}.weight`, experts));
    }
  }
  return { metadata: metadata(a), tensors };
}

/** The keys of a file whose tensors are those of decoderGguf(). */
export function metadata(a: Architecture): Record<string, GgufValue> {
  const tokens = vocabulary(a.vocab);
  const { attention, experts } = a.layers[0]!;
  return {
    "general.architecture": { text: "llama" },
    "general.name": { text: "mixtral" },
    "general.quantization_version": { u32: 2 },
    "llama.block_count": { u32: a.layers.length },
    "llama.context_length": { u32: a.context },
    "llama.embedding_length": { u32: a.hidden },
    "llama.feed_forward_length": { u32: experts!.intermediate },
    "llama.attention.head_count": { u32: attention!.heads },
    "llama.attention.head_count_kv": { u32: attention!.kvHeads },
    "llama.attention.key_length": { u32: attention!.headDim },
    "llama.attention.value_length": { u32: attention!.headDim },
    "llama.attention.layer_norm_rms_epsilon": { f32: a.eps },
    "llama.rope.dimension_count": { u32: attention!.headDim },
    "llama.rope.freq_base": { f32: a.config.rope_theta as number },
    "llama.expert_count": { u32: experts!.count },
    "llama.expert_used_count": { u32: experts!.perToken },
    "llama.vocab_size": { u32: a.vocab },
    "tokenizer.ggml.model": { text: "llama" },
    "tokenizer.ggml.bos_token_id": { u32: 1 },
    "tokenizer.ggml.eos_token_id": { u32: 2 },
    "tokenizer.ggml.add_bos_token": { bool: false },
    "tokenizer.ggml.add_space_prefix": { bool: false },
    "tokenizer.ggml.tokens": { texts: tokens.map(({ piece }) => piece) },
    "tokenizer.ggml.scores": { f32s: tokens.map((_, id) => -id) },
    "tokenizer.ggml.token_type": { i32s: tokens.map(({ kind }) => kind) },
  };
}

/**
 * Placeholder tokens of SentencePiece's types: only ids are used, but llama.cpp needs a vocabulary.
 */
function vocabulary(size: number): { readonly piece: string; readonly kind: number }[] {
  const [NORMAL, UNKNOWN, CONTROL, BYTE] = [1, 2, 3, 6];
  return Array.from({ length: size }, (_, id) => {
    if (id === 0) return { piece: "<unk>", kind: UNKNOWN };
    if (id < 3) return { piece: id === 1 ? "<s>" : "</s>", kind: CONTROL };
    if (id >= FIRST_WORD) return { piece: word(id), kind: NORMAL };
    const hex = (id - 3).toString(16).toUpperCase().padStart(2, "0");
    return { piece: `<0x${hex}>`, kind: BYTE };
  });
}

/** Rows first..first + rows - 1. */
interface Rows {
  readonly source: MatrixSource;
  readonly first: number;
  readonly rows: number;
}

const cut = (source: MatrixSource, first: number, rows: number): Rows => ({ source, first, rows });
const whole = (source: MatrixSource): Rows => cut(source, 0, source.rows);

/** A matrix in Q4_0. @param headDim given if its rows are heads that RoPE rotates */
function matrix(name: string, of: MatrixSource | Rows, headDim?: number): GgufTensor {
  const part = "source" in of ? of : whole(of);
  const { cols } = part.source;
  return { name, type: "q4_0", dims: [cols, part.rows], data: () => pieces(part, headDim) };
}

/** The same matrix of every expert, one after the other. */
function stack(name: string, experts: readonly MatrixSource[]): GgufTensor {
  const { rows, cols } = experts[0]!;
  return {
    name,
    type: "q4_0",
    dims: [cols, rows, experts.length],
    async *data() {
      for (const expert of experts) yield* pieces(whole(expert));
    },
  };
}

/** A vector, or a matrix that stays f32. */
function plain(name: string, source: MatrixSource): GgufTensor {
  const { rows, cols } = source;
  return {
    name,
    type: "f32",
    dims: rows === 1 ? [cols] : [cols, rows],
    async *data() {
      const values = new Float32Array(rows * cols);
      await source.readRows(0, rows, values);
      yield new Uint8Array(values.buffer);
    },
  };
}

async function* pieces({ source, first, rows }: Rows, headDim?: number): AsyncGenerator<Uint8Array> {
  const step = headDim ?? Math.max(1, Math.floor(PIECE / source.cols));
  for (let row = 0; row < rows; row += step) {
    const count = Math.min(step, rows - row);
    const piece = await q4_0(source, first + row, count);
    yield headDim === undefined ? piece : interleaveHead(piece, headDim);
  }
}

/** Rows in Q4_0: the source's own packed rows if it has them, else rounded as ggml does. */
async function q4_0(source: MatrixSource, first: number, count: number): Promise<Uint8Array> {
  if (source.cols % 32 !== 0)
    throw new Error(`${source.name}: Q4_0 needs rows of a multiple of 32 weights, found ${source.cols}`);
  const packed = rowPlanes(FORMATS.q4, count, source.cols);
  if (await source.readPlanes?.(FORMATS.q4, first, count, packed)) return repackQ4_0(packed);
  const values = new Float32Array(count * source.cols);
  await source.readRows(first, count, values);
  return quantizeQ4_0(values);
}

/** One head's rows: checkpoints rotate row i with i + headDim / 2, llama.cpp row 2i with 2i + 1. */
export function interleaveHead(rows: Uint8Array, headDim: number): Uint8Array {
  const bytes = rows.length / headDim;
  const half = headDim / 2;
  const out = new Uint8Array(rows.length);
  for (let i = 0; i < headDim; i++) {
    const to = i < half ? 2 * i : 2 * (i - half) + 1;
    out.set(rows.subarray(i * bytes, (i + 1) * bytes), to * bytes);
  }
  return out;
}
