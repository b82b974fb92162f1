// Requests to the server that served the page: relative addresses, the key, errors in the
// server's words.

import { EngineError } from "../engine.ts";

/** Gives the API key, and asks for one. */
export interface KeyRing {
  /** The key that requests send; null: none. */
  key(): string | null;
  /**
   * Asks for a key because the server refused `refused`. Several requests at once get one question.
   * Resolves to null where no key is given.
   */
  ask(refused: string | null): Promise<string | null>;
}

export interface Http {
  /** Base URL of the server, without a final slash. */
  readonly url: string;
  /** A response whose status is that of success. @throws EngineError, the reason of `signal` */
  send(path: string, init?: { readonly json?: unknown; readonly signal?: AbortSignal }): Promise<Response>;
  /** The JSON of a response. @throws EngineError, the reason of `signal` */
  json(path: string, init?: { readonly json?: unknown; readonly signal?: AbortSignal }): Promise<unknown>;
}

/** @param base the page's own address */
export function createHttp(base: string, keys: KeyRing): Http {
  const url = new URL(".", base).href.replace(/\/$/, "");
  const once = async (path: string, json: unknown, signal: AbortSignal | undefined): Promise<Response> => {
    const key = keys.key();
    try {
      return await fetch(`${url}/${path}`, {
        method: json === undefined ? "GET" : "POST",
        headers: {
          ...(json !== undefined && { "content-type": "application/json" }),
          ...(key !== null && { authorization: `Bearer ${key}` }),
        },
        ...(json !== undefined && { body: JSON.stringify(json) }),
        ...(signal && { signal }),
        cache: "no-store",
        credentials: "same-origin",
        redirect: "error",
      });
    } catch (error) {
      signal?.throwIfAborted();
      throw new EngineError(`the server at ${url} does not answer: ${(error as Error).message}`);
    }
  };
  const send: Http["send"] = async (path, { json, signal } = {}) => {
    for (let tries = 0; ; tries++) {
      const sent = keys.key();
      const response = await once(path, json, signal);
      if (response.ok) return response;
      const failure = await failureOf(response);
      if (response.status !== 401 || tries > 3) throw failure;
      // Another request may have got a key in the meantime.
      const key = keys.key() !== sent ? keys.key() : await keys.ask(sent);
      signal?.throwIfAborted();
      if (key === null) throw failure;
    }
  };
  return {
    url,
    send,
    async json(path, init) {
      const response = await send(path, init);
      try {
        return await response.json();
      } catch (error) {
        init?.signal?.throwIfAborted();
        throw new EngineError(`expected JSON from ${url}/${path}, found none: ${(error as Error).message}`);
      }
    },
  };
}

/** The error that a response tells of. */
async function failureOf(response: Response): Promise<EngineError> {
  const text = await response.text().catch(() => "");
  return new EngineError(messageIn(text) ?? `the server answered with status ${response.status}`, response.status);
}

/** The message of an error in the shape of OpenAI's API; null where there is none. */
export function messageIn(text: string): string | null {
  try {
    const message = (JSON.parse(text) as { error?: { message?: unknown } | null } | null)?.error?.message;
    return typeof message === "string" ? message : null;
  } catch {
    return null;
  }
}
