// The models in a folder of models: folders of weights and GGUF files, by name. Node only.

import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { WeightsError } from "../errors.ts";
import { modelNames } from "./gguf/split.ts";

/** A model on disk. */
export interface FoundModel {
  /** Its path in the folder of models, without ".gguf" and the number of a part. */
  readonly name: string;
  /** What open() takes. */
  readonly path: string;
}

/** Publisher, repository, file: as downloads are usually sorted. */
const DEEPEST = 3;
const MOST_MODELS = 1000;
/** GGUF files that are no language models: image encoders, importances. */
const NO_MODEL = /(?:^|[._-])(?:mmproj|imatrix)(?:[._-]|$)/i;

/**
 * The models under `folder`, by name: each folder with a config.json, and each GGUF file, a split
 * one once. A folder that holds one GGUF model and nothing else gives it its name. Hidden folders
 * are passed over.
 * @throws WeightsError if it cannot be read, or holds more than 1,000 models
 */
export async function modelsIn(folder: string): Promise<FoundModel[]> {
  const found = await modelsUnder(folder, "", 0);
  if (found.length > MOST_MODELS)
    throw new WeightsError(`${folder}: expected a folder of at most ${MOST_MODELS} models, found ${found.length}`);
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** @param inside path from `folder`, with "/" */
async function modelsUnder(folder: string, inside: string, depth: number): Promise<FoundModel[]> {
  const here = join(folder, inside);
  const { files, folders } = await entriesOf(here).catch((error: unknown): Entries => {
    if (depth === 0) throw error;
    return { files: [], folders: [] }; // as lost+found, which is root's
  });
  if (depth > 0 && files.includes("config.json")) return [{ name: inside, path: here }];
  const within = (name: string): string => (inside === "" ? name : `${inside}/${name}`);
  const models = modelNames(files).filter((name) => !NO_MODEL.test(name));
  if (depth > 0 && models.length === 1 && folders.length === 0) return [{ name: inside, path: join(here, models[0]!) }];
  const found = models.map((file) => ({ name: within(stemOf(file)), path: join(here, file) }));
  if (depth === DEEPEST) return found;
  for (const name of folders) {
    if (found.length > MOST_MODELS) break;
    found.push(...(await modelsUnder(folder, within(name), depth + 1)));
  }
  return found;
}

interface Entries {
  readonly files: readonly string[];
  readonly folders: readonly string[];
}

/** Names of files and of folders that are not hidden; links are followed. */
async function entriesOf(folder: string): Promise<Entries> {
  const files: string[] = [];
  const folders: string[] = [];
  try {
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      if (entry.name.startsWith(".")) continue;
      const kind = entry.isSymbolicLink() ? await stat(join(folder, entry.name)).catch(() => null) : entry;
      if (kind?.isDirectory()) folders.push(entry.name);
      else if (kind?.isFile()) files.push(entry.name);
    }
  } catch (error) {
    throw new WeightsError(`${folder}: expected a folder of models: ${(error as Error).message}`, { cause: error });
  }
  return { files, folders: folders.sort() };
}

function stemOf(file: string): string {
  return file.replace(/(?:-\d{5}-of-\d{5})?\.gguf$/i, "");
}
