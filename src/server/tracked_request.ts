// Follows each request from its headers to the last byte of its answer, for the log
// and the metrics.

import { type Failure, failureOf } from "./errors.ts";

export type Outcome = "ok" | "refused" | "failed" | "cancelled";

/** A finished request. */
export interface RequestSummary {
  readonly id: string;
  readonly method: string;
  /** Without the query, which may contain keys. */
  readonly path: string;
  readonly endpoint: string;
  /** Address of the connection, and the addresses that gateways forwarded for. */
  readonly client: string | null;
  readonly forwardedFor: string | null;
  /** From the caller's traceparent. */
  readonly traceId: string | null;
  /** The model that answers; null if the request was rejected before. */
  readonly model: string | null;
  /** The fingerprint of its API key; null without one. */
  readonly key: string | null;
  readonly stream: boolean;
  /**
   * The status sent; for a stream that broke off, the status of its failure, or 499 where the
   * client left.
   */
  readonly status: number;
  readonly outcome: Outcome;
  readonly error: string | null;
  /** Why the answers ended, one for each choice. */
  readonly finish: readonly string[];
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  /** The wait of its first answer in the queue. */
  readonly queueMs: number | null;
  /** To its first token, and to its end. */
  readonly firstTokenMs: number | null;
  readonly ms: number;
}

type Head = Pick<RequestSummary, "method" | "path" | "endpoint" | "client">;

/** The status that is counted where the client left: nginx's number. */
const LEFT = 499;
/** Identifiers that may go into headers and logs unchanged. */
const SAFE_ID = /^[\w.:/+=@~-]{1,128}$/;
const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$/;
/** Lists of addresses as gateways write them. */
const FORWARDED = /^[\w.:[\], "=;-]{1,256}$/;

/**
 * Most characters of the warning header: clients and proxies accept some thousands for all headers.
 */
const MAX_WARNING = 1000;

export class TrackedRequest {
  /** The caller's own id if it is safe, so that both logs name the same request. */
  readonly id: string;
  readonly #head: Head & Pick<RequestSummary, "forwardedFor" | "traceId">;
  readonly #begun: number;
  readonly #now: () => number;
  readonly #over: (record: RequestSummary) => void;
  readonly #finish: string[] = [];
  readonly #warnings = new Set<string>();
  readonly #tokens = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };
  #model: string | null = null;
  #key: string | null = null;
  #queueMs: number | null = null;
  #firstTokenMs: number | null = null;
  #stream = false;
  /** How the answer ended; null while it has not. */
  #ended: { readonly failure: Failure | null } | null = null;
  #failure: Failure | null = null;

  constructor(head: Head, headers: Headers, now: () => number, over: (record: RequestSummary) => void) {
    const given = headers.get("x-request-id") ?? "";
    this.id = SAFE_ID.test(given) ? given : crypto.randomUUID();
    const forwarded = headers.get("x-forwarded-for") ?? headers.get("forwarded") ?? "";
    this.#head = {
      ...head,
      forwardedFor: FORWARDED.test(forwarded) ? forwarded : null,
      traceId: TRACEPARENT.exec(headers.get("traceparent") ?? "")?.[1] ?? null,
    };
    this.#begun = now();
    this.#now = now;
    this.#over = over;
  }

  /** Adds tokens that were computed since the last call. */
  add(tokens: Partial<Pick<RequestSummary, "promptTokens" | "cachedTokens" | "completionTokens">>): void {
    this.#tokens.promptTokens += tokens.promptTokens ?? 0;
    this.#tokens.cachedTokens += tokens.cachedTokens ?? 0;
    this.#tokens.completionTokens += tokens.completionTokens ?? 0;
  }

  answeredBy(model: string): void {
    this.#model = model;
  }

  /** @param fingerprint of its key */
  keyed(fingerprint: string): void {
    this.#key = fingerprint;
  }

  /** The wait of one of its answers in the queue is over, after `ms`. */
  turn(ms: number): void {
    this.#queueMs ??= ms;
  }

  firstToken(): void {
    this.#firstTokenMs ??= this.#now() - this.#begun;
  }

  /** The value of the warning header: one line of ASCII, cut if it is long. */
  get warning(): string | null {
    if (this.#warnings.size === 0) return null;
    const line = [...this.#warnings].join("; ").replace(/[^ -~]+/g, "?");
    return line.length > MAX_WARNING ? `${line.slice(0, MAX_WARNING - 3)}...` : line;
  }

  warn(warnings: readonly string[]): void {
    for (const warning of warnings) this.#warnings.add(warning);
  }

  /** One of its answers ended normally. */
  finished(reason: string): void {
    this.#finish.push(reason);
  }

  /** It was rejected, or failed before anything was sent; the response follows. */
  failed(failure: Failure): void {
    this.#failure = failure;
  }

  /** The response is there: complete, or a stream that lasts until ended(). */
  responded(status: number, stream: boolean): void {
    this.#stream = stream;
    if (!stream) this.#close(status, this.#failure);
    else if (this.#ended) this.#close(this.#ended.failure?.status ?? status, this.#ended.failure);
  }

  /** The answer is over. `failure`: the error that broke it off, if any. */
  ended(failure: Failure | null): void {
    if (this.#ended) return;
    this.#ended = { failure };
    if (!this.#stream) return;
    const close = (): void => this.#close(failure?.status ?? 200, failure);
    if (failure?.status === LEFT)
      setImmediate(close); // the answer counts its last tokens when it is aborted
    else close();
  }

  #close(status: number, failure: Failure | null): void {
    this.#over({
      ...this.#head,
      ...this.#tokens,
      id: this.id,
      stream: this.#stream,
      status,
      outcome: outcomeOf(status, this.#stream),
      error: failure?.message ?? null,
      finish: this.#finish,
      model: this.#model,
      key: this.#key,
      queueMs: this.#queueMs,
      firstTokenMs: this.#firstTokenMs,
      ms: this.#now() - this.#begun,
    });
  }
}

/** The failure of a request whose client has left. No client sees its status. */
export function leftFailure(): Failure {
  return failureOf(new DOMException("the client left", "AbortError"));
}

function outcomeOf(status: number, begun: boolean): Outcome {
  if (status < 400) return "ok";
  if (status === LEFT) return "cancelled";
  return begun || (status >= 500 && status !== 503) ? "failed" : "refused";
}
