// A model by its name in a page: from the hub into the origin private file system, and from there
// as files to open.

import { HubError, RequestError, WeightsError } from "../errors.ts";
import type { Opened } from "../weights/files.ts";
import { type HandledFile, handledFiles } from "../weights/web_files.ts";
import { digestOfListed } from "./download.ts";
import { HUB } from "./endpoint.ts";
import { Hub } from "./hub.ts";
import { bytesOf, chooseFiles, type ListedFile } from "./listing.ts";
import { type ModelName, nameText, parseName } from "./name.ts";
import { type CommitCache, gigabytes, named, type Pulled, type PullOptions, pullInto, type Verified } from "./pull.ts";
import { PageRepo } from "./web_cache.ts";
import { FULL } from "./web_files.ts";
import { blobPlace, noteOf } from "./web_places.ts";
import { Writer } from "./web_writer.ts";
import type { Place, WriterDownload } from "./writer_protocol.ts";

/** As PullOptions in Node; what is an environment variable there is an option here. */
export interface PagePullOptions extends PullOptions {
  /** The hub or a mirror of it; default: https://huggingface.co. It must allow other origins. */
  readonly endpoint?: string;
  /** An access token, for gated and private models. It goes to the hub only. */
  readonly token?: string;
}

/** What the browser lets this page's origin store. In bytes, all that it stores together. */
export interface PageStorage {
  /** What is stored. */
  readonly used: number;
  /** The most; browsers change it with the room on the disk. */
  readonly quota: number;
  /** Whether the browser asks before it removes it. navigator.storage.persist() asks for that. */
  readonly persisted: boolean;
}

/** Browsers open at most six connections to a host over HTTP/1.1. */
const CONNECTIONS = 4;

/** What this page's origin stores and may store. */
export async function pageStorage(): Promise<PageStorage> {
  const { usage = 0, quota = 0 } = await navigator.storage.estimate();
  return { used: usage, quota, persisted: await navigator.storage.persisted() };
}

/**
 * Downloads what is missing of a model into this origin's private files. A pull that was stopped,
 * also by closing the page, goes on where it was.
 * @param text hf:owner/name[@revision][/file.gguf], owner/name[:tag], or a short name
 * @throws RequestError for a text that is no name, or if `confirm` says no; HubError for what the
 * hub refuses, a broken connection, no room, contents that differ from the checksum; WeightsError
 * for a repository without weights that hotset reads
 */
export async function pull(text: string, options: PagePullOptions = {}): Promise<Pulled> {
  const name = named(text);
  const endpoint = endpointOf(options.endpoint ?? HUB);
  const token = options.token ?? null;
  const signal = options.signal ?? new AbortController().signal;
  await PageRepo.find(name.repo); // fails where nothing can be stored
  const { lookUp } = await import("./look.ts");
  const hub = new Hub({ endpoint, token, fetch: (input, init) => fetch(input, { ...init, cache: "no-store" }) });
  const remote = await lookUp(hub, name, signal);
  const writer = new Writer();
  try {
    const connections = options.connections ?? CONNECTIONS;
    const cache = new PageCommit(writer, name, remote.commit, { endpoint, token, connections }, hub);
    return await pullInto(cache, hub, name, remote, options, signal);
  } finally {
    writer.close();
  }
}

/** @throws RequestError */
function endpointOf(text: string): string {
  if (URL.canParse(text) && /^https?:/.test(text)) return text.replace(/\/+$/, "");
  throw new RequestError(`endpoint: expected an address such as ${HUB}, found ${JSON.stringify(text)}`);
}

/** Where files come from. */
type Source = Pick<WriterDownload, "endpoint" | "token" | "connections">;

/** A commit in a page's cache. */
class PageCommit implements CommitCache {
  readonly #writer: Writer;
  readonly #name: ModelName;
  readonly #commit: string;
  readonly #source: Source;
  readonly #hub: Hub;

  constructor(writer: Writer, name: ModelName, commit: string, source: Source, hub: Hub) {
    this.#writer = writer;
    this.#name = name;
    this.#commit = commit;
    this.#source = source;
    this.#hub = hub;
  }

