// hotset pull: a model by its name, from the hub into the hub's cache on disk. Node only.

import { mkdir, readFile, stat, statfs } from "node:fs/promises";
import { HubError, WeightsError } from "../errors.ts";
import { digestOfListed } from "./download.ts";
import type { Hub } from "./hub.ts";
import { chooseFiles, type ListedFile } from "./listing.ts";
import { type ModelName, nameText } from "./name.ts";
import { comeSoFar, digestOf, downloadBlob } from "./node_blob.ts";
import { RepoCache, writing } from "./node_repo_cache.ts";
import { hubSettings } from "./node_settings.ts";
import { type CommitCache, gigabytes, named, type Pulled, type PullOptions, pullInto, type Verified } from "./pull.ts";

const CONNECTIONS = 8;
/** Room on the disk that is left to others. */
const SPARE = 64 * 2 ** 20;

/**
 * The path of a model that is in the cache whole, without asking the hub; null if it is not.
 * @throws RequestError if `text` is no name
 */
export async function pulledPath(text: string): Promise<string | null> {
  const name = named(text);
  const { cache } = hubSettings();
  const repo = new RepoCache(cache, name.repo);
  const commit = await repo.commitOf(name.revision);
  return commit === null ? null : localPath(name, repo, commit);
}

/** Null if the commit's files here are not a whole model. */
async function localPath(name: ModelName, repo: RepoCache, commit: string): Promise<string | null> {
  const read = ({ path }: ListedFile) => readFile(repo.pathOf(commit, path), "utf8");
  try {
    const { gguf } = await chooseFiles(name, await repo.listing(commit), read);
    return pathIn(repo, commit, gguf);
  } catch (error) {
    if (error instanceof WeightsError) return null;
    throw error;
  }
}

/**
 * Downloads what is missing of a model into the hub's cache, which Python's tools share. A pull
 * that was stopped, even by a kill, goes on where it was.
 * @param text hf:owner/name[@revision][/file.gguf], owner/name[:tag], or a short name
 * @throws RequestError for a text that is no name, or if `confirm` says no; HubError for what the
 * hub refuses, a broken connection, a full disk, contents that differ from the checksum;
 * WeightsError for a repository without weights that hotset reads
 */
export async function pull(text: string, options: PullOptions = {}): Promise<Pulled> {
  const name = named(text);
  const settings = hubSettings();
  if (settings.offline)
    throw new HubError(`HF_HUB_OFFLINE is set: ${nameText(name)} cannot be downloaded; unset it, or give a folder`, 0);
  const signal = options.signal ?? new AbortController().signal;
  // With their libraries, which other commands need not load.
  const { Hub } = await import("./hub.ts");
  const { lookUp } = await import("./look.ts");
  const { downloadFetch } = await import("./node_fetch.ts");
  const hub = new Hub({ ...settings, fetch: await downloadFetch() });
  const remote = await lookUp(hub, name, signal);
  const cache = new DiskCommit(hub, name, settings.cache, remote.commit, options.connections ?? CONNECTIONS);
  return writing(settings.cache, () => pullInto(cache, hub, name, remote, options, signal));
}

/** A commit in the hub's cache on disk. */
class DiskCommit implements CommitCache {
  readonly #hub: Hub;
  readonly #name: ModelName;
  readonly #cache: RepoCache;
  readonly #commit: string;
  readonly #connections: number;

  constructor(hub: Hub, name: ModelName, folder: string, commit: string, connections: number) {
    this.#hub = hub;
    this.#name = name;
    this.#cache = new RepoCache(folder, name.repo);
    this.#commit = commit;
    this.#connections = connections;
  }

  async there(file: ListedFile): Promise<number> {
    if (await this.#cache.has(this.#commit, file)) return file.size;
    const { hex } = digestOfListed(file, this.#name.repo);
    const blob = this.#cache.blob(hex);
    if ((await stat(blob).catch(() => null))?.size !== file.size) return comeSoFar(blob, file.size);
    await this.#cache.link(this.#commit, file.path, hex);
    return file.size;
  }

  async bring(file: ListedFile, onBytes: (bytes: number) => void, signal: AbortSignal): Promise<void> {
    const digest = digestOfListed(file, this.#name.repo);
    const url = this.#hub.fileUrl(this.#name.repo, this.#commit, file.path);
    await downloadBlob({
      label: `${this.#name.repo}/${file.path}`,
      path: this.#cache.blob(digest.hex),
      size: file.size,
      digest,
      connections: this.#connections,
      request: (headers, aborted) => this.#hub.request(url, this.#name, { headers, signal: aborted }),
      onBytes,
      signal,
    });
    await this.#cache.link(this.#commit, file.path, digest.hex);
  }

  text(file: ListedFile): Promise<string> {
    return readFile(this.#cache.pathOf(this.#commit, file.path), "utf8");
  }

  async verified(file: ListedFile, signal: AbortSignal): Promise<Verified> {
    const wanted = digestOfListed(file, this.#name.repo);
    const where = this.#cache.pathOf(this.#commit, file.path);
    return {
      where,
      wanted,
      found: await digestOf(where, file.size, wanted.kind, signal),
      remove: async () => void (await this.#cache.remove(this.#commit, [file.path])),
    };
  }

  async refuseTooMuch(missing: number): Promise<void> {
    await mkdir(this.#cache.folder, { recursive: true });
    const { bavail, bsize } = await statfs(this.#cache.folder);
    if (bavail * bsize >= missing + SPARE) return;
    throw new HubError(
      `${nameText(this.#name)} needs ${gigabytes(missing)} more, and the disk of ${this.#cache.folder} has ${gigabytes(bavail * bsize)} free: make room, or set HF_HUB_CACHE to a folder elsewhere`,
      0,
    );
  }

  async settle(revision: string, _files: readonly ListedFile[], gguf: string | null): Promise<string> {
    await this.#cache.setRef(revision, this.#commit);
    return pathIn(this.#cache, this.#commit, gguf);
  }
}

function pathIn(cache: RepoCache, commit: string, gguf: string | null): string {
  return gguf === null ? cache.snapshot(commit) : cache.pathOf(commit, gguf);
}
