// The models in a page's cache: listed and removed.

import { WeightsError } from "../errors.ts";
import { bytesOf, chooseFiles } from "./listing.ts";
import { type CachedModel, type Removal, wholeModels } from "./models.ts";
import { nameText, parseName } from "./name.ts";
import { PageRepo } from "./web_cache.ts";
import { Writer } from "./web_writer.ts";

/** Every model that this origin has stored whole, by name. */
export async function cachedModels(): Promise<CachedModel[]> {
  const found: CachedModel[] = [];
  for (const repo of await PageRepo.all()) {
    const { refs, commits } = await repo.note();
    for (const commit of Object.keys(commits)) {
      const there = await repo.files(commit);
      const own = Object.keys(refs).filter((ref) => refs[ref] === commit);
      for (const { name, gguf, files } of await wholeModels(repo.repo, [...there.keys()], (file) =>
        there.get(file)!.text(),
      ))
        found.push({
          name,
          commit,
          refs: own,
          path: `hf:${repo.repo}@${commit}${gguf === null ? "" : `/${gguf}`}`,
          bytes: bytesOf(files),
          modified: new Date(Math.max(...files.map((file) => there.get(file)!.lastModified))),
        });
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
  const repo = name && (await PageRepo.find(name.repo));
  if (!name || !repo)
    throw new WeightsError(`${text}: no such model is in this browser's storage; cachedModels() lists those that are`);
  const { file, tag, revision } = name;
  if (file === undefined && tag === undefined && revision === undefined)
    return { name: repo.repo, bytes: await repo.bytes(), remove: () => repo.removeAll() };
  const commit = await repo.commitOf(revision);
  if (commit === null) throw new WeightsError(`${text}: revision ${revision ?? "main"} was not downloaded`);
  const listing = [...(await repo.files(commit)).keys()];
  // A GGUF model has no index to read.
  const files = file || tag ? (await chooseFiles(name, listing, async () => "")).files : listing;
  return {
    name: nameText(name),
    bytes: bytesOf(files),
    async remove() {
      const writer = new Writer();
      try {
        return await repo.remove(commit, files, writer);
      } finally {
        writer.close();
      }
    },
  };
}
