// The errors that hotset throws on purpose. Each message says what was expected, what was found,
// where, and what to do.

/** Base of every error that hotset throws on purpose; anything else is a bug. */
export class HotsetError extends Error {
  /** The name of the class. */
  override readonly name: string = "HotsetError";
}

/**
 * A weights folder, a file in it or its configuration is missing, malformed, inconsistent
 * or not supported.
 */
export class WeightsError extends HotsetError {
  /** The name of the class. */
  override readonly name = "WeightsError";
}

/** A prompt that is longer than the context, in tokens. */
export interface Overflow {
  /** Tokens of the prompt; a lower bound if it was not counted to its end. */
  readonly tokens: number;
  /** Positions that there are. */
  readonly context: number;
}

/** What a program can tell from a RequestError without reading its message. */
export interface RequestErrorDetail {
  /** The kind of a fault that callers handle: prompt, or prompt and answer, exceed the context. */
  readonly code?: "context_length_exceeded";
  /** The prompt, if the code says that it is too long. */
  readonly overflow?: Overflow;
  /** The field that is wrong, as the caller named it: "tools[0].name". */
  readonly param?: string;
}

/**
 * A call asks for something impossible: a bad option, a prompt longer than the context,
 * a closed model.
 */
export class RequestError extends HotsetError {
  /** The name of the class. */
  override readonly name = "RequestError";
  /** What a program can tell from it. */
  readonly detail: RequestErrorDetail;
  constructor(message: string, detail: RequestErrorDetail = {}) {
    super(message);
    this.detail = detail;
  }
}

/** A memory budget cannot hold what was asked for, or an allocation failed. */
export class MemoryError extends HotsetError {
  /** The name of the class. */
  override readonly name = "MemoryError";
}

/** There is no room just now, and there will be: the queue is full. Worth another try. */
export class BusyError extends HotsetError {
  /** The name of the class. */
  override readonly name = "BusyError";
}

/** No adapter, a lost device, or a command that the device refused. */
export class DeviceError extends HotsetError {
  /** The name of the class. */
  override readonly name = "DeviceError";
}

/** The model hub cannot be reached, refuses, or sent something else than it promised. */
export class HubError extends HotsetError {
  /** The name of the class. */
  override readonly name = "HubError";
  /** The HTTP status; 0 if there was no answer. */
  readonly status: number;
  /** Seconds until the hub wants to be asked again, if it said so. */
  readonly retryAfter: number | null;
  constructor(message: string, status: number, options: ErrorOptions = {}, retryAfter: number | null = null) {
    super(message, options);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** The abort reason of `signal` as an Error: what an aborted call rejects with. */
export function abortReason(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new DOMException("The operation was aborted", "AbortError");
}
