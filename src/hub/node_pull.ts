// hotset pull: a model by its name, from the hub into the hub's cache on disk. Node only.

import { mkdir, readFile, stat, statfs } from "node:fs/promises";
import { HubError, RequestError, WeightsError } from "../errors.ts";
import type { Hub } from "./hub.ts";
import { bytesOf, chooseFiles, type Digest, type ListedFile } from "./listing.ts";
import { type ModelName, nameText, parseName } from "./name.ts";
import { comeSoFar, digestOf, downloadBlob } from "./node_blob.ts";
import { RepoCache } from "./node_repo_cache.ts";
import { hubSettings } from "./node_settings.ts";

/** What is about to be downloaded. */
export interface PullPlan {
  /** As parseName() read it. */
  readonly name: string;
  readonly repo: string;
  readonly commit: string;
  readonly files: number;
  /** Of all files, and of those that are still to come, in bytes. */
  readonly bytes: number;
  readonly missing: number;
}

export interface PullOptions {
  /** Called before anything large is downloaded; false ends the pull with a RequestError. */
  readonly confirm?: (plan: PullPlan) => boolean | Promise<boolean>;
  /** Bytes that are there, of all that the model needs. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Connections for a large file; default: 8. */
  readonly connections?: number;
  /** Also compares files that are there already with the hub's checksums. */
  readonly verify?: boolean;
  readonly signal?: AbortSignal;
}

export interface Pulled extends PullPlan {
  /** What open() takes: a folder, or a GGUF file. */
  readonly path: string;
}

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
  const { Hub } = await import("./hub.ts"); // with its library, which other commands need not load
  const { downloadFetch } = await import("./node_fetch.ts");
  const hub = new Hub({ ...settings, fetch: await downloadFetch() });
  const { commit, files } = await hub.look(name, signal);
  return new Pull(hub, name, new RepoCache(settings.cache, name.repo), commit, options, signal).run(files);
}

/** One model at one commit. */
class Pull {
  readonly #hub: Hub;
  readonly #name: ModelName;
  readonly #cache: RepoCache;
  readonly #commit: string;
  readonly #options: PullOptions;
  readonly #signal: AbortSignal;

  constructor(hub: Hub, name: ModelName, cache: RepoCache, commit: string, options: PullOptions, signal: AbortSignal) {
    this.#hub = hub;
    this.#name = name;
    this.#cache = cache;
    this.#commit = commit;
    this.#options = options;
    this.#signal = signal;
  }

  async run(listing: readonly ListedFile[]): Promise<Pulled> {
    const chosen = await chooseFiles(this.#name, listing, async (file) => {
      await this.#bring(file, () => {}); // an index is small, and says how large the model is
      return readFile(this.#cache.pathOf(this.#commit, file.path), "utf8");
    });
    const total = bytesOf(chosen.files);
    const states = await Promise.all(chosen.files.map(async (file) => ({ file, there: await this.#there(file) })));
    const missing = total - states.reduce((bytes, { there }) => bytes + there, 0);
    const plan: PullPlan = {
      name: nameText(this.#name),
      repo: this.#name.repo,
      commit: this.#commit,
      files: chosen.files.length,
      bytes: total,
      missing,
    };
    await this.#refuseFullDisk(missing);
    const first = states.find(({ file, there }) => there < file.size);
    if (first) await this.#probe(first.file);
    if (missing > 0 && (await this.#options.confirm?.(plan)) === false)
      throw new RequestError(`${plan.name} was not downloaded`);
    let done = 0;
    const onBytes = (bytes: number): void => {
      done += bytes;
      this.#options.onProgress?.(done, total);
    };
    for (const { file, there } of states) {
      if (there < file.size) await this.#bring(file, onBytes);
      else {
        if (this.#options.verify) await this.#verify(file);
        onBytes(file.size);
      }
    }
    await this.#cache.setRef(this.#name.revision ?? "main", this.#commit);
    const { gguf } = chosen;
    return { ...plan, path: pathIn(this.#cache, this.#commit, gguf) };
  }

  /** Bytes of a file that need not be downloaded; what other commits or tools brought is used. */
  async #there(file: ListedFile): Promise<number> {
    if (await this.#cache.has(this.#commit, file)) return file.size;
    const { hex } = digestOfListed(file, this.#name);
    const blob = this.#cache.blob(hex);
    if ((await stat(blob).catch(() => null))?.size !== file.size) return comeSoFar(blob, file.size);
    await this.#cache.link(this.#commit, file.path, hex);
    return file.size;
  }

  /** Asks for one byte, so that a gated model is refused before a question or a download. */
  async #probe({ path }: ListedFile): Promise<void> {
    const init = { headers: { range: "bytes=0-0" }, signal: this.#signal };
    const response = await this.#hub.request(this.#hub.fileUrl(this.#name.repo, this.#commit, path), this.#name, init);
    await response.body?.cancel();
  }

  async #bring(file: ListedFile, onBytes: (bytes: number) => void): Promise<void> {
    if (await this.#cache.has(this.#commit, file)) return onBytes(file.size);
    const digest = digestOfListed(file, this.#name);
    const url = this.#hub.fileUrl(this.#name.repo, this.#commit, file.path);
    await downloadBlob({
      label: `${this.#name.repo}/${file.path}`,
      path: this.#cache.blob(digest.hex),
      size: file.size,
      digest,
      connections: this.#options.connections ?? CONNECTIONS,
      request: (headers, signal) => this.#hub.request(url, this.#name, { headers, signal }),
      onBytes,
      signal: this.#signal,
    });
    await this.#cache.link(this.#commit, file.path, digest.hex);
  }

  /**
   * @throws HubError if a file here differs from the hub's. It is removed, so that the next pull
   * brings it.
   */
  async #verify(file: ListedFile): Promise<void> {
    const digest = digestOfListed(file, this.#name);
    const path = this.#cache.pathOf(this.#commit, file.path);
    const found = await digestOf(path, file.size, digest.kind, this.#signal);
    if (found === digest.hex) return;
    await this.#cache.remove(this.#commit, [file.path]);
    throw new HubError(
      `${path}: its checksum is ${found}, and the hub says ${digest.hex}: it was removed; run the pull again`,
      200,
    );
  }

  async #refuseFullDisk(missing: number): Promise<void> {
    await mkdir(this.#cache.folder, { recursive: true });
    const { bavail, bsize } = await statfs(this.#cache.folder);
    if (missing === 0 || bavail * bsize >= missing + SPARE) return;
    throw new HubError(
      `${nameText(this.#name)} needs ${gigabytes(missing)} more, and the disk of ${this.#cache.folder} has ${gigabytes(bavail * bsize)} free: make room, or set HF_HUB_CACHE to a folder elsewhere`,
      0,
    );
  }
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(2)} GB`;

/** @throws HubError if the hub gives none: then nothing could be checked */
function digestOfListed({ path, digest }: ListedFile, { repo }: ModelName): Digest {
  if (digest !== undefined && /^[0-9a-f]{40,64}$/.test(digest.hex)) return digest;
  throw new HubError(`${repo}/${path}: the hub gives no checksum of it`, 200);
}

/** @throws RequestError */
function named(text: string): ModelName {
  const name = parseName(text);
  if (name !== null) return name;
  throw new RequestError(
    `${JSON.stringify(text)}: expected a name such as owner/name, owner/name:Q4_K_M or hf:owner/name/file.gguf`,
  );
}

function pathIn(cache: RepoCache, commit: string, gguf: string | null): string {
  return gguf === null ? cache.snapshot(commit) : cache.pathOf(commit, gguf);
}
