// Lines of a file of requests, in the format of OpenAI's Batch API: each is answered by the
// server's application, without a socket.

import type { ChatEvent, ChatModel } from "../engine/chat_api.ts";
import { DeviceError } from "../errors.ts";
import { createApp } from "./app.ts";
import { routePath } from "./paths.ts";

/** The endpoints that a batch may use. */
const ENDPOINTS: ReadonlySet<string> = new Set([
  "/v1/chat/completions",
  "/v1/completions",
  "/v1/embeddings",
  "/v1/responses",
]);

/** Why a line cannot be sent to an endpoint. The codes are OpenAI's. */
export interface LineFault {
  readonly code:
    | "invalid_json_line"
    | "missing_required_parameter"
    | "invalid_method"
    | "invalid_url"
    | "invalid_request"
    | "duplicate_custom_id";
  readonly message: string;
}

/** A line that was read. */
export interface BatchRequest {
  /** From requestId(). */
  readonly id: string;
  /** Null where the line has none that can be read. */
  readonly customId: string | null;
  /** What to send, or why nothing can be sent. */
  readonly call: { readonly path: string; readonly body: string } | LineFault;
}

/** The id of the answer to a line: the same line of the same model always has the same. */
export function requestId(digest: string): string {
  return `batch_req_${digest.slice(0, 32)}`;
}

/**
 * @param line without its newline; null if it is longer than `limit` bytes
 * @param limit for the message
 */
export function readRequest(id: string, line: Uint8Array | null, limit: number): BatchRequest {
  if (line === null) {
    const message = `the line is longer than ${limit} bytes; --line-limit raises the limit`;
    return { id, customId: null, call: { code: "invalid_request", message } };
  }
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(line));
  } catch (error) {
    const message = error instanceof SyntaxError ? error.message : "it is not valid UTF-8";
    return { id, customId: null, call: { code: "invalid_json_line", message: `the line is not JSON: ${message}` } };
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    const message = `expected a JSON object with custom_id, method, url and body, found ${kindOf(value)}`;
    return { id, customId: null, call: { code: "invalid_json_line", message } };
  }
  const { custom_id: given, ...rest } = value as Record<string, unknown>;
  const customId = typeof given === "string" && given !== "" ? given : null;
  if (customId === null) {
    const message = `custom_id: expected a text that is not empty, found ${kindOf(given)}`;
    return { id, customId, call: { code: "missing_required_parameter", message } };
  }
  return { id, customId, call: callOf(rest) };
}

function callOf({ method = "POST", url, body }: Readonly<Record<string, unknown>>): BatchRequest["call"] {
  if (method !== "POST") return { code: "invalid_method", message: `method: expected POST, found ${shown(method)}` };
  const path = typeof url === "string" ? routePath(url) : "";
  if (!ENDPOINTS.has(path)) {
    const message = `url: expected one of ${[...ENDPOINTS].join(", ")}, found ${shown(url)}`;
    return { code: url === undefined ? "missing_required_parameter" : "invalid_url", message };
  }
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    return { code: "missing_required_parameter", message: `body: expected a JSON object, found ${kindOf(body)}` };
  }
  if ((body as { stream?: unknown }).stream === true) {
    return { code: "invalid_request", message: "body.stream: a line is answered whole; leave it out" };
  }
  return { path, body: JSON.stringify(body) };
}

function kindOf(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === "") return "an empty text";
  return value === null ? "null" : Array.isArray(value) ? "an array" : `a ${typeof value}`;
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** An answered line. */
export interface BatchAnswer {
  /** The line, with its newline. */
  readonly text: string;
  /** Whether the endpoint answered with a status below 400. */
  readonly ok: boolean;
}

export interface Batch {
  /**
   * Answers one line; faults of the request are part of the answer.
   * @throws DeviceError if the device is lost: no further line can be answered; the signal's reason
   */
  answer(request: BatchRequest): Promise<BatchAnswer>;
}

export interface BatchOptions {
  /** Ends all answers. */
  readonly signal: AbortSignal;
  /** Most answers of one line (n, a list of prompts) that are computed at once. */
  readonly answersAtOnce?: number;
  /** Called with unexpected errors. */
  readonly log?: (error: unknown) => void;
}

export function createBatch(model: ChatModel, { signal, ...options }: BatchOptions): Batch {
  let lost: DeviceError | null = null;
  const watched = watch(model, (error) => {
    lost = error;
  });
  const app = createApp(watched, { ...options, bodyLimit: Number.POSITIVE_INFINITY });
  // A Request listens to its signal for as long as it is in memory: each has one of its own.
  const running = new Set<AbortController>();
  signal.addEventListener("abort", () => {
    for (const one of running) one.abort(signal.reason);
  });
  return {
    async answer({ id, customId, call }) {
      signal.throwIfAborted();
      if ("code" in call) return lineOf(id, customId, null, call);
      const headers = { "content-type": "application/json", "x-request-id": id.replace("batch_", "") };
      const own = new AbortController();
      running.add(own);
      try {
        const response = await app.request(call.path, { method: "POST", headers, body: call.body, signal: own.signal });
        const text = await response.text();
        signal.throwIfAborted();
        if (lost) throw lost;
        const requestId = response.headers.get("x-request-id");
        return lineOf(id, customId, { status: response.status, requestId, text }, null);
      } finally {
        running.delete(own);
      }
    },
  };
}

/** The beginning of a line, by which it is recognized. */
export function headOf({ id, customId }: Pick<BatchRequest, "id" | "customId">): string {
  return `{"id":${JSON.stringify(id)},"custom_id":${JSON.stringify(customId)},`;
}

interface Answered {
  readonly status: number;
  readonly requestId: string | null;
  /** JSON. */
  readonly text: string;
}

function lineOf(id: string, customId: string | null, answered: Answered | null, error: LineFault | null): BatchAnswer {
  const response =
    answered === null
      ? "null"
      : `{"status_code":${answered.status},"request_id":${JSON.stringify(answered.requestId)},"body":${answered.text}}`;
  const text = `${headOf({ id, customId })}"response":${response},"error":${JSON.stringify(error)}}\n`;
  return { text, ok: answered !== null && answered.status < 400 };
}

/** The same model; tells of a lost device, which the endpoints make an answer of. */
function watch(model: ChatModel, onLost: (error: DeviceError) => void): ChatModel {
  const told = (error: unknown): never => {
    if (error instanceof DeviceError) onLost(error);
    throw error;
  };
  async function* events(from: AsyncIterable<ChatEvent>): AsyncGenerator<ChatEvent> {
    try {
      yield* from;
    } catch (error) {
      told(error);
    }
  }
  return {
    ...model,
    chat: (messages, options) => events(model.chat(messages, options)),
    complete: (prompt, options) => events(model.complete(prompt, options)),
    embed: (input, signal) => model.embed(input, signal).catch(told),
  };
}
