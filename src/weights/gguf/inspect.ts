// What a GGUF model is, from the fronts of its files alone.

import { WeightsError } from "../../errors.ts";
import { panelLayout } from "../../tensor/format.ts";
import type { Files } from "../files.ts";
import type { ArchitectureReport, Describe } from "../inspect.ts";
import type { GgufTensor } from "./container.ts";
import { openGgufModel } from "./folder.ts";
import { type Metadata, Texts } from "./metadata.ts";
import { tokenizerNote, wordsNote } from "./small_files.ts";

/** All tensors of one type. */
export interface TypeTotal {
  /** As llama.cpp spells it. */
  readonly type: string;
  readonly tensors: number;
  readonly elements: number;
  readonly bytes: number;
  readonly bitsPerWeight: number;
  /** Bytes in memory, or null for a type that is not computed with. */
  readonly memory: number | null;
}

export interface GgufReport {
  readonly kind: "gguf";
  readonly path: string;
  readonly version: number;
  /** general.architecture, or null. */
  readonly name: string | null;
  /** null where `problem` stands in the way. */
  readonly architecture: ArchitectureReport | null;
  /** Why this model cannot be run, or null. */
  readonly problem: string | null;
  /** File names of the parts, in order. */
  readonly parts: readonly string[];
  /** Bytes of those files. */
  readonly bytes: number;
  /** The largest first. */
  readonly types: readonly TypeTotal[];
  /** "llama, 32000 tokens", or null. */
  readonly tokenizer: string | null;
  /** Why the vocabulary cannot be used, or may be read otherwise than it was meant; or null. */
  readonly tokenizerNote: string | null;
  /** Names of chat templates; the default one is "default". */
  readonly chatTemplates: readonly string[];
  /** In the files' order; `begin` and `end` count from the start of the file. */
  readonly tensors: readonly {
    readonly name: string;
    readonly file: string;
    readonly type: string;
    /** Slowest first. */
    readonly shape: readonly number[];
    readonly begin: number;
    readonly end: number;
  }[];
  /** Numbers, flags and short texts; of arrays what they hold. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Texts longer than this are cut in the report. */
const SHOWN = 200;

/**
 * Reports on a GGUF model, of which `name` is any part. A model that cannot be run is reported
 * with its `problem`.
 * @throws WeightsError if a file cannot be read
 */
export async function inspectGguf(files: Files, name: string, describe: Describe): Promise<GgufReport> {
  const { label, headers, config, source } = await openGgufModel(files, name);
  const { metadata, version } = headers[0]!;
  let architecture: ArchitectureReport | null = null;
  let problem: string | null = null;
  try {
    architecture = await describe(await config(), `${label}: config.json`, await source());
  } catch (error) {
    if (!(error instanceof WeightsError)) throw error;
    problem = error.message;
  }
  const tensors = headers.flatMap(({ file, tensors: own }) => [...own.values()].map((tensor) => ({ file, tensor })));
  const kind = metadata.raw("general.architecture")?.value;
  return {
    kind: "gguf",
    path: label,
    version,
    name: typeof kind === "string" ? kind : null,
    architecture,
    problem,
    parts: headers.map(({ file }) => file),
    bytes: headers.reduce((sum, { bytes }) => sum + bytes, 0),
    types: totals(tensors.map(({ tensor }) => tensor)),
    tokenizer: tokenizerOf(metadata),
    tokenizerNote: problem === null ? tokenizerNote(metadata) : wordsNote(metadata), // the first may take long
    chatTemplates: [...metadata.keys()].flatMap((key) => {
      const found = /^tokenizer\.chat_template(?:\.(.+))?$/.exec(key);
      return found ? [found[1] ?? "default"] : [];
    }),
    tensors: tensors.map(({ file, tensor: { name, type, shape, begin, end } }) => {
      return { name, file, type: type.name, shape, begin, end };
    }),
    metadata: Object.fromEntries([...metadata.keys()].map((key) => [key, shown(metadata, key)])),
  };
}

function totals(tensors: readonly GgufTensor[]): TypeTotal[] {
  const found = new Map<string, { tensors: number; elements: number; bytes: number; memory: number | null }>();
  for (const { type, shape, begin, end } of tensors) {
    const total = found.get(type.name) ?? { tensors: 0, elements: 0, bytes: 0, memory: 0 };
    const elements = shape.reduce((product, size) => product * size, 1);
    const cols = shape.at(-1) ?? 1;
    total.tensors += 1;
    total.elements += elements;
    total.bytes += end - begin;
    if (type.format === null) total.memory = null;
    // vectors and routers stay f32
    else if (total.memory !== null)
      total.memory += shape.length < 2 ? 4 * elements : panelLayout(type.format, elements / cols || 0, cols).bytes;
    found.set(type.name, total);
  }
  return [...found]
    .map(([type, total]) => ({ type, ...total, bitsPerWeight: (8 * total.bytes) / total.elements || 0 }))
    .sort((a, b) => b.bytes - a.bytes);
}

function tokenizerOf(metadata: Metadata): string | null {
  const tokens = metadata.raw("tokenizer.ggml.tokens")?.value;
  if (!(tokens instanceof Texts)) return null;
  const text = (key: string): string => {
    const value = metadata.raw(`tokenizer.ggml.${key}`)?.value;
    return typeof value === "string" ? value : "";
  };
  const names = [text("model") || "of no named kind", text("pre")].filter((name) => name !== "");
  return `${names.join(" ")}, ${tokens.length} tokens`;
}

function shown(metadata: Metadata, key: string): string {
  const found = metadata.raw(key)!;
  if (found.kind === "array") return `${found.value.length} ${found.element}`;
  if (found.value instanceof Uint8Array) return `${found.value.length} bytes`;
  const text = String(found.value);
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}... (${text.length} characters)` : text;
}
