// A folder of weights below a URL, read with few requests: small files whole, large ones by ranges.

import { WeightsError } from "../errors.ts";
import { Coming } from "./coming.ts";
import type { Files, Opened } from "./files.ts";
import { FOLDER_FILES, SINGLE } from "./folder.ts";
import { startsGguf } from "./gguf/container.ts";
import { isGgufName } from "./gguf/split.ts";
import { JoinedReads } from "./joined_reads.ts";

/** Bytes to request when only the size is needed: they usually contain the header too. */
const HEAD = 64 * 2 ** 10;
/** Files up to this size are cached, because several readers need them. */
const KEPT = 2 ** 20;

/**
 * Files below a URL. A small file is read with one GET, so that the server may compress it. The
 * size of a large file comes from its first range, and neighbouring ranges are joined. A server
 * that ignores `Range` is rejected rather than read whole. A file is missing if the server says so,
 * or answers with a web page as single-page applications do. HTTP has no listing: list() is empty.
 */
export function httpFiles(base: string, fetcher: typeof fetch = (...args) => fetch(...args)): Files {
  return new HttpFiles(base, fetcher);
}

/** Larger than any config.json. */
const CONFIG_LIMIT = 4 * 2 ** 20;

/**
 * What a URL is: a file, by a name that ends in .gguf, .json or .model or by the first bytes of a
 * GGUF file, or else a folder. What is beside a file is asked for with the same query.
 * @param asModel whether it will be opened as one: of a folder, what that waits for is then asked
 * for at once
 */
