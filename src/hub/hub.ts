// Requests to the hub, whose failures say what to do.

import { onAbort } from "../abort.ts";
import { abortReason, HubError, RequestError } from "../errors.ts";
import type { ModelName } from "./name.ts";
import { pause, worthTrying } from "./transfer.ts";

/** The most bytes of an answer that is read whole, and how long it may take to come. */
const MOST_BYTES = 2 ** 24;
const ANSWER_MS = 60_000;
/** Tries of a request that the hub is too busy for, and the seconds between them at most. */
const TRIES = 4;
const LONGEST_WAIT = 20;

/** Where the hub is, and as whom to ask it. */
export interface HubOptions {
  /** Without a slash at the end. */
  readonly endpoint: string;
  /** An access token, for gated and private models. */
  readonly token: string | null;
  readonly fetch: typeof fetch;
}

/** A request without a body. */
export interface HubRequest {
  readonly headers?: HeadersInit;
  readonly signal: AbortSignal;
}

export class Hub {
  readonly endpoint: string;
  readonly #token: string | null;
  readonly #fetch: typeof fetch;

  /** @throws RequestError for a token that cannot be sent; the message does not quote it */
  constructor({ endpoint, token, fetch }: HubOptions) {
    if (token !== null && !/^[\x21-\x7e]+$/.test(token))
      throw new RequestError(
        "the access token (HF_TOKEN, or the file that `hf auth login` wrote): expected letters and digits as in hf_..., found a space, a line break or another character that no token has",
      );
    this.endpoint = endpoint;
    this.#token = token;
    this.#fetch = fetch;
  }

  /** The address of a file's contents. */
  fileUrl(repo: string, commit: string, path: string): string {
    return `${this.endpoint}/${repo}/resolve/${commit}/${path.split("/").map(encodeURIComponent).join("/")}`;
  }

  /**
   * A request for something of `name`'s repository. The token goes to the hub only: not to another
   * host that a listing goes on at, and fetch drops it when a redirect leads to one.
   * @throws HubError for every answer but 2xx; `status` of it is 0 if there was none
   */
  async request(url: string, name: ModelName, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.#token !== null && new URL(url).origin === new URL(this.endpoint).origin)
      headers.set("authorization", `Bearer ${this.#token}`);
    let response: Response;
    try {
      response = await this.#fetch(url, { ...init, headers });
    } catch (error) {
      init.signal?.throwIfAborted();
      throw new HubError(`${new URL(url).host} cannot be reached: ${causeOf(error)}`, 0, { cause: error });
    }
    if (response.ok) return response;
    await response.body?.cancel();
    throw new HubError(this.#refusal(response, name), response.status, {}, retryAfter(response));
  }

  /**
   * As request(), for an answer of the hub's API: it is read whole, and asked for again while the
   * hub is too busy.
   * @throws HubError as request(), and for an answer that is too large or too slow
   */
  ask(url: string, name: ModelName, request: HubRequest): Promise<Response> {
    return this.#timely(url, name, request, async (response) => {
      const { status, headers } = response;
      return new Response(await wholeBody(response), { status, headers });
    });
  }

  /** Whether a file could be read, as request() tells; nothing of it is read. */
  probe(url: string, name: ModelName, request: HubRequest): Promise<void> {
    return this.#timely(url, name, request, async (response) => response.body?.cancel());
  }

  async #timely<T>(
    url: string,
    name: ModelName,
    { headers, signal }: HubRequest,
    take: (response: Response) => Promise<T>,
  ): Promise<T> {
    for (let tries = 1; ; tries++) {
      // A signal of its own: fetch adds listeners to it that stay.
      const own = new AbortController();
      const stay = onAbort(signal, () => own.abort(abortReason(signal)));
      const late = new HubError(`${new URL(url).host}: no whole answer came within ${ANSWER_MS / 1000} s`, 0);
      const timer = setTimeout(() => own.abort(late), ANSWER_MS);
      try {
        signal.throwIfAborted();
        return await take(await this.request(url, name, { ...(headers && { headers }), signal: own.signal }));
      } catch (error) {
        if (own.signal.aborted) throw own.signal.reason;
        if (!(error instanceof HubError) || error.status === 0 || !worthTrying(error)) throw error;
        const seconds = error.retryAfter ?? 2 ** (tries - 1);
        if (tries === TRIES || seconds > LONGEST_WAIT) throw error;
        await pause(seconds * 1000, signal);
      } finally {
        clearTimeout(timer);
        stay();
      }
    }
  }

  /** Why the hub refused, and what to do, from the status and its X-Error-Code. */
  #refusal({ status, headers, url }: Response, { repo, revision }: ModelName): string {
    const code = headers.get("x-error-code");
    const { host } = new URL(this.endpoint);
    const page = `${this.endpoint}/${repo}`;
    if (code === "GatedRepo")
      return this.#token === null
        ? `${repo} is gated: accept its terms at ${page}, then set HF_TOKEN to an access token`
        : `${repo} is gated, and the account of the token has no access yet: ask for it at ${page}`;
    if (code === "RevisionNotFound") return `${repo} has no revision ${revision ?? "main"}`;
    if (code === "EntryNotFound") return `${repo} no longer has the file ${url}`;
    if (status === 401 && this.#token !== null && code !== "RepoNotFound")
      return `${host} rejects the access token (HF_TOKEN, or the file that \`hf auth login\` wrote): it is wrong or has expired`;
    if (status === 401 || status === 404)
      return this.#token === null
        ? `${host} has no model ${repo}; if it is private, set HF_TOKEN to an access token`
        : `${host} has no model ${repo} that the account of the token can see`;
    if (status === 403) return `${host} denies access to ${repo}`;
    const seconds = retryAfter({ headers });
    const when = seconds === null || seconds === 0 ? "later" : `in ${Math.ceil(seconds)} s`;
    if (status === 429) return `${host} answers 429: too many requests; try again ${when}`;
    if (status === 503) return `${host} answers 503 to ${url}; try again ${when}`;
    return `${host} answers ${status} to ${url}`;
  }
}

/** The seconds that the hub wants to be left alone for: a number or a date. */
function retryAfter({ headers }: Pick<Response, "headers">): number | null {
  const text = headers.get("retry-after") ?? "";
  if (/^\d+$/.test(text)) return Number(text);
  const date = Date.parse(text);
  return Number.isNaN(date) ? null : Math.max(0, (date - Date.now()) / 1000);
}

/** @throws HubError if it is larger than any answer of the hub's API */
async function wholeBody(response: Response): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let length = 0;
  const reader = response.body?.getReader();
  const read = () =>
    reader?.read().catch((error: unknown) => {
      throw new HubError(`${response.url}: the connection broke off: ${causeOf(error)}`, 0, { cause: error });
    });
  for (let next = await read(); next && !next.done; next = await read()) {
    length += next.value.length;
    if (length > MOST_BYTES) {
      await reader!.cancel().catch(() => {});
      throw new HubError(`${response.url} sends more than ${MOST_BYTES} bytes, which no answer of the hub has`, 200);
    }
    parts.push(next.value);
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** The innermost message: fetch hides the reason in `cause`. */
function causeOf(error: unknown): string {
  const { cause, message, code } = error as { cause?: unknown; message?: string; code?: string };
  if (cause) return causeOf(cause);
  return message || code || String(error);
}
