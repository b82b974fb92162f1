// A page's cache of models, in the origin private file system: what is there of a repository.

import { HubError } from "../errors.ts";
import { bytesNoted } from "./download.ts";
import type { ListedFile } from "./listing.ts";
import { noteIn } from "./web_files.ts";
import { BLOBS, CACHE, folderName, REPO_NOTE, repoName, repoNotePlace, UNFINISHED } from "./web_places.ts";
import type { Writer } from "./web_writer.ts";

/** What a page keeps of a repository beside its blobs. */
export interface RepoNote {
  /** Branch or tag -> commit. */
  readonly refs: Readonly<Record<string, string>>;
  /** Commit -> the files that were downloaded of it. */
  readonly commits: Readonly<Record<string, readonly ListedFile[]>>;
}

const NO_NOTE: RepoNote = { refs: {}, commits: {} };
const COMMIT = /^[0-9a-f]{40}$/;

/** @throws HubError where there is none: in a page of http, and in some private windows */
async function root(): Promise<FileSystemDirectoryHandle> {
  try {
    return await navigator.storage.getDirectory();
  } catch (error) {
    throw new HubError(
      "this page has no storage for models (the origin private file system): serve it over https or from localhost, and not in a private window",
      0,
      { cause: error },
    );
  }
}

/** Null if it is not there. */
async function entry<T>(found: Promise<T>): Promise<T | null> {
  try {
    return await found;
  } catch (error) {
    if ((error as DOMException).name === "NotFoundError") return null;
    throw error;
  }
}

export class PageRepo {
  readonly repo: string;
  readonly #folder: FileSystemDirectoryHandle;

  private constructor(repo: string, folder: FileSystemDirectoryHandle) {
    this.repo = repo;
    this.#folder = folder;
  }

  /** Null if nothing of the repository is there. @throws HubError where nothing can be stored */
  static async find(repo: string): Promise<PageRepo | null> {
    const cache = await entry((await root()).getDirectoryHandle(CACHE));
    const folder = cache && (await entry(cache.getDirectoryHandle(folderName(repo))));
    return folder && new PageRepo(repo, folder);
  }

  /** Every repository in the cache, by name. @throws HubError where nothing can be stored */
  static async all(): Promise<PageRepo[]> {
    const cache = await entry((await root()).getDirectoryHandle(CACHE));
    const found: PageRepo[] = [];
    for await (const [name, folder] of cache?.entries() ?? [])
      if (folder.kind === "directory") found.push(new PageRepo(repoName(name), folder));
    return found.sort((a, b) => (a.repo < b.repo ? -1 : 1));
  }

  async note(): Promise<RepoNote> {
    const file = await entry(this.#folder.getFileHandle(REPO_NOTE));
    const text = file && noteIn(await (await file.getFile()).text());
    return text === null ? NO_NOTE : (JSON.parse(text) as RepoNote);
  }

  /** The commit that a branch, tag or commit stands for here; null if it was not downloaded. */
  async commitOf(revision = "main"): Promise<string | null> {
    const { refs, commits } = await this.note();
    if (COMMIT.test(revision)) return commits[revision] ? revision : null;
    return refs[revision] ?? null;
  }

  /** The files of a commit that are there whole, with their contents. */
  async files(commit: string): Promise<ReadonlyMap<ListedFile, File>> {
    const listed = (await this.note()).commits[commit] ?? [];
    const found = new Map<ListedFile, File>();
    for (const file of listed) {
      const blob = file.digest && (await this.blob(file.digest.hex, file.size));
      if (blob) found.set(file, blob);
    }
    return found;
  }

  /** A file by its digest; null if it is not there whole. */
  async blob(hex: string, size: number): Promise<File | null> {
    const blobs = await this.#blobs();
    if (!blobs || (await entry(blobs.getFileHandle(hex + UNFINISHED)))) return null;
    const file = await (await entry(blobs.getFileHandle(hex)))?.getFile();
    return file?.size === size ? file : null;
  }

  /** Where a file of files() is. */
  async handle({ digest }: ListedFile): Promise<FileSystemFileHandle> {
    return (await this.#blobs())!.getFileHandle(digest!.hex);
  }

  /** Bytes of an unfinished download that are there. */
  async comeSoFar(hex: string, size: number): Promise<number> {
    const blobs = await this.#blobs();
    const note = blobs && (await entry(blobs.getFileHandle(hex + UNFINISHED)));
    return note ? bytesNoted(noteIn(await (await note.getFile()).text()), size) : 0;
  }

  /** Bytes of all that is stored, unfinished downloads too. */
  async bytes(): Promise<number> {
    let sum = 0;
    for await (const [, file] of (await this.#blobs())?.entries() ?? [])
      if (file.kind === "file") sum += (await file.getFile()).size;
    return sum;
  }

  /** Notes that a branch or tag stands for a commit, of which these files are there. */
  async settle(revision: string, commit: string, files: readonly ListedFile[], writer: Writer): Promise<void> {
    const { refs, commits } = await this.note();
    const before = (commits[commit] ?? []).filter(({ path }) => !files.some((file) => file.path === path));
    const note: RepoNote = {
      refs: COMMIT.test(revision) ? refs : { ...refs, [revision]: commit },
      commits: { ...commits, [commit]: [...before, ...files] },
    };
    await writer.note(repoNotePlace(this.repo), JSON.stringify(note));
  }

  /**
   * Removes files of a commit, but for those that another commit has.
   * @returns the bytes that became free
   */
  async remove(commit: string, files: readonly ListedFile[], writer: Writer): Promise<number> {
    const { refs, commits } = await this.note();
    const gone = new Set(files.map(({ path }) => path));
    const left = (commits[commit] ?? []).filter(({ path }) => !gone.has(path));
    const { [commit]: _, ...others } = commits;
    const note: RepoNote = {
      refs: left.length > 0 ? refs : Object.fromEntries(Object.entries(refs).filter(([, of]) => of !== commit)),
      commits: left.length > 0 ? { ...others, [commit]: left } : others,
    };
    await writer.note(repoNotePlace(this.repo), JSON.stringify(note));
    const kept = new Set(Object.values(note.commits).flatMap((listed) => listed.map(({ digest }) => digest?.hex)));
    let freed = 0;
    for (const { digest, size } of files) {
      if (!digest || kept.has(digest.hex) || !(await this.blob(digest.hex, size))) continue;
      await inUse(this.repo, (await this.#blobs())!.removeEntry(digest.hex));
      freed += size;
    }
    return freed;
  }

  /** Removes everything. @returns the bytes that became free */
  async removeAll(): Promise<number> {
    const freed = await this.bytes();
    const cache = await (await root()).getDirectoryHandle(CACHE);
    await inUse(this.repo, cache.removeEntry(folderName(this.repo), { recursive: true }));
    return freed;
  }

  #blobs(): Promise<FileSystemDirectoryHandle | null> {
    return entry(this.#folder.getDirectoryHandle(BLOBS));
  }
}

/** @throws HubError if a page has a file open */
async function inUse(repo: string, removal: Promise<void>): Promise<void> {
  try {
    await removal;
  } catch (error) {
    if ((error as DOMException).name !== "NoModificationAllowedError") throw error;
    throw new HubError(`${repo} is in use: a page is downloading it, or has it open; wait for it, or close it`, 0, {
      cause: error,
    });
  }
}
