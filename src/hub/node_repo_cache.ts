// A repository in the hub's cache on disk, laid out as Python's huggingface_hub does: blobs/ by
// digest, snapshots/<commit>/ with links to them, refs/ from branches to commits. Node only.

import {
  cp,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { HubError, WeightsError } from "../errors.ts";
import { isPlainPath } from "../weights/files.ts";
import type { ListedFile } from "./listing.ts";

const COMMIT = /^[0-9a-f]{40}$/;
/** No repository of a model is deeper. */
const DEPTH = 8;

export class RepoCache {
  readonly folder: string;
  readonly repo: string;

  /** @param cache the folder of all repositories @param repo "owner/name" */
  constructor(cache: string, repo: string) {
    this.repo = repo;
    this.folder = join(cache, `models--${repo.replaceAll("/", "--")}`);
  }

  /** Every repository of a model in the cache. */
  static async all(cache: string): Promise<RepoCache[]> {
    const names = (await namesIn(cache)).filter((name) => /^models--[^-].*--/.test(name));
    return names.map((name) => new RepoCache(cache, name.split("--").slice(1).join("/")));
  }

  blob(hex: string): string {
    return join(this.folder, "blobs", hex);
  }

  snapshot(commit: string): string {
    return join(this.folder, "snapshots", commit);
  }

  /** @throws WeightsError for a path that would lead out of the snapshot */
  pathOf(commit: string, path: string): string {
    if (!isPlainPath(path)) throw new WeightsError(`${this.repo}: unsafe name of a file: ${JSON.stringify(path)}`);
    return join(this.snapshot(commit), ...path.split("/"));
  }

  /** The commit that a branch, tag or commit stands for here; null if it was not downloaded. */
  async commitOf(revision = "main"): Promise<string | null> {
    if (COMMIT.test(revision)) return (await isThere(this.snapshot(revision))) ? revision : null;
    const text = await readFile(join(this.folder, "refs", ...revision.split("/")), "utf8").catch(() => "");
    return COMMIT.test(text.trim()) ? text.trim() : null;
  }

  /** Lets a branch or tag stand for a commit. */
  async setRef(revision: string, commit: string): Promise<void> {
    if (COMMIT.test(revision) || !isPlainPath(revision)) return;
    if ((await this.commitOf(revision)) === commit) return; // the cache may be read-only
    const path = join(this.folder, "refs", ...revision.split("/"));
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, commit);
  }

  /** The commits of which there is something, the newest first. */
  async commits(): Promise<string[]> {
    const found = (await namesIn(join(this.folder, "snapshots"))).filter((name) => COMMIT.test(name));
    // one that is removed meanwhile is the oldest
    const times = await Promise.all(
      found.map(async (name) => (await stat(this.snapshot(name)).catch(() => null))?.mtimeMs ?? 0),
    );
    return found
      .map((name, i) => ({ name, time: times[i]! }))
      .sort((a, b) => b.time - a.time)
      .map(({ name }) => name);
  }

  /** Branches and tags, with their commits. */
  async refs(): Promise<ReadonlyMap<string, string>> {
    const names = await filesBelow(join(this.folder, "refs"));
    const found = await Promise.all(names.map(async (name) => [name, await this.commitOf(name)] as const));
    return new Map(found.filter((entry): entry is [string, string] => entry[1] !== null));
  }

  /** The files of a commit that are there whole. */
  async listing(commit: string): Promise<ListedFile[]> {
    const paths = await filesBelow(this.snapshot(commit));
    const found = await Promise.all(
      paths.map(async (path) => ({ path, size: (await stat(this.pathOf(commit, path)).catch(() => null))?.size })),
    );
    return found.filter((file): file is ListedFile => file.size !== undefined); // a dead link has none
  }

  /** Whether the commit's file is there with this size. */
  async has(commit: string, { path, size }: ListedFile): Promise<boolean> {
    return (await stat(this.pathOf(commit, path)).catch(() => null))?.size === size;
  }

  /** Makes a blob the commit's file `path`. */
  async link(commit: string, path: string, hex: string): Promise<void> {
    const at = this.pathOf(commit, path);
    const blob = this.blob(hex);
    await mkdir(dirname(at), { recursive: true });
    await rm(at, { force: true });
    try {
      await symlink(relative(dirname(at), blob), at);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EEXIST") return; // another process was quicker
      // Windows without the right to make links: the file itself, as Python's library does.
      if (process.platform !== "win32" && code !== "EPERM" && code !== "ENOTSUP") throw error;
      await rename(blob, at).catch(() => cp(blob, at));
    }
  }

  /** The blob that the commit's file is a link to; null for a file that lies there itself. */
  async blobOf(commit: string, path: string): Promise<string | null> {
    const at = this.pathOf(commit, path);
    return (await lstat(at)).isSymbolicLink() ? join(dirname(at), await readlink(at)) : null;
  }

  /** Bytes on disk, unfinished downloads included. */
  async bytes(): Promise<number> {
    const blobs = join(this.folder, "blobs");
    // a pull replaces the note beside a file while this looks
    const found = await Promise.all((await namesIn(blobs)).map((name) => lstat(join(blobs, name)).catch(() => null)));
    return found.reduce((sum, one) => sum + (one?.size ?? 0), 0);
  }

  /**
   * Removes files of a commit, and the blobs that no other file is a link to.
   * @returns the bytes that became free
   */
  async remove(commit: string, paths: readonly string[]): Promise<number> {
    const gone = new Set<string>();
    let freed = 0;
    for (const path of paths) {
      const blob = await this.blobOf(commit, path);
      if (blob === null) freed += (await stat(this.pathOf(commit, path))).size;
      else gone.add(blob);
      await rm(this.pathOf(commit, path));
    }
    for (const other of await this.commits())
      for (const path of await filesBelow(this.snapshot(other))) gone.delete((await this.blobOf(other, path)) ?? "");
    for (const blob of gone) {
      freed += (await stat(blob).catch(() => null))?.size ?? 0;
      await rm(blob, { force: true });
    }
    return freed;
  }

  /** Removes everything. @returns the bytes that became free */
  async removeAll(): Promise<number> {
    const freed = await this.bytes();
    await rm(this.folder, { recursive: true, force: true });
    return freed;
  }
}

/**
 * Does what writes a cache. @throws HubError where the system refuses that: it says what to do
 * @param cache the folder of all repositories
 */
export async function writing<T>(cache: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { code, syscall, message } = error as NodeJS.ErrnoException;
    if (code === undefined || syscall === undefined) throw error;
    throw new HubError(
      `the cache ${cache} cannot be written: ${message}; let this user write it, or set HF_HUB_CACHE to another folder`,
      200,
      { cause: error },
    );
  }
}

async function isThere(path: string): Promise<boolean> {
  return (await realpath(path).catch(() => null)) !== null;
}

async function namesIn(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(() => [])).sort();
}

/** Paths of files and links below a folder, with "/". */
async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join("/"))
    .filter((path) => path.split("/").length <= DEPTH)
    .sort();
}
