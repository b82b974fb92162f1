// What a pull does wherever the cache is: which files come, what is asked and checked before, and
// in which order they come.

import { HubError, RequestError } from "../errors.ts";
import type { Hub } from "./hub.ts";
import { bytesOf, chooseFiles, type Digest, type ListedFile } from "./listing.ts";
import type { RemoteModel } from "./look.ts";
import { type ModelName, nameText, parseName } from "./name.ts";
import { A_SHORT_NAME } from "./short_names.ts";

/** What is about to be downloaded. */
export interface PullPlan {
  /** As parseName() read it. */
  readonly name: string;
  /** "owner/name" */
  readonly repo: string;
  /** The commit that its revision stands for now. */
  readonly commit: string;
  /** Files that the model needs. */
  readonly files: number;
  /** Of all files, and of those that are still to come, in bytes. */
  readonly bytes: number;
  /** Bytes that are still to come. */
  readonly missing: number;
}

/** How to download a model. */
export interface PullOptions {
  /** Called before anything large is downloaded; false ends the pull with a RequestError. */
  readonly confirm?: (plan: PullPlan) => boolean | Promise<boolean>;
  /** Bytes that are there, of all that the model needs. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Connections for a large file; default: 8, in a page 4. */
  readonly connections?: number;
  /** Also compares files that are there already with the hub's checksums. */
  readonly verify?: boolean;
  /** Aborts the pull; what has come stays. */
  readonly signal?: AbortSignal;
}

/** A model that is there whole. */
export interface Pulled extends PullPlan {
  /** What open() takes. */
  readonly path: string;
}

/** A repository at one commit, in a cache. */
export interface CommitCache {
  /** Bytes of a file that need not be downloaded; what other commits or tools brought is used. */
  there(file: ListedFile): Promise<number>;
  /**
   * Downloads what is missing of a file.
   * @throws HubError as download(), or if the contents differ from the digest: they are removed
   */
  bring(file: ListedFile, onBytes: (bytes: number) => void, signal: AbortSignal): Promise<void>;
  /** The text of a file that is there. */
  text(file: ListedFile): Promise<string>;
  /** The digest of a file that is there, to compare with the hub's. */
  verified(file: ListedFile, signal: AbortSignal): Promise<Verified>;
  /** Before the question. @throws HubError if so many bytes more do not fit */
  refuseTooMuch?(missing: number): Promise<void>;
  /** After it: takes the room that files need. @throws HubError if there is not enough */
  reserve?(files: readonly ListedFile[]): Promise<void>;
  /**
   * Lets the revision stand for this commit, all of whose `files` are there.
   * @param gguf the file to open; null: the folder
   * @returns what open() takes
   */
  settle(revision: string, files: readonly ListedFile[], gguf: string | null): Promise<string>;
}

/** A file that was read again. */
export interface Verified {
  /** Where it is, in messages. */
  readonly where: string;
  readonly wanted: Digest;
  readonly found: string;
  remove(): Promise<void>;
}

/**
 * Downloads what is missing of a model.
 * @throws RequestError if `confirm` says no; HubError for what the hub refuses, a broken
 * connection, no room, contents that differ from the checksum; WeightsError for a repository
 * without weights that hotset reads
 */
export async function pullInto(
  cache: CommitCache,
  hub: Hub,
  name: ModelName,
  remote: RemoteModel,
  options: PullOptions,
  signal: AbortSignal,
): Promise<Pulled> {
  const { commit } = remote;
  const chosen = await chooseFiles(name, remote.files, async (file) => {
    // An index is small, and says how large the model is.
    if ((await cache.there(file)) < file.size) await cache.bring(file, () => {}, signal);
    return cache.text(file);
  });
  const total = bytesOf(chosen.files);
  const states = await Promise.all(chosen.files.map(async (file) => ({ file, there: await cache.there(file) })));
  const missing = total - states.reduce((bytes, { there }) => bytes + there, 0);
  const plan: PullPlan = {
    name: nameText(name),
    repo: name.repo,
    commit,
    files: chosen.files.length,
    bytes: total,
    missing,
  };
  if (missing > 0) await cache.refuseTooMuch?.(missing);
  const first = states.find(({ file, there }) => there < file.size);
  if (first) await probe(hub, name, commit, first.file, signal);
  if (missing > 0 && (await options.confirm?.(plan)) === false)
    throw new RequestError(`${plan.name} was not downloaded`);
  await cache.reserve?.(states.filter(({ file, there }) => there < file.size).map(({ file }) => file));
  let done = 0;
  const onBytes = (bytes: number): void => {
    done += bytes;
    options.onProgress?.(done, total);
  };
  for (const { file, there } of states) {
    if (there < file.size) await cache.bring(file, onBytes, signal);
    else {
      if (options.verify) await verify(cache, file, signal);
      onBytes(file.size);
    }
  }
  const path = await cache.settle(name.revision ?? "main", chosen.files, chosen.gguf);
  return { ...plan, path };
}

/** Asks for one byte, so that a gated model is refused before a question or a download. */
async function probe(hub: Hub, name: ModelName, commit: string, file: ListedFile, signal: AbortSignal): Promise<void> {
  const request = { headers: { range: "bytes=0-0" }, signal };
  await hub.probe(hub.fileUrl(name.repo, commit, file.path), name, request);
}

/**
 * @throws HubError if a file here differs from the hub's. It is removed, so that the next pull
 * brings it.
 */
async function verify(cache: CommitCache, file: ListedFile, signal: AbortSignal): Promise<void> {
  const { where, wanted, found, remove } = await cache.verified(file, signal);
  if (found === wanted.hex) return;
  await remove();
  throw new HubError(
    `${where}: its checksum is ${found}, and the hub says ${wanted.hex}: it was removed; run the pull again`,
    200,
  );
}

/** @throws RequestError */
export function named(text: string): ModelName {
  const name = parseName(text);
  if (name !== null) return name;
  throw new RequestError(
    `${JSON.stringify(text)}: expected a name such as owner/name, owner/name:Q4_K_M or hf:owner/name/file.gguf, or ${A_SHORT_NAME}`,
  );
}

export const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(2)} GB`;