  async there(file: ListedFile): Promise<number> {
    const repo = await PageRepo.find(this.#name.repo);
    const { hex } = digestOfListed(file, this.#name.repo);
    if (repo === null) return 0;
    return (await repo.blob(hex, file.size)) ? file.size : repo.comeSoFar(hex, file.size);
  }

  async bring(file: ListedFile, onBytes: (bytes: number) => void, signal: AbortSignal): Promise<void> {
    const { repo } = this.#name;
    const digest = digestOfListed(file, repo);
    const job = {
      place: this.#placeOf(file),
      label: `${repo}/${file.path}`,
      size: file.size,
      digest,
      url: this.#hub.fileUrl(repo, this.#commit, file.path),
      name: this.#name,
      ...this.#source,
    };
    await this.#writer.download(job, onBytes, signal);
  }

  async text(file: ListedFile): Promise<string> {
    const { hex } = digestOfListed(file, this.#name.repo);
    const blob = await (await PageRepo.find(this.#name.repo))?.blob(hex, file.size);
    return (await blob?.text()) ?? "";
  }

  async verified(file: ListedFile, signal: AbortSignal): Promise<Verified> {
    const wanted = digestOfListed(file, this.#name.repo);
    const place = this.#placeOf(file);
    return {
      where: `${this.#name.repo}/${file.path}`,
      wanted,
      found: await this.#writer.digest(place, file.size, wanted.kind, signal),
      remove: async () => void (await this.#writer.remove(place)),
    };
  }

  /** What a browser tells of its quota may be far from what it grants: only taking it shows. */
  async reserve(files: readonly ListedFile[]): Promise<void> {
    const taken: ListedFile[] = [];
    const { used, quota } = await pageStorage();
    try {
      for (const file of files) {
        if ((await this.there(file)) === 0) taken.push(file);
        await this.#writer.reserve(this.#placeOf(file), file.size);
      }
    } catch (error) {
      for (const file of taken)
        for (const place of [this.#placeOf(file), noteOf(this.#placeOf(file))]) await this.#writer.remove(place);
      if (!(error as Error).message.includes(FULL)) throw error;
      throw new HubError(
        `${nameText(this.#name)} needs ${gigabytes(bytesOf(files))}: ${FULL} (${gigabytes(used)} of ${gigabytes(quota)} are used)`,
        0,
        { cause: error },
      );
    }
  }

  #placeOf(file: ListedFile): Place {
    return blobPlace(this.#name.repo, digestOfListed(file, this.#name.repo).hex);
  }

  async settle(revision: string, files: readonly ListedFile[]): Promise<string> {
    const repo = (await PageRepo.find(this.#name.repo))!;
    await repo.settle(revision, this.#commit, files, this.#writer);
    const { tag, file } = this.#name;
    return `hf:${this.#name.repo}@${this.#commit}${file ? `/${file}` : ""}${tag ? `:${tag}` : ""}`;
  }
}

/**
 * The files of a model that this origin has stored; null if `text` is no name of one.
 * @throws WeightsError for a name (`hf:`) of a model that is not there, HubError for one where
 * nothing can be stored; RequestError as parseName()
 */
export async function pulledFiles(text: string): Promise<Opened | null> {
  const name = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? null : parseName(text);
  if (name === null) return null;
  const isName = text.startsWith("hf:");
  const found = await wholeModel(name).catch((error: unknown) => {
    // Where nothing can be stored, what may be a URL is one.
    if (!isName && error instanceof HubError) return null;
    throw error;
  });
  if (found !== null || !isName) return found;
  throw new WeightsError(`${text}: no such model is in this browser's storage; pull() downloads a model of the hub`);
}

async function wholeModel(name: ModelName): Promise<Opened | null> {
  const repo = await PageRepo.find(name.repo);
  const commit = await repo?.commitOf(name.revision);
  if (!repo || !commit) return null;
  const there = await repo.files(commit);
  try {
    const { gguf, files } = await chooseFiles(name, [...there.keys()], (file) => there.get(file)!.text());
    const folder = gguf === null ? "" : gguf.slice(0, gguf.lastIndexOf("/") + 1);
    const byName = new Map<string, HandledFile>();
    for (const file of files)
      byName.set(file.path.slice(folder.length), { file: there.get(file)!, handle: await repo.handle(file) });
    const label = `hf:${name.repo}${folder && `/${folder.slice(0, -1)}`}`;
    return { files: handledFiles(byName, label), file: gguf?.slice(folder.length) ?? null };
  } catch (error) {
    if (error instanceof WeightsError) return null; // parts are missing
    throw error;
  }
}