export async function httpFolderOrFile(url: string, fetcher?: typeof fetch, asModel = false): Promise<Opened> {
  const [, folder = "./", encoded = "", query = ""] = /^([^?#]*\/)?([^/?#]*)(\?[^#]*)?/.exec(url) ?? [];
  const name = decoded(encoded);
  const beside = (): HttpFiles => new HttpFiles(folder.slice(0, -1), fetcher ?? ((...args) => fetch(...args)), query);
  if (isGgufName(name) || /\.(json|model)$/.test(name)) return { files: beside(), file: name };
  const files = httpFiles(url, fetcher);
  // below an address with a query there is nothing
  const mayBeFolder = name === "" || query === "";
  if (mayBeFolder && asModel) {
    files.soon!(FOLDER_FILES);
    files.size(SINGLE).catch(() => {}); // found out again when it is needed
  }
  if (name === "" || (mayBeFolder && (await files.whole!("config.json", CONFIG_LIMIT)) !== null))
    return { files, file: null };
  const other = beside();
  const start = new Uint8Array(4);
  if (((await other.size(name)) ?? 0) >= 4) await other.read(name, 0, start);
  if (!startsGguf(start)) {
    await other.close();
    return { files, file: null };
  }
  await files.close();
  return { files: other, file: name };
}

/** A part of a URL as text; as it is if it is no text. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

class HttpFiles implements Files {
  readonly label: string;
  readonly #root: string;
  readonly #query: string;
  readonly #fetcher: typeof fetch;
  readonly #closing = new AbortController();
  readonly #sizes = new Map<string, Promise<number | null>>();
  readonly #heads = new Map<string, Uint8Array>();
  readonly #small = new Map<string, Uint8Array | null>();
  /** Answers to what soon() asked for, unread. */
  readonly #ahead = new Map<string, Promise<Response>>();
  readonly #joined = new JoinedReads(
    (name, offset, length, failed) => new Coming(this.#range(name, offset, length), failed),
  );
  /**
   * Whether any file existed. Some stores deny access to missing files; such a file then
   * counts as missing.
   */
  #found = false;

  constructor(base: string, fetcher: typeof fetch, query = "") {
    this.label = base;
    this.#query = query;
    this.#root = base.endsWith("/") ? base : `${base}/`;
    this.#fetcher = fetcher;
  }

  async list(): Promise<readonly string[]> {
    return [];
  }

  size(name: string): Promise<number | null> {
    let size = this.#sizes.get(name);
    if (!size) {
      size = this.#measure(name);
      this.#sizes.set(name, size);
      size.catch(() => this.#sizes.delete(name));
    }
    return size;
  }

  async whole(name: string, limit: number): Promise<Uint8Array | null> {
    const known = this.#small.get(name);
    if (known !== undefined) return known;
    const asked = this.#ahead.get(name);
    this.#ahead.delete(name);
    const response = await (asked ?? this.#get(name));
    if (this.#isMissing(response)) {
      this.#small.set(name, null);
      return cancelled(response, null);
    }
    if (response.status !== 200) return refused(response, this.#unexpected(name, response, "200 or 404"));
    const bytes = await this.#body(name, response, limit);
    if (bytes === null)
      throw new WeightsError(
        `${this.label}: ${name} has more than ${limit} bytes; a file of this name has at most ${limit}`,
      );
    const found = isPage(bytes) ? null : bytes;
    this.#found ||= found !== null;
    if (bytes.length <= KEPT) this.#small.set(name, found);
    return found;
  }

  soon(names: readonly string[]): void {
    for (const name of names) {
      if (this.#small.has(name) || this.#ahead.has(name)) continue;
      const answer = this.#get(name);
      answer.catch(() => {}); // thrown when the file is read
      this.#ahead.set(name, answer);
    }
  }

  async read(name: string, offset: number, into: Uint8Array): Promise<void> {
    if (into.length === 0) return;
    const size = await this.size(name);
    if (size === null) throw new WeightsError(`${this.#url(name)} is missing`);
    if (offset + into.length > size)
      throw new WeightsError(
        `${this.#url(name)}: ${into.length} bytes expected at byte ${offset}, the file has ${size}`,
      );
    const head = this.#heads.get(name);
    if (head && offset + into.length <= head.length) into.set(head.subarray(offset, offset + into.length));
    else await this.#joined.read(name, size, offset, into);
  }

  ahead(name: string, offset: number): void {
    void this.size(name).then(
      (size) => {
        if (size !== null && offset < size && !this.#closing.signal.aborted) this.#joined.ahead(name, size, offset);
      },
      () => {}, // thrown when the file is read
    );
  }

  async close(): Promise<void> {
    this.#closing.abort(new WeightsError(`${this.label}: closed`));
    this.#joined.clear();
    this.#heads.clear();
    this.#small.clear();
    this.#ahead.clear();
  }

  /**
   * Gets a file's size from a request for its first bytes, which are cached; null if it
   * does not exist.
   */
  async #measure(name: string): Promise<number | null> {
    const response = await this.#get(name, `bytes=0-${HEAD - 1}`);
    if (this.#isMissing(response)) return cancelled(response, null);
    this.#found = true;
    if (response.status === 416) return cancelled(response, 0); // an empty file
    if (response.status === 206) {
      const head = await this.#body(name, response, HEAD);
      // Pages of another origin see Content-Range only if the server allows it.
      const range = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers.get("content-range") ?? "");
      const size = range ? Number(range[2]) : await this.#length(name);
      if (range?.[1] !== "0" && range) throw this.#unasked(name, range[0], `bytes=0-${HEAD - 1}`);
      if (head?.length === Math.min(size, HEAD)) this.#heads.set(name, head);
      return size;
    }
    if (response.status !== 200) return refused(response, this.#unexpected(name, response, "206 or 404"));
    const length = plainLength(response);
    const bytes = await this.#body(name, response, HEAD);
    if (bytes) {
      this.#heads.set(name, bytes);
      return bytes.length;
    }
    if (length !== null) return length; // the size is known; reading the file will fail
    throw new WeightsError(
      `${this.#url(name)}: the server answers no range requests, and does not tell the file's size`,
    );
  }

  /** Gets a file's size from a HEAD request. */
  async #length(name: string): Promise<number> {
    const response = await this.#get(name, undefined, "HEAD");
    const length = response.ok ? plainLength(response) : null;
    if (length !== null) return length;
    throw new WeightsError(
      `${this.#url(name)}: the server does not tell the file's size; let it expose Content-Range to this page (Access-Control-Expose-Headers)`,
    );
  }

  /** Exactly `length` bytes of a file. @throws WeightsError */
  async *#range(name: string, offset: number, length: number): AsyncGenerator<Uint8Array, void> {
    const range = `bytes=${offset}-${offset + length - 1}`;
    const response = await this.#get(name, range);
    const all = response.status === 200 && offset === 0 && length === (await this.size(name));
    if ((response.status !== 206 && !all) || isHtml(response))
      return refused(
        response,
        this.#unexpected(name, response, `206 for ${range}`, "; the server must answer range requests"),
      );
    const told = response.headers.get("content-range");
    if (told !== null && !told.startsWith(`bytes ${offset}-`))
      return refused(response, this.#unasked(name, told, range));
    const size = (found: number | string): WeightsError =>
      new WeightsError(`${this.#url(name)}: ${length} bytes expected at byte ${offset}, found ${found}`);
    // Bytes are used as they come: what is known to be damaged is refused before that.
    const claimed = plainLength(response);
    if (claimed !== null && claimed !== length) return refused(response, size(claimed));
    let found = 0;
    for await (const piece of this.#pieces(name, response)) {
      found += piece.length;
      if (found > length) throw size("more");
      yield piece;
    }
    if (found < length) throw size(found);
  }

  async #get(name: string, range?: string, method?: "HEAD"): Promise<Response> {
    const { signal } = this.#closing;
    try {
      return await this.#fetcher(this.#url(name), {
        ...(method && { method }),
        ...(range && { headers: { Range: range } }),
        signal,
      });
    } catch (error) {
      throw this.#failed(name, error);
    }
  }

  /** The body of a response, or null if it has more than `limit` bytes, without reading on. */
  async #body(name: string, response: Response, limit: number): Promise<Uint8Array | null> {
    const pieces: Uint8Array[] = [];
    let length = 0;
    for await (const piece of this.#pieces(name, response)) {
      pieces.push(piece);
      length += piece.length;
      if (length > limit) return null;
    }
    if (pieces.length === 1) return pieces[0]!;
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const piece of pieces) {
      bytes.set(piece, at);
      at += piece.length;
    }
    return bytes;
  }

  /** The body of a response as it comes; who leaves early cancels it. */
  async *#pieces(name: string, response: Response): AsyncGenerator<Uint8Array, void> {
    const reader = response.body?.getReader();
    let done = false;
    try {
      if (!reader) yield new Uint8Array(await response.arrayBuffer());
      for (let next = await reader?.read(); next?.done === false; next = await reader!.read()) yield next.value;
      done = true;
    } catch (error) {
      done = true;
      throw this.#failed(name, error);
    } finally {
      if (!done) await reader?.cancel().catch(() => {});
    }
  }

  #isMissing(response: Response): boolean {
    const { status } = response;
    return status === 404 || status === 410 || (status === 403 && this.#found) || (response.ok && isHtml(response));
  }

  #url(name: string): string {
    return this.#root + name.split("/").map(encodeURIComponent).join("/") + this.#query;
  }

  #failed(name: string, error: unknown): WeightsError {
    if (error instanceof WeightsError) return error;
    const why = error instanceof Error ? error.message : String(error);
    return new WeightsError(
      `${this.#url(name)}: the request failed: ${why}; is the server there, and does it let this page read (CORS)?`,
    );
  }

  #unexpected(name: string, response: Response, expected: string, hint = ""): WeightsError {
    const found = response.ok && isHtml(response) ? `${response.status} with a web page` : response.status;
    return new WeightsError(`${this.#url(name)}: expected HTTP status ${expected}, found ${found}${hint}`);
  }

  #unasked(name: string, found: string, range: string): WeightsError {
    return new WeightsError(`${this.#url(name)}: asked for ${range}, found ${found}`);
  }
}

/** Cancels a response whose body is not needed; returns `value`. */
async function cancelled<T>(response: Response, value: T): Promise<T> {
  await response.body?.cancel().catch(() => {});
  return value;
}

/** The same, and throws. */
async function refused(response: Response, error: WeightsError): Promise<never> {
  throw await cancelled(response, error);
}

/** The file's size by Content-Length; null without it, or if the response is compressed. */
function plainLength({ headers }: Response): number | null {
  const [length, encoding] = [headers.get("content-length"), headers.get("content-encoding")];
  return length !== null && /^\d+$/.test(length) && (encoding ?? "identity") === "identity" ? Number(length) : null;
}

function isHtml({ headers }: Response): boolean {
  return /^\s*(text\/html|application\/xhtml\+xml)\b/i.test(headers.get("content-type") ?? "");
}

/** Whether a small file is really a web page, whatever its content type. */
function isPage(bytes: Uint8Array): boolean {
  return /^\uFEFF?\s*<(?:!doctype html|html)\b/i.test(new TextDecoder().decode(bytes.subarray(0, 512)));
}
