// A GGUF model as the folder that it was made of.

import { WeightsError } from "../../errors.ts";
import { type Files, readJson } from "../files.ts";
import type { FileHeader, WeightsFolder } from "../weights_folder.ts";
import { architectureOf, configOf } from "./config.ts";
import type { GgufHeader, GgufTensor } from "./container.ts";
import { MAX_ROPE_FACTORS } from "./limits.ts";
import { hubTensors, ROPE_FACTORS } from "./names.ts";
import { smallFiles, wordsNote } from "./small_files.ts";
import { ggufSource } from "./source.ts";
import { readParts } from "./split.ts";
import { VirtualFiles } from "./virtual_files.ts";

const CONFIG_LIMIT = 4 * 2 ** 20;

/** A GGUF model before its architecture is looked at. */
export interface GgufModel {
  /** Names it in messages. */
  readonly label: string;
  readonly headers: readonly GgufHeader[];
  /** The folder's small files, config.json among them, and nothing else. */
  readonly files: Files;
  /** config.json. @throws WeightsError for a model that cannot be run */
  config(): Promise<object>;
  /** The tensors. @throws WeightsError as config() */
  source(): Promise<WeightsFolder["source"]>;
}

/**
 * Opens a model's files; `name` may be any part of it. Only their fronts are read.
 * @throws WeightsError for a missing or malformed file
 */
export async function openGgufModel(files: Files, name: string): Promise<GgufModel> {
  const headers = await readParts(files, name);
  const { metadata } = headers[0]!;
  const label = `${files.label}/${headers[0]!.file}`;
  let opened: ReturnType<typeof bind> | null = null;
  const bound = (): ReturnType<typeof bind> => {
    opened ??= bind(label, files, headers);
    return opened;
  };
  const config = async (): Promise<object> => (await bound()).config;
  const small = new Map<string, () => Uint8Array | null | Promise<Uint8Array>>(smallFiles(metadata));
  small.set("config.json", async () => new TextEncoder().encode(`${JSON.stringify(await config(), null, 2)}\n`));
  return {
    label,
    headers,
    files: new VirtualFiles(label, files, small),
    config,
    source: async () => (await bound()).source,
  };
}

/**
 * Opens a model as a folder of weights; `name` may be any part of it.
 * @throws WeightsError for a missing or malformed file, an architecture or a key that is not
 * supported. The files are closed then.
 */
export async function openGguf(files: Files, name: string): Promise<WeightsFolder> {
  try {
    const model = await openGgufModel(files, name);
    const [config, source] = [await model.config(), await model.source()];
    return {
      label: model.label,
      files: model.files,
      config,
      generationConfig: await readJson(model.files, "generation_config.json", CONFIG_LIMIT),
      headers: model.headers.map(fileHeader),
      source,
      tokenizerNote: wordsNote(model.headers[0]!.metadata),
      close: () => files.close(),
    };
  } catch (error) {
    await files.close();
    throw error;
  }
}

/** A GGUF file's tensors in the terms of safetensors. */
function fileHeader({ file, bytes, tensors }: GgufHeader): FileHeader {
  const entries = [...tensors].map(([name, { type, shape, begin, end }]) => {
    return [name, { dtype: type.name, shape, begin, end }] as const;
  });
  return { file, bytes, tensors: new Map(entries) };
}

async function bind(label: string, files: Files, headers: readonly GgufHeader[]) {
  const { metadata } = headers[0]!;
  const architecture = architectureOf(metadata);
  const find = (name: string): { file: string; tensor: GgufTensor } | null => {
    for (const { file, tensors } of headers) {
      const tensor = tensors.get(name);
      if (tensor) return { file, tensor };
    }
    return null;
  };
  const factors = async (name: string): Promise<readonly number[] | null> => {
    const found = find(name);
    return found && readFactors(label, files, found.file, found.tensor);
  };
  const config = configOf(architecture, metadata, {
    tied: find("output.weight") === null,
    biased: find("blk.0.attn_q.bias") !== null || find("blk.0.attn_qkv.bias") !== null,
    headBiased: find("output.bias") !== null,
    normed: find("blk.0.attn_q_norm.weight") !== null,
    chosenByBias: headers.some(({ tensors }) => [...tensors.keys()].some((name) => /\.exp_probs_b\.bias$/.test(name))),
    quantized: headers.some(({ tensors }) => [...tensors.values()].some(({ type }) => type.elements > 1)),
    ropeFactors: {
      all: await factors(ROPE_FACTORS.all),
      short: await factors(ROPE_FACTORS.short),
      long: await factors(ROPE_FACTORS.long),
    },
  });
  const source = ggufSource(label, files, hubTensors(label, architecture, config, headers));
  return { config, source };
}

async function readFactors(label: string, files: Files, file: string, tensor: GgufTensor): Promise<number[]> {
  const { type, shape, begin } = tensor;
  if (type.name !== "F32" || shape.length !== 1 || shape[0]! > MAX_ROPE_FACTORS)
    throw new WeightsError(
      `${label}: tensor ${tensor.name}: expected F32 [at most ${MAX_ROPE_FACTORS}], found ${type.name} [${shape.join(", ")}]`,
    );
  const values = new Float32Array(shape[0]!);
  await files.read(file, begin, new Uint8Array(values.buffer));
  return [...values];
}
