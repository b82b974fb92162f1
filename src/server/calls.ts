// What becomes of each request, from its headers to the last byte of its answer: for the log and for what is counted.

import { type Failure, failureOf } from "./errors.ts";

export type Outcome = "ok" | "refused" | "failed" | "cancelled";

/** One request that is over. */
export interface CallRecord {
  readonly id: string;
  readonly method: string;
  /** Without the query, in which keys may stand. */
  readonly path: string;
  readonly endpoint: string;
  /** Address of the connection, and what gateways say about whom they stand for. */
  readonly client: string | null;
  readonly forwardedFor: string | null;
  /** Of the caller's traceparent. */
  readonly traceId: string | null;
  readonly stream: boolean;
  /** What was sent, or what a stream that had begun would have got: its failure's, or 499 where the client left. */
  readonly status: number;
  readonly outcome: Outcome;
  readonly error: string | null;
  /** Why answers ended, one a choice. */
  readonly finish: readonly string[];
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly firstTokenMs: number | null;
  readonly ms: number;
}

type Head = Pick<CallRecord, "method" | "path" | "endpoint" | "client">;

/** What is counted where the client left: nginx's number. */
const LEFT = 499;
/** Identifiers that go into headers and logs as they came. */
const SAFE_ID = /^[\w.:/+=@~-]{1,128}$/;
const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$/;
/** Addresses, as gateways list them. */
const FORWARDED = /^[\w.:[\], "=;-]{1,256}$/;

/** Characters of the header that warns: clients and proxies take some thousands of all headers. */
const MAX_WARNING = 1000;

export class Call {
  /** Taken over from the caller where it can be, so that both logs tell of the same request. */
  readonly id: string;
  readonly #head: Head & Pick<CallRecord, "forwardedFor" | "traceId">;
  readonly #begun: number;
  readonly #now: () => number;
  readonly #over: (record: CallRecord) => void;
  readonly #finish: string[] = [];
  readonly #warnings = new Set<string>();
  readonly #tokens = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };
  #firstTokenMs: number | null = null;
  #stream = false;
  /** How the answer ended, once it has. */
  #ended: { readonly failure: Failure | null } | null = null;
  #failure: Failure | null = null;

  constructor(head: Head, headers: Headers, now: () => number, over: (record: CallRecord) => void) {
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

  /** Tokens that were computed for it since the last time. */
  add(tokens: Partial<Pick<CallRecord, "promptTokens" | "cachedTokens" | "completionTokens">>): void {
    this.#tokens.promptTokens += tokens.promptTokens ?? 0;
    this.#tokens.cachedTokens += tokens.cachedTokens ?? 0;
    this.#tokens.completionTokens += tokens.completionTokens ?? 0;
  }

  firstToken(): void {
    this.#firstTokenMs ??= this.#now() - this.#begun;
  }

  /** What the answer's headers warn of: one line of ASCII, cut where it is long. */
  get warning(): string | null {
    if (this.#warnings.size === 0) return null;
    const line = [...this.#warnings].join("; ").replace(/[^ -~]+/g, "?");
    return line.length > MAX_WARNING ? `${line.slice(0, MAX_WARNING - 3)}...` : line;
  }

  warn(warnings: readonly string[]): void {
    for (const warning of warnings) this.#warnings.add(warning);
  }

  /** One of its answers ended by itself. */
  finished(reason: string): void {
    this.#finish.push(reason);
  }

  /** It was refused, or failed before anything was sent; the response follows. */
  failed(failure: Failure): void {
    this.#failure = failure;
  }

  /** There is a response: whole, or a stream that goes on until ended(). */
  responded(status: number, stream: boolean): void {
    this.#stream = stream;
    if (!stream) this.#close(status, this.#failure);
    else if (this.#ended) this.#close(this.#ended.failure?.status ?? status, this.#ended.failure);
  }

  /** The answer is over. `failure`: what broke it off; null: nothing. */
  ended(failure: Failure | null): void {
    if (this.#ended) return;
    this.#ended = { failure };
    if (!this.#stream) return;
    const close = (): void => this.#close(failure?.status ?? 200, failure);
    if (failure?.status === LEFT)
      setImmediate(close); // the answer counts its last tokens when it hears of it
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
      firstTokenMs: this.#firstTokenMs,
      ms: this.#now() - this.#begun,
    });
  }
}

/** What is said of a request whose client has left: a status that no client sees. */
export function leftFailure(): Failure {
  return failureOf(new DOMException("the client left", "AbortError"));
}

function outcomeOf(status: number, begun: boolean): Outcome {
  if (status < 400) return "ok";
  if (status === LEFT) return "cancelled";
  return begun || (status >= 500 && status !== 503) ? "failed" : "refused";
}
