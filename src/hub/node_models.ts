// The models in the hub's cache on disk: listed and removed. Node only.

import { readFile, stat } from "node:fs/promises";
import { WeightsError } from "../errors.ts";
import { modelNames, partsOf } from "../weights/gguf/split.ts";
import { bytesOf, chooseFiles, type ListedFile } from "./listing.ts";
import { type ModelName, nameText, parseName } from "./name.ts";
import { RepoCache } from "./node_repo_cache.ts";
import { hubSettings } from "./node_settings.ts";

/** A model in the cache. */
export interface CachedModel {
  /** As a user types it: owner/name, or hf:owner/name/file.gguf. */
  readonly name: string;
  readonly commit: string;
  /** Branches and tags that stand for the commit. */
  readonly refs: readonly string[];
  /** What open() takes. */
  readonly path: string;
  readonly bytes: number;
  /** When the newest of its files came. */
  readonly modified: Date;
}

/** Every model that is there whole, by name. Other repositories in the cache are passed over. */
export async function cachedModels(): Promise<CachedModel[]> {
  const found: CachedModel[] = [];
  for (const repo of await RepoCache.all(hubSettings().cache)) {
    const refs = [...(await repo.refs())];
    for (const commit of await repo.commits()) {
      const listing = await repo.listing(commit);
      const own = refs.filter(([, of]) => of === commit).map(([ref]) => ref);
      for (const { path, files } of await modelsOf(repo, commit, listing)) {
        const times = await Promise.all(
          files.map(async (file) => (await stat(repo.pathOf(commit, file.path))).mtimeMs),
        );
        found.push({
          name: path === null ? repo.repo : nameText({ repo: repo.repo, file: path }),
          commit,
          refs: own,
          path: path === null ? repo.snapshot(commit) : repo.pathOf(commit, path),
          bytes: bytesOf(files),
          modified: new Date(Math.max(...times)),
        });
      }
    }
  }
  return found;
}

interface Found {
  /** The GGUF file to open; null: the folder. */
  readonly path: string | null;
  readonly files: readonly ListedFile[];
}

async function modelsOf(repo: RepoCache, commit: string, listing: readonly ListedFile[]): Promise<Found[]> {
  const models: Found[] = [];
  const whole = async (name: Omit<ModelName, "repo">): Promise<void> => {
    const read = (file: ListedFile) => readFile(repo.pathOf(commit, file.path), "utf8");
    try {
      const { gguf, files } = await chooseFiles({ repo: repo.repo, ...name }, listing, read);
      models.push({ path: gguf, files });
    } catch (error) {
      if (!(error instanceof WeightsError)) throw error; // parts are missing
    }
  };
  if (listing.some(({ path }) => /^model\.safetensors(\.index\.json)?$/.test(path))) await whole({});
  for (const file of modelNames(listing.map(({ path }) => path))) if (partsOf(file)[0] === file) await whole({ file });
  return models;
}

/** What removing a model would free. */
export interface Removal {
  readonly name: string;
  /** In bytes; what other models share is not counted. */
  readonly bytes: number;
  remove(): Promise<number>;
}

/**
 * Prepares to remove a model: with a file or a tag that GGUF model, with a revision its commit,
 * else all that there is of the repository, unfinished downloads included.
 * @throws WeightsError if there is nothing of it; RequestError for a text that is no name
 */
export async function prepareRemoval(text: string): Promise<Removal> {
  const name = parseName(text);
  const repo = name && new RepoCache(hubSettings().cache, name.repo);
  const bytes = (await repo?.bytes()) ?? 0;
  const commit = (await repo?.commitOf(name?.revision)) ?? null;
  if (name === null || repo === null || (bytes === 0 && commit === null))
    throw new WeightsError(`${text}: no such model is in ${hubSettings().cache}; \`hotset list\` shows those that are`);
  const { file, tag, revision } = name;
  if (file === undefined && tag === undefined && revision === undefined)
    return { name: repo.repo, bytes, remove: () => repo.removeAll() };
  if (commit === null) throw new WeightsError(`${text}: revision ${revision ?? "main"} was not downloaded`);
  const listing = await repo.listing(commit);
  // A GGUF model has no index to read.
  const files = file || tag ? (await chooseFiles(name, listing, async () => "")).files : listing;
  const paths = files.map(({ path }) => path);
  return {
    name: nameText(name),
    bytes: bytesOf(files),
    remove: () => repo.remove(commit, paths),
  };
}
