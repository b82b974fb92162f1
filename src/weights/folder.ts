// A folder of weights as published on the model hub: config.json, one safetensors file or several
// with an index.

import { WeightsError } from "../errors.ts";
import { type Files, isPlainName, type Opened, readJson } from "./files.ts";
import { startsGguf } from "./gguf/container.ts";
import { openGguf, openGgufModel } from "./gguf/folder.ts";
import { isGgufName, modelNames } from "./gguf/split.ts";
import { HALF_WRITTEN, JOURNAL } from "./packed_folder.ts";
import { quantizedSource } from "./quantized/source.ts";
import { readSafetensorsHeader, type SafetensorsHeader } from "./safetensors.ts";
import { safetensorsSource } from "./source.ts";
import type { WeightsFolder } from "./weights_folder.ts";

export type { WeightsFolder } from "./weights_folder.ts";

/** The weights of a folder where they are one file. */
export const SINGLE = "model.safetensors";
const GENERATION_CONFIG = "generation_config.json";
/** Small files that are read of every folder but a GGUF file's, whether they exist or not. */
export const FOLDER_FILES: readonly string[] = ["config.json", GENERATION_CONFIG];
const INDEX = "model.safetensors.index.json";
const CONFIG_LIMIT = 4 * 2 ** 20;
const INDEX_LIMIT = 64 * 2 ** 20;
/** The most names in a message, before "and n more". */
const LISTED = 20;

/**
 * Opens a folder of weights: model.safetensors if it exists (as transformers does), else the index
 * and its shards; or a GGUF model, which is `file` or, without safetensors, the only one in the
 * folder.
 * @throws WeightsError for a missing or malformed file, a truncated shard, an index that disagrees
 * with its shards. The files are closed then.
 */
export async function openFolder(files: Files, file: string | null = null): Promise<WeightsFolder> {
  try {
    const gguf = await ggufName(files, file);
    if (gguf !== null) return await openGguf(files, gguf);
    files.size(SINGLE).catch(() => {}); // over a network it comes meanwhile
    const config = await readJson(files, "config.json", CONFIG_LIMIT);
    if (config === undefined && (await files.size(JOURNAL)) !== null)
      throw new WeightsError(`${files.label} ${HALF_WRITTEN}`);
    if (config === undefined)
      throw new WeightsError(`${files.label}: config.json is missing; ${await contents(files)}`);
    const generationConfig = await readJson(files, GENERATION_CONFIG, CONFIG_LIMIT);
    const { headers, index } = await readHeaders(files);
    const source = quantizedSource(safetensorsSource(files, headers, index), config, `${files.label}: config.json`);
    return { label: files.label, files, config, generationConfig, headers, source, close: () => files.close() };
  } catch (error) {
    await files.close();
    throw error;
  }
}

/**
 * The files of a tokenizer and of chats, whatever the weights are. Closing them closes `files`.
 * @throws WeightsError as ggufName() and for a malformed GGUF file. The files are closed then.
 */
export async function smallFilesOf({ files, file }: Opened): Promise<Files> {
  try {
    const gguf = await ggufName(files, file);
    return gguf === null ? files : (await openGgufModel(files, gguf)).files;
  } catch (error) {
    await files.close();
    throw error;
  }
}

/**
 * The GGUF file that is meant by a path: `file`, or the only model in a folder without safetensors;
 * null if the folder is to be read as one.
 * @throws WeightsError for a file of another kind, or several models
 */
export async function ggufName(files: Files, file: string | null): Promise<string | null> {
  if (file !== null) {
    if (await isGguf(files, file)) return file;
    throw new WeightsError(
      `${files.label}/${file}: expected a folder with config.json and safetensors files, or a GGUF file; found another file`,
    );
  }
  const names = await files.list();
  if (names.some((name) => name === SINGLE || name === INDEX)) return null;
  const models = modelNames(names);
  if (models.length === 1) return models[0]!;
  if (models.length > 1)
    throw new WeightsError(`${files.label} holds several GGUF models; open one of them: ${enumerate(models)}`);
  return names.length === 1 && (await isGguf(files, names[0]!)) ? names[0]! : null;
}

/** Whether a file is named as GGUF files are, or begins as they do. */
export async function isGguf(files: Files, name: string): Promise<boolean> {
  if (isGgufName(name)) return true;
  if (((await files.size(name)) ?? 0) < 4) return false;
  const start = new Uint8Array(4);
  await files.read(name, 0, start);
  return startsGguf(start);
}

interface Headers {
  readonly headers: readonly SafetensorsHeader[];
  /** Tensor name -> file name; absent if there is only one file. */
  readonly index?: ReadonlyMap<string, string>;
}

async function readHeaders(files: Files): Promise<Headers> {
  if ((await files.size(SINGLE)) !== null) return { headers: [await readSafetensorsHeader(files, SINGLE)] };
  const index = await readJson(files, INDEX, INDEX_LIMIT);
  if (index === undefined)
    throw new WeightsError(
      `${files.label}: neither ${SINGLE} nor ${INDEX} is there; weights are read from safetensors; ${await contents(files)}`,
    );
  const where = `${files.label}: ${INDEX}`;
  const weightMap = parseIndex(index, where);
  const shards = [...new Set(weightMap.values())].sort();
  const missing: string[] = [];
  for (const shard of shards) {
    if ((await files.size(shard)) === null) missing.push(shard);
    // an index may name any number, and in a page each is a request
    if (missing.length > LISTED) break;
  }
  if (missing.length > 0)
    throw new WeightsError(
      `${where} names files that are not there: ${missing.slice(0, LISTED).join(", ")}${missing.length > LISTED ? " and others" : ""}; download them`,
    );

  const headers = new Map<string, SafetensorsHeader>();
  for (const shard of shards) headers.set(shard, await readSafetensorsHeader(files, shard));
  const absent = [...weightMap].filter(([tensor, shard]) => !headers.get(shard)!.tensors.has(tensor));
  if (absent.length > 0)
    throw new WeightsError(
      `${where} names tensors that their files do not hold: ${enumerate(absent.map(([tensor, shard]) => `${tensor} (${shard})`))}`,
    );
  return { headers: [...headers.values()], index: weightMap };
}

/** Tensor name -> file name. */
function parseIndex(index: unknown, where: string): Map<string, string> {
  const map = isObject(index) ? index.weight_map : undefined;
  if (!isObject(map))
    throw new WeightsError(`${where}: expected an object "weight_map" from tensor names to file names, found none`);
  const weightMap = new Map<string, string>();
  for (const [tensor, file] of Object.entries(map)) {
    if (typeof file !== "string" || !isPlainName(file))
      throw new WeightsError(
        `${where}: tensor ${tensor}: expected the name of a file in this folder, found ${JSON.stringify(file)?.slice(0, 80)}`,
      );
    weightMap.set(tensor, file);
  }
  if (weightMap.size === 0) throw new WeightsError(`${where}: weight_map is empty`);
  return weightMap;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

async function contents(files: Files): Promise<string> {
  const names = [...(await files.list())].sort();
  return names.length === 0 ? "no files are listed" : `the folder holds ${enumerate(names)}`;
}

function enumerate(names: readonly string[]): string {
  const more = names.length > LISTED ? ` and ${names.length - LISTED} more` : "";
  return names.slice(0, LISTED).join(", ") + more;
}
