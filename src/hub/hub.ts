// Requests to the hub, whose failures say what to do.

import { HubError } from "../errors.ts";
import type { ModelName } from "./name.ts";

/** Where the hub is, and as whom to ask it. */
export interface HubOptions {
  /** Without a slash at the end. */
  readonly endpoint: string;
  /** An access token, for gated and private models. */
  readonly token: string | null;
  readonly fetch: typeof fetch;
}

export class Hub {
  readonly endpoint: string;
  readonly #token: string | null;
  readonly #fetch: typeof fetch;

  constructor({ endpoint, token, fetch }: HubOptions) {
    this.endpoint = endpoint;
    this.#token = token;
    this.#fetch = fetch;
  }

  /** The address of a file's contents. */
  fileUrl(repo: string, commit: string, path: string): string {
    return `${this.endpoint}/${repo}/resolve/${commit}/${path.split("/").map(encodeURIComponent).join("/")}`;
  }

  /**
   * A request for something of `name`'s repository. The token goes to the hub only: fetch drops it
   * when a redirect leads to another host.
   * @throws HubError for every answer but 2xx; `status` of it is 0 if there was none
   */
  async request(url: string, name: ModelName, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.#token !== null) headers.set("authorization", `Bearer ${this.#token}`);
    let response: Response;
    try {
      response = await this.#fetch(url, { ...init, headers });
    } catch (error) {
      init.signal?.throwIfAborted();
      throw new HubError(`${new URL(url).host} cannot be reached: ${causeOf(error)}`, 0, { cause: error });
    }
    if (response.ok) return response;
    await response.body?.cancel();
    const retry = Number(response.headers.get("retry-after"));
    throw new HubError(this.#refusal(response, name), response.status, {}, retry > 0 ? retry : null);
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
    if (status === 429) return `${host} answers 429: too many requests; try again later`;
    return `${host} answers ${status} to ${url}`;
  }
}

/** The innermost message: fetch hides the reason in `cause`. */
function causeOf(error: unknown): string {
  const { cause, message, code } = error as { cause?: unknown; message?: string; code?: string };
  if (cause) return causeOf(cause);
  return message || code || String(error);
}
