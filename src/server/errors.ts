// Failures as HTTP answers: the status of an error, whether a retry makes sense, and its shape in
// each API.

import { BusyError, HotsetError, MemoryError, type Overflow, RequestError, WeightsError } from "../errors.ts";

/**
 * The API whose shape an error has. OpenRouter's is OpenAI's with the status as its code, Mistral's
 * repeats the fields beside the error object, Ollama's is a text.
 */
export type Dialect = "openai" | "anthropic" | "openrouter" | "mistral" | "ollama";

/** A failure of the HTTP layer itself: a path, a key, a body. */
export class HttpError extends HotsetError {
  override readonly name = "HttpError";
  readonly status: number;
  readonly code: string | null;
  readonly headers: Readonly<Record<string, string>>;
  constructor(status: number, message: string, code: string | null = null, headers: Record<string, string> = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

/** An error as it is sent to the client. */
export interface Failure {
  readonly status: number;
  readonly message: string;
  readonly code: string | null;
  readonly param: string | null;
  /** By how much a prompt is too long. */
  readonly overflow?: Overflow;
  readonly headers: Readonly<Record<string, string>>;
  /** A bug rather than an expected error: it belongs in the log. */
  readonly unexpected: boolean;
}

/** Seconds after which a client that got "busy" should retry. */
const RETRY_AFTER = "1";

/**
 * The official clients retry by themselves after 408, 409, 429 and 5xx, unless this header
 * says not to.
 */
const NO_RETRY = { "x-should-retry": "false" };

export function failureOf(error: unknown): Failure {
  const message = error instanceof Error ? error.message : String(error);
  const known = { message, code: null, param: null, headers: {}, unexpected: false };
  if (error instanceof HttpError) return { ...known, status: error.status, code: error.code, headers: error.headers };
  if (error instanceof RequestError) {
    const { code = null, param = null, overflow } = error.detail;
    return { ...known, status: 400, code, param, ...(overflow && { overflow }), ...byRequestField(message) };
  }
  if (error instanceof BusyError)
    return { ...known, status: 503, code: "busy", headers: { "retry-after": RETRY_AFTER } };
  if (error instanceof MemoryError) return { ...known, status: 507, code: "out_of_memory", headers: NO_RETRY };
  // The folder's chat template fails on this conversation: a retry would fail too.
  if (error instanceof WeightsError) return { ...known, status: 422, code: "template_failed" };
  if (error instanceof HotsetError) return { ...known, status: 500, headers: NO_RETRY };
  if (error instanceof Error && error.name === "AbortError") {
    return { ...known, status: 499, message: "the request was aborted" };
  }
  return {
    ...known,
    status: 500,
    message: "internal error, see the server's log",
    headers: NO_RETRY,
    unexpected: true,
  };
}

/** The engine's options that have another name in requests. */
const FIELD_OF: Readonly<Record<string, string>> = {
  minTokens: "min_tokens",
  maxTokens: "max_tokens",
  allowedIds: "allowed_token_ids",
  badWords: "bad_words",
  ignoreEos: "ignore_eos",
  logitBias: "logit_bias",
};

/** Replaces the name of an option in the engine's message by the field that it came from. */
function byRequestField(message: string): { message?: string; param?: string } {
  const param = FIELD_OF[/^\w+(?=:)/.exec(message)?.[0] ?? ""];
  if (param === undefined) return {};
  return { message: message.replaceAll(/\b[a-z]+[A-Z]\w+/g, (name) => FIELD_OF[name] ?? name), param };
}

/** The body of an error in one API's shape. */
export function errorBody(failure: Failure, dialect: Dialect): object {
  const { status, code, param } = failure;
  const message = messageOf(failure, dialect);
  switch (dialect) {
    case "anthropic": {
      const error = { type: anthropicType(status), message };
      // Anthropic's client, whose tool runner begins with a thread, then goes on without one.
      const details = { error_code: "thread_unsupported_request", unsupported: ["thread"] };
      return { type: "error", error: param === "thread" ? { ...error, details } : error };
    }
    case "ollama":
      return { error: message };
    case "openrouter":
      return {
        error: {
          code: status,
          message,
          type: openaiType(status),
          param,
          metadata: { error_type: code ?? openaiType(status) },
        },
      };
    case "mistral": {
      const error = { message, type: openaiType(status), param, code };
      return { object: "error", ...error, error };
    }
    case "openai":
      return { error: { message, type: openaiType(status), param, code } };
  }
}

/** Programs that shorten an overlong conversation recognize the wording of each API. */
export function messageOf({ message, overflow }: Failure, dialect: Dialect): string {
  if (!overflow) return message;
  const { tokens, context } = overflow;
  if (dialect !== "anthropic")
    return `This model's maximum context length is ${context} tokens. ${upperFirst(message)}`;
  // A prompt that fills the context to its end leaves no room for an answer.
  const most = tokens > context ? context : context - 1;
  return `prompt is too long: ${tokens} tokens > ${most} maximum (${message})`;
}

function upperFirst(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

function openaiType(status: number): string {
  if (status === 401) return "authentication_error";
  if (status === 403) return "permission_error";
  if (status === 404) return "not_found_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

function anthropicType(status: number): string {
  if (status === 401) return "authentication_error";
  if (status === 403) return "permission_error";
  if (status === 404) return "not_found_error";
  if (status === 413) return "request_too_large";
  if (status === 503) return "overloaded_error";
  return status >= 500 ? "api_error" : "invalid_request_error";
}
