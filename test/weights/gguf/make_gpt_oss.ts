// The tensors of a gpt-oss folder with MXFP4 blocks, as llama.cpp's converter writes them.

import type { StoredTensor, WeightSource } from "../../../src/tensor/types.ts";
import type { MadeTensor } from "./make_gguf.ts";

const OUTER: Readonly<Record<string, string>> = {
  "model.embed_tokens.weight": "token_embd.weight",
  "model.norm.weight": "output_norm.weight",
  "lm_head.weight": "output.weight",
};
/** Parts of a layer that are written as they are, in F32. */
const PARTS: Readonly<Record<string, string>> = {
  "input_layernorm.weight": "attn_norm.weight",
  "post_attention_layernorm.weight": "post_attention_norm.weight",
  "self_attn.sinks": "attn_sinks.weight",
  "mlp.router.weight": "ffn_gate_inp.weight",
  "mlp.router.bias": "ffn_gate_inp.bias",
  "mlp.experts.down_proj_bias": "ffn_down_exps.bias",
};
const PROJECTIONS: Readonly<Record<string, string>> = { q: "attn_q", k: "attn_k", v: "attn_v", o: "attn_output" };
const [F32, MXFP4] = [0, 39];

export async function gptOssTensors(source: WeightSource): Promise<MadeTensor[]> {
  const tensors: MadeTensor[] = [];
  for (const name of source.names()) {
    const [, layer, part] = /^model\.layers\.(\d+)\.(.+)$/.exec(name) ?? [];
    const b = `blk.${layer}.`;
    const project = /^self_attn\.([qkvo])_proj\.(weight|bias)$/.exec(part ?? "");
    const known = OUTER[name] ?? (PARTS[part!] && b + PARTS[part!]);
    const experts = /^mlp\.experts\.(gate_up_proj|down_proj)\.weight$/.exec(part ?? "");
    if (project) tensors.push(await floats(source, name, `${b}${PROJECTIONS[project[1]!]}.${project[2]}`));
    else if (known) tensors.push(await floats(source, name, known));
    else if (experts?.[1] === "down_proj") tensors.push(await blocks(source, name, `${b}ffn_down_exps.weight`));
    else if (experts)
      for (const [side, kind] of ["gate", "up"].entries())
        tensors.push(await blocks(source, name, `${b}ffn_${kind}_exps.weight`, side, 2));
    else if (part === "mlp.experts.gate_up_proj_bias")
      for (const [side, kind] of ["gate", "up"].entries()) {
        const { dims, data, ...both } = await floats(source, name, `${b}ffn_${kind}_exps.bias`);
        const own = new Float32Array(data!.buffer as ArrayBuffer).filter((_, i) => i % 2 === side);
        tensors.push({ ...both, dims: [Number(dims[0]) / 2, dims[1]!], data: new Uint8Array(own.buffer) });
      }
    else throw new Error(`the converter has no name for ${name}`);
  }
  return tensors;
}

async function floats(source: WeightSource, from: string, name: string): Promise<MadeTensor> {
  const { rows, cols, readRows } = source.matrix(from);
  const data = new Float32Array(rows * cols);
  await readRows(0, rows, data);
  return { name, type: F32!, dims: source.shape(from).toReversed(), data: new Uint8Array(data.buffer) };
}

async function bytesOf(tensor: StoredTensor): Promise<Uint8Array> {
  const bytes = new Uint8Array(tensor.bytes);
  await tensor.read(0, bytes);
  return bytes;
}

/** Rows `side`, `side` + step, ... of blocks [E, rows, n, 16]: a scale, then codes i and i + 16. */
async function blocks(source: WeightSource, from: string, name: string, side = 0, step = 1): Promise<MadeTensor> {
  const base = from.replace(/\.weight$/, "");
  const stored = source.stored!(`${base}_blocks`);
  const [E, rows, n] = stored.shape as [number, number, number];
  const [codes, scales] = [await bytesOf(stored), await bytesOf(source.stored!(`${base}_scales`))];
  const data = new Uint8Array(((E * rows) / step) * n * 17);
  let at = 0;
  for (let row = side; row < E * rows; row += step)
    for (let block = row * n; block < (row + 1) * n; block++, at += 17) {
      data[at] = scales[block]!;
      const code = (i: number) => (codes[block * 16 + (i >> 1)]! >> (4 * (i & 1))) & 15;
      for (let i = 0; i < 16; i++) data[at + 1 + i] = code(i) | (code(i + 16) << 4);
    }
  return { name, type: MXFP4!, dims: [32 * n, rows / step, E], data };
}
