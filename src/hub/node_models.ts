// The models in the hub's cache on disk: listed and removed. Node only.

import { readFile, stat } from "node:fs/promises";
import { WeightsError } from "../errors.ts";
import { bytesOf, chooseFiles } from "./listing.ts";
import { type CachedModel, type Removal, wholeModels } from "./models.ts";
import { nameText, parseName } from "./name.ts";
import { RepoCache, writing } from "./node_repo_cache.ts";
import { hubSettings } from "./node_settings.ts";

/** Every model that is there whole, by name. Other repositories in the cache are passed over. */
export async function cachedModels(): Promise<CachedModel[]> {
  const found: CachedModel[] = [];
  for (const repo of await RepoCache.all(hubSettings().cache)) {
    const refs = [...(await repo.refs())];
    for (const commit of await repo.commits()) {
      const listing = await repo.listing(commit);
      const own = refs.filter(([, of]) => of === commit).map(([ref]) => ref);
      const read = ({ path }: { path: string }) => readFile(repo.pathOf(commit, path), "utf8");
      for (const { name, gguf, files } of await wholeModels(repo.repo, listing, read)) {
        const times = await Promise.all(
          files.map(async (file) => (await stat(repo.pathOf(commit, file.path)).catch(() => null))?.mtimeMs ?? 0),
        );
        found.push({
          name,
          commit,
          refs: own,
          path: gguf === null ? repo.snapshot(commit) : repo.pathOf(commit, gguf),
          bytes: bytesOf(files),
          modified: new Date(Math.max(...times)),
        });
      }
    }
  }
  return found;
}

/**
 * Prepares to remove a model: with a file or a tag that GGUF model, with a revision its commit,
 * else all that there is of the repository, unfinished downloads included.
 * @throws WeightsError if there is nothing of it; RequestError for a text that is no name
 */
export async function prepareRemoval(text: string): Promise<Removal> {
  const name = parseName(text);
  const { cache } = hubSettings();
  const repo = name && new RepoCache(cache, name.repo);
  const bytes = (await repo?.bytes()) ?? 0;
  const commit = (await repo?.commitOf(name?.revision)) ?? null;
  if (name === null || repo === null || (bytes === 0 && commit === null))
    throw new WeightsError(`${text}: no such model is in ${cache}; \`hotset list\` shows those that are`);
  const { file, tag, revision } = name;
  if (file === undefined && tag === undefined && revision === undefined)
    return { name: repo.repo, bytes, remove: () => writing(cache, () => repo.removeAll()) };
  if (commit === null) throw new WeightsError(`${text}: revision ${revision ?? "main"} was not downloaded`);
  const listing = await repo.listing(commit);
  // A GGUF model has no index to read.
  const files = file || tag ? (await chooseFiles(name, listing, async () => "")).files : listing;
  const paths = files.map(({ path }) => path);
  return {
    name: nameText(name),
    bytes: bytesOf(files),
    remove: () => writing(cache, () => repo.remove(commit, paths)),
  };
}
