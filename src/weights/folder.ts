// A folder of weights as published on the model hub: config.json, one safetensors file or several
// with an index.

import { WeightsError } from "../errors.ts";
import type { WeightSource } from "../tensor/types.ts";
import { type Files, isPlainName, readJson } from "./files.ts";
import { HALF_WRITTEN, JOURNAL } from "./packed_folder.ts";
import { readSafetensorsHeader, type SafetensorsHeader } from "./safetensors.ts";
import { safetensorsSource } from "./source.ts";

const SINGLE = "model.safetensors";
const INDEX = "model.safetensors.index.json";
const CONFIG_LIMIT = 4 * 2 ** 20;
const INDEX_LIMIT = 64 * 2 ** 20;
/** The most names in a message, before "and n more". */
const LISTED = 20;

/**
 * An open folder. Only config.json, generation_config.json, the index and the headers
 * have been read.
 */
export interface WeightsFolder {
  /** The folder's path, for messages. */
  readonly label: string;
  /** For the other files: readText(folder.files, "tokenizer.json", limit). */
  readonly files: Files;
  /** config.json as parsed; nothing in it has been checked. */
  readonly config: unknown;
  /** generation_config.json as parsed, or undefined if it does not exist. */
  readonly generationConfig: unknown;
  readonly headers: readonly SafetensorsHeader[];
  readonly source: WeightSource;
  close(): Promise<void>;
}

/**
 * Opens a folder of weights: model.safetensors if it exists (as transformers does), else the index
 * and its shards.
 * @throws WeightsError for a missing or malformed file, a truncated shard, an index that disagrees
 * with its shards. The files are closed then.
 */
export async function openFolder(files: Files): Promise<WeightsFolder> {
  try {
    const config = await readJson(files, "config.json", CONFIG_LIMIT);
    if (config === undefined && (await files.size(JOURNAL)) !== null)
      throw new WeightsError(`${files.label} ${HALF_WRITTEN}`);
    if (config === undefined)
      throw new WeightsError(`${files.label}: config.json is missing; ${await contents(files)}`);
    const generationConfig = await readJson(files, "generation_config.json", CONFIG_LIMIT);
    const { headers, index } = await readHeaders(files);
    const source = safetensorsSource(files, headers, index);
    return { label: files.label, files, config, generationConfig, headers, source, close: () => files.close() };
  } catch (error) {
    await files.close();
    throw error;
  }
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
