// `npm run bench -- cold`: the time from opening a model that does not fit its budget to the first
// token of a prompt, with nothing of it in the page cache.
//
//   cold make <file.gguf> [--layers 4] [--type q4_k_m]
//                                        a file of Mixtral 8x7B's shapes as llama.cpp's Q4_K_M has
//                                        them, or all in Q8_0 (q8_0, which llama.cpp computes from
//                                        the mapped file and does not rearrange); all bytes random
//                                        but for the blocks' scales
//   cold time <model> ... [--ram 12GiB] [--prompt 32] [--repeats 3]
//                                        several models take turns

import { spawnSync } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { RequestError } from "../src/errors.ts";
import { open } from "../src/index.ts";
import { readArchitecture } from "../src/model/families/index.ts";
import { toHalf } from "../src/tensor/half.ts";
import { parseSynthetic } from "../src/weights/synthetic.ts";
import { bytes, exitCode, oneOf, whole } from "./arguments.ts";
import { forget } from "./memory_limit.ts";
import { metadata } from "./peers/decoder_gguf.ts";
import { type GgufTensor, TENSOR_TYPES, writeGguf } from "./peers/gguf.ts";
import { median } from "./residency/bounds.ts";

const USAGE = `usage: npm run bench -- cold make <file.gguf> [--layers 4] [--type q4_k_m|q8_0]
       npm run bench -- cold time <model> ... [--ram 12GiB] [--prompt 32] [--repeats 3]`;

type Quantized = Exclude<GgufTensor["type"], "f32" | "q4_0">;

/** Where a block's f16 scales are, and what makes its weights about 0.02. */
const SCALES: Readonly<Record<Quantized, readonly (readonly [at: number, scale: number])[]>> = {
  q8_0: [[0, 2.7e-4]],
  q4_k: [
    [0, 1.5e-5],
    [2, 1.1e-4],
  ],
  q5_k: [
    [0, 7e-6],
    [2, 1.1e-4],
  ],
  q6_k: [[208, 1.5e-5]],
};
/** Bytes of blocks made at once. */
const PIECE = 4 * 2 ** 20;

export function coldCommand(args: readonly string[]): Promise<number> {
  return exitCode(USAGE, args, parse, async (work) => {
    await work();
    return 0;
  });
}

/** What the arguments ask for. */
function parse(args: readonly string[]): () => void | Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: {
      layers: { type: "string", default: "4" },
      type: { type: "string", default: "q4_k_m" },
      ram: { type: "string", default: "12GiB" },
      prompt: { type: "string", default: "32" },
      repeats: { type: "string", default: "3" },
    },
    allowPositionals: true,
  });
  const [what, ...paths] = positionals;
  const layers = whole("layers", values.layers);
  const type = oneOf("type", values.type, ["q4_k_m", "q8_0"]);
  const [ram, prompt] = [bytes("ram", values.ram), whole("prompt", values.prompt)];
  const repeats = whole("repeats", values.repeats);
  if (what === "make" && paths.length === 1) return () => make(paths[0]!, layers, type);
  if (what === "time" && paths.length > 0) return () => time(paths, ram, prompt, repeats);
  if (what === "once" && paths.length === 1)
    return async () => console.log(JSON.stringify(await firstToken(paths[0]!, ram, prompt)));
  throw new RequestError('expected "make" and a file, or "time" and models');
}

