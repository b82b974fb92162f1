// Which models a cache holds whole, from the files of a commit.

import { WeightsError } from "../errors.ts";
import { modelNames, partsOf } from "../weights/gguf/split.ts";
import { chooseFiles, type ListedFile, type ModelFiles } from "./listing.ts";
import { type ModelName, nameText } from "./name.ts";

/** A model in the cache. */
export interface CachedModel {
  /** As a user types it: owner/name, or hf:owner/name/file.gguf. */
  readonly name: string;
  /** The commit of the repository. */
  readonly commit: string;
  /** Branches and tags that stand for the commit. */
  readonly refs: readonly string[];
  /** What open() takes. */
  readonly path: string;
  /** Of all its files. */
  readonly bytes: number;
  /** When the newest of its files came. */
  readonly modified: Date;
}

/** What removing a model would free. */
export interface Removal {
  /** What would be removed. */
  readonly name: string;
  /** In bytes; what other models share is not counted. */
  readonly bytes: number;
  /** Removes it. Returns the bytes that became free. */
  remove(): Promise<number>;
}

export interface WholeModel extends ModelFiles {
  /** As CachedModel has it. */
  readonly name: string;
}

/**
 * The models whose files are all in a listing of what is there.
 * @param read the text of a file: of model.safetensors.index.json
 */
export async function wholeModels(
  repo: string,
  listing: readonly ListedFile[],
  read: (file: ListedFile) => Promise<string>,
): Promise<WholeModel[]> {
  const models: WholeModel[] = [];
  const take = async (name: Omit<ModelName, "repo">): Promise<void> => {
    try {
      const files = await chooseFiles({ repo, ...name }, listing, read);
      models.push({ ...files, name: files.gguf === null ? repo : nameText({ repo, file: files.gguf }) });
    } catch (error) {
      if (!(error instanceof WeightsError)) throw error; // parts are missing
    }
  };
  if (listing.some(({ path }) => /^model\.safetensors(\.index\.json)?$/.test(path))) await take({});
  for (const file of modelNames(listing.map(({ path }) => path))) if (partsOf(file)[0] === file) await take({ file });
  return models;
}
