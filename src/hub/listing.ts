// Which files of a repository a model needs: its weights in one form, and the small files beside
// them.

import { WeightsError } from "../errors.ts";
import { isGgufName, modelNames, partsOf } from "../weights/gguf/split.ts";
import { type ModelName, nameText } from "./name.ts";

/** A file of a repository. */
export interface ListedFile {
  /** Path in the repository, with "/". */
  readonly path: string;
  /** In bytes. */
  readonly size: number;
  /** What its contents are checked against; absent where only the local copy is known. */
  readonly digest?: Digest;
}

/** `git`: SHA-1 over "blob <size>\0" and the contents, as git names them. In hexadecimal digits. */
export interface Digest {
  readonly kind: "sha256" | "git";
  readonly hex: string;
}

/** What belongs to one model of a repository. */
export interface ModelFiles {
  /** The GGUF file to open (of a split model the first part); null: the folder. */
  readonly gguf: string | null;
  /** Every file that is needed, small ones first. */
  readonly files: readonly ListedFile[];
}

const SINGLE = "model.safetensors";
const INDEX = "model.safetensors.index.json";
/** The same default as llama.cpp's and Ollama's. */
const DEFAULT_TAG = "Q4_K_M";
/** Files beside the weights: configuration, tokenizer, chat templates. */
const SMALL = /^(?:[^/]+\.(?:json|jinja|model|tiktoken)|merges\.txt|additional_chat_templates\/[^/]+\.jinja)$/;
/** Of other weights in the same folder. */
const OTHERS = /\.(?:bin|pt|pth|msgpack|h5|onnx)\.index\.json$|^consolidated/;
/** GGUF files that are no language models: image encoders, importances. */
const NO_MODEL = /(?:^|[/._-])(?:mmproj|imatrix)(?:[/._-]|$)/i;
const LISTED = 12;

/** The bytes of all files. */
export function bytesOf(files: readonly ListedFile[]): number {
  return files.reduce((sum, { size }) => sum + size, 0);
}

/**
 * Chooses the files of a model: a GGUF file by its name or tag; else the safetensors that a folder
 * is opened by; else, in a repository of GGUF files, Q4_K_M or the only one.
 * @param readIndex the text of a file of the repository: of model.safetensors.index.json
 * @throws WeightsError saying what the repository holds instead
 */
export async function chooseFiles(
  name: ModelName,
  listing: readonly ListedFile[],
  readIndex: (file: ListedFile) => Promise<string>,
): Promise<ModelFiles> {
  const byPath = new Map(listing.map((file) => [file.path, file]));
  const folder = [SINGLE, INDEX].find((path) => byPath.has(path));
  if (name.file === undefined && name.tag === undefined && folder !== undefined) {
    const small = listing.filter(({ path }) => SMALL.test(path) && !OTHERS.test(path));
    const weights =
      folder === SINGLE ? [SINGLE] : shardsOf(await readIndex(byPath.get(INDEX)!), `${name.repo}: ${INDEX}`);
    return { gguf: null, files: [...small, ...filesAt(byPath, weights, name)] };
  }
  const gguf = chooseGguf(name, listing);
  return { gguf: partsOf(gguf)[0]!, files: filesAt(byPath, partsOf(gguf), name) };
}

/** @throws WeightsError if one is missing */
function filesAt(
  listing: ReadonlyMap<string, ListedFile>,
  paths: readonly string[],
  { repo }: ModelName,
): readonly ListedFile[] {
  return paths.map((path) => {
    const file = listing.get(path);
    if (file === undefined)
      throw new WeightsError(`${repo}: ${path} is a part of the model and is not in the repository`);
    return file;
  });
}

/** The files that an index names. @throws WeightsError if it is none */
function shardsOf(text: string, where: string): string[] {
  let map: unknown;
  try {
    map = (JSON.parse(text) as { weight_map?: unknown } | null)?.weight_map;
  } catch {
    // as below
  }
  const shards = new Set(typeof map === "object" && map !== null ? Object.values(map) : []);
  if (shards.size === 0 || ![...shards].every((shard) => typeof shard === "string"))
    throw new WeightsError(`${where}: expected an object "weight_map" from tensor names to file names`);
  return ([...shards] as string[]).sort();
}

function chooseGguf(name: ModelName, listing: readonly ListedFile[]): string {
  const models = modelNames(listing.map(({ path }) => path)).filter((path) => !NO_MODEL.test(path));
  const { file, tag } = name;
  if (file !== undefined) {
    if (listing.some(({ path }) => path === file && isGgufName(path))) return file;
    throw new WeightsError(`${name.repo} has no file ${file}; ${held(models, listing)}`);
  }
  const tagged = models.filter((path) => tagOf(path, tag ?? DEFAULT_TAG));
  if (tagged.length > 0) return shortest(tagged);
  if (tag === undefined && models.length === 1) return models[0]!;
  if (models.length === 0 && tag === undefined)
    throw new WeightsError(`${name.repo} holds neither GGUF files nor model.safetensors; ${held(models, listing)}`);
  const wanted = tag === undefined ? "several GGUF models; name one of them" : `no GGUF model for ${nameText(name)}`;
  throw new WeightsError(`${name.repo} holds ${wanted}; ${held(models, listing)}`);
}

/** Whether a file's name ends in a quantization's name, as llama.cpp matches them. */
function tagOf(path: string, tag: string): boolean {
  const stem = path.replace(/(?:-\d{5}-of-\d{5})?\.gguf$/i, "").toLowerCase();
  const end = tag.toLowerCase();
  // "_" is also inside of tags: K_M is no tag of Q4_K_M
  const before = /^(?:ud-)?(?:i?q\d|t?q\d|b?f16|f32|mxfp4)/.test(end) ? /[._/-]$/ : /[./-]$/;
  return stem.endsWith(end) && before.test(stem.slice(0, -end.length));
}

/** `Q4_K_M` also ends `UD-Q4_K_M`: the shortest name is the plain one. */
function shortest(paths: readonly string[]): string {
  return [...paths].sort((a, b) => a.length - b.length || (a < b ? -1 : 1))[0]!;
}

function held(models: readonly string[], listing: readonly ListedFile[]): string {
  const names = models.length > 0 ? models : listing.map(({ path }) => path);
  if (names.length === 0) return "it is empty";
  const more = names.length > LISTED ? ` and ${names.length - LISTED} more` : "";
  return `it holds ${names.slice(0, LISTED).join(", ")}${more}`;
}
