// What a folder or a file of weights is, from its headers and small files alone.

import { WeightsError } from "../errors.ts";
import type { WeightSource } from "../tensor/types.ts";
import { type Files, readJson } from "./files.ts";
import { openFolder } from "./folder.ts";
import { packingText } from "./quantized/config.ts";
import { readSafetensorsHeader } from "./safetensors.ts";
import type { FileHeader } from "./weights_folder.ts";

const TOKENIZER_LIMIT = 64 * 2 ** 20;

/** What a model's configuration says of it. */
export interface ArchitectureReport {
  /** The checked fields of config.json. */
  readonly config: object;
  readonly parameters: { readonly total: number; readonly active: number };
  /** Bytes of all weights in memory in each format that is chosen automatically, or as stored. */
  readonly memory: Readonly<Record<string, number>>;
  /** Bytes of keys and values for one position, in f16, in layers that keep all positions. */
  readonly kvPerPosition: number;
  /** Positions that layers with a window see, and their bytes; absent: there are none. */
  readonly kvWindow?: { readonly positions: number; readonly bytes: number };
  /** The same bytes by the precision of keys and values (--kv): of a position, and of windows. */
  readonly kv: Readonly<Record<string, { readonly position: number; readonly windows: number }>>;
}

/**
 * Checks config.json and the tensors' names and shapes.
 * @throws WeightsError if they are not a model that runs.
 */
export type Describe = (
  config: unknown,
  where: string,
  source: WeightSource,
) => ArchitectureReport | Promise<ArchitectureReport>;

/** All tensors of one dtype. */
export interface DtypeTotal {
  readonly dtype: string;
  readonly tensors: number;
  readonly elements: number;
  readonly bytes: number;
}

export interface FolderReport {
  readonly kind: "folder";
  readonly path: string;
  /** null where `problem` stands in the way. */
  readonly architecture: ArchitectureReport | null;
  /** Why this model cannot be run, or null. */
  readonly problem: string | null;
  /** How matrices are quantized by others than hotset, such as "AWQ, 4 bits, groups of 128". */
  readonly quantized: string | null;
  /** Safetensors files. */
  readonly files: number;
  /** Bytes of those files. */
  readonly bytes: number;
  readonly dtypes: readonly DtypeTotal[];
  /** "tokenizer.json (BPE)", "tokenizer.model (SentencePiece)", or null. */
  readonly tokenizer: string | null;
  /** The file that holds the chat template, or null. */
  readonly chatTemplate: string | null;
}

export interface FileReport {
  readonly kind: "file";
  readonly path: string;
  readonly bytes: number;
  readonly dtypes: readonly DtypeTotal[];
  /** In the order of their bytes; `begin` and `end` count from the start of the file. */
  readonly tensors: readonly {
    readonly name: string;
    readonly dtype: string;
    readonly shape: readonly number[];
    readonly begin: number;
    readonly end: number;
  }[];
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Reports on a folder of weights. A model that cannot be run is reported with its `problem`.
 * @throws WeightsError if the folder or a file in it cannot be read.
 */
export async function inspectFolder(files: Files, describe: Describe): Promise<FolderReport> {
  const folder = await openFolder(files);
  try {
    let architecture: ArchitectureReport | null = null;
    let problem: string | null = null;
    try {
      architecture = await describe(folder.config, `${folder.label}: config.json`, folder.source);
    } catch (error) {
      if (!(error instanceof WeightsError)) throw error;
      problem = error.message;
    }
    return {
      kind: "folder",
      path: folder.label,
      architecture,
      problem,
      quantized: packingText(folder.config),
      files: folder.headers.length,
      bytes: folder.headers.reduce((sum, header) => sum + header.bytes, 0),
      dtypes: totals(folder.headers),
      tokenizer: await tokenizerKind(files),
      chatTemplate: await chatTemplate(files),
    };
  } finally {
    await folder.close();
  }
}

/** Reports on one safetensors file. @throws WeightsError saying what is wrong with it. */
export async function inspectFile(files: Files, name: string): Promise<FileReport> {
  const header = await readSafetensorsHeader(files, name);
  return {
    kind: "file",
    path: `${files.label}/${name}`,
    bytes: header.bytes,
    dtypes: totals([header]),
    tensors: [...header.tensors].map(([tensor, entry]) => ({ name: tensor, ...entry })),
    metadata: Object.fromEntries(header.metadata),
  };
}

/** By dtype, the largest first. */
function totals(headers: readonly FileHeader[]): DtypeTotal[] {
  const found = new Map<string, { tensors: number; elements: number; bytes: number }>();
  for (const { tensors } of headers) {
    for (const { dtype, shape, begin, end } of tensors.values()) {
      const total = found.get(dtype) ?? { tensors: 0, elements: 0, bytes: 0 };
      total.tensors += 1;
      total.elements += shape.reduce((product, size) => product * size, 1);
      total.bytes += end - begin;
      found.set(dtype, total);
    }
  }
  return [...found].map(([dtype, total]) => ({ dtype, ...total })).sort((a, b) => b.bytes - a.bytes);
}

async function tokenizerKind(files: Files): Promise<string | null> {
  const json = await readJson(files, "tokenizer.json", TOKENIZER_LIMIT);
  if (json !== undefined) {
    const { model } = (json ?? {}) as { model?: { type?: unknown } | null };
    return typeof model?.type === "string" ? `tokenizer.json (${model.type})` : "tokenizer.json";
  }
  return (await files.size("tokenizer.model")) === null ? null : "tokenizer.model (SentencePiece)";
}

async function chatTemplate(files: Files): Promise<string | null> {
  for (const name of ["chat_template.jinja", "chat_template.json"]) if ((await files.size(name)) !== null) return name;
  const config = await readJson(files, "tokenizer_config.json", TOKENIZER_LIMIT);
  const { chat_template } = (config ?? {}) as { chat_template?: unknown };
  return chat_template == null ? null : "tokenizer_config.json";
}