async function make(path: string, layers: number, mixture: "q4_k_m" | "q8_0"): Promise<void> {
  const of = (type: Quantized): Quantized => (mixture === "q8_0" ? "q8_0" : type);
  const url = `synthetic:mixtral-8x7b?layers=${layers}`;
  const a = readArchitecture(parseSynthetic(url).config, url);
  const { attention, experts } = a.layers[0]!;
  const [D, F, E] = [a.hidden, experts!.intermediate, experts!.count];
  const [q, kv] = [attention!.heads * attention!.headDim, attention!.kvHeads * attention!.headDim];
  const tensors: GgufTensor[] = [
    random("token_embd.weight", of("q4_k"), [D, a.vocab]),
    flat("output_norm.weight", [D], 1),
    random("output.weight", of("q6_k"), [D, a.vocab]),
  ];
  for (let i = 0; i < layers; i++) {
    const p = `blk.${i}.`;
    // The first and last eighth of the layers and every third have more bits.
    const more = i < layers / 8 || i >= (7 * layers) / 8 || (i - layers / 8) % 3 === 2;
    tensors.push(
      flat(`${p}attn_norm.weight`, [D], 1),
      flat(`${p}ffn_norm.weight`, [D], 1),
      flat(`${p}ffn_gate_inp.weight`, [D, E], null),
      random(`${p}attn_q.weight`, of("q4_k"), [D, q]),
      random(`${p}attn_k.weight`, of("q8_0"), [D, kv]),
      random(`${p}attn_v.weight`, of("q8_0"), [D, kv]),
      random(`${p}attn_output.weight`, of("q5_k"), [q, D]),
      random(`${p}ffn_gate_exps.weight`, of("q4_k"), [D, F, E]),
      random(`${p}ffn_up_exps.weight`, of("q4_k"), [D, F, E]),
      random(`${p}ffn_down_exps.weight`, of(more ? "q6_k" : "q4_k"), [F, D, E]),
    );
  }
  await writeGguf(path, { metadata: metadata(a), tensors });
  console.log(`${path}: ${layers} layers, ${(statSync(path).size / 1e9).toFixed(2)} GB`);
}

/** An f32 tensor of one value, or of small random ones. */
function flat(name: string, dims: readonly number[], value: number | null): GgufTensor {
  const values = new Float32Array(dims.reduce((a, b) => a * b, 1));
  for (let i = 0; i < values.length; i++) values[i] = value ?? Math.random() * 0.1 - 0.05;
  return {
    name,
    type: "f32",
    dims,
    async *data() {
      yield new Uint8Array(values.buffer);
    },
  };
}

function random(name: string, type: Quantized, dims: readonly number[]): GgufTensor {
  const { block, bytes } = TENSOR_TYPES[type];
  const blocks = dims.reduce((a, b) => a * b, 1) / block;
  return {
    name,
    type,
    dims,
    async *data() {
      const most = Math.floor(PIECE / bytes);
      for (let first = 0; first < blocks; first += most) {
        const piece = randomFillSync(new Uint8Array(Math.min(most, blocks - first) * bytes));
        const view = new DataView(piece.buffer);
        for (let at = 0; at < piece.length; at += bytes)
          for (const [offset, scale] of SCALES[type]) view.setUint16(at + offset, toHalf(scale), true);
        yield piece;
      }
    },
  };
}

interface First {
  readonly openMs: number;
  readonly firstTokenMs: number;
  readonly readBytes: number;
}

/** Opens the model and generates one token, in this process. */
async function firstToken(path: string, ram: number, prompt: number): Promise<First> {
  const started = performance.now();
  const model = await open(path, { backend: "cpu", ram, context: 512 });
  const openMs = performance.now() - started;
  const ids = Array.from({ length: prompt }, (_, i) => 300 + ((i * 7919) % 30_000));
  for await (const _ of model.session().generate(ids, { maxTokens: 1, temperature: 0, ignoreEos: true }));
  const firstTokenMs = performance.now() - started;
  const bytes = model.stats().experts?.main.bytes;
  await model.close();
  return { openMs, firstTokenMs, readBytes: bytes ? bytes.demand + bytes.prefetch + bytes.admission : 0 };
}

/** The models by turns, each time in a process of its own. */
function time(paths: readonly string[], ram: number, prompt: number, repeats: number): void {
  const runs = paths.map((): First[] => []);
  const script = fileURLToPath(new URL("run.js", import.meta.url));
  for (let i = 0; i < repeats; i++)
    for (const [p, path] of paths.entries()) {
      forget(filesOf(path));
      const args = [script, "cold", "once", path, "--ram", String(ram), "--prompt", String(prompt)];
      const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
      if (status !== 0) throw new Error(`${path}: ${stderr}`);
      const run = JSON.parse(stdout) as First;
      runs[p]!.push(run);
      console.log(
        `${path}: open ${seconds(run.openMs)}, first token ${seconds(run.firstTokenMs)}, experts read ${(run.readBytes / 1e9).toFixed(2)} GB`,
      );
    }
  for (const [p, path] of paths.entries())
    console.log(`${path}: median to the first token ${seconds(median(runs[p]!.map((run) => run.firstTokenMs)))}`);
}

/** A file, or a folder's files. */
function filesOf(path: string): string[] {
  return statSync(path).isDirectory() ? readdirSync(path).map((name) => join(path, name)) : [path];
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}
