// Runs the application on a socket: timeouts, limits, and clients that stop reading.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { hostname } from "node:os";
import { setTimeout as setTimeoutPromise } from "node:timers/promises";
import { getRequestListener } from "@hono/node-server";
import type { ChatModel } from "../engine/chat_api.ts";
import { createApp, type ServerOptions } from "./app.ts";
import { errorBody, failureOf, HttpError } from "./errors.ts";
import { isHost, listenHost } from "./host_header.ts";
import { listen, takeOver } from "./node_listen.ts";
import { routePath } from "./paths.ts";
import { PROBES } from "./probes.ts";
import { processMetrics } from "./process_metrics.ts";
import type { ServedModels } from "./served.ts";
import { ServerState } from "./state.ts";

export interface ListenOptions extends ServerOptions {
  /** Default 8080; 0: any free port. */
  readonly port?: number;
  /**
   * Address to listen on, or "unix:/path" for a Unix socket. Default 127.0.0.1: this machine only.
   */
  readonly host?: string;
  /** Descriptor of a socket that another program listens on, in place of host and port. */
  readonly fd?: number;
  /**
   * How long a connection without a request is kept; longer than gateways keep theirs.
   * Default 75 s.
   */
  readonly idleMs?: number;
  /** Most open connections; further ones are closed at once. Default 2048. */
  readonly connections?: number;
  /** How long a client may take for a request's headers. Default 30 s. */
  readonly headersTimeoutMs?: number;
  /** How long a client may take for headers and body. Default 60 s. */
  readonly requestTimeoutMs?: number;
  /** How long a client may read nothing before its connection is closed. Default 30 s. */
  readonly stallMs?: number;
}

export interface RunningServer {
  /** Base URL: "http://127.0.0.1:8080"; of a Unix socket "http://localhost". */
  readonly url: string;
  /** "127.0.0.1:8080", or "unix:/path"; "fd:3" of a Unix socket that was handed over. */
  readonly address: string;
  /** Begins to answer with one model or several, if startServer() was given none. */
  ready(models: ChatModel | ServedModels): void;
  /**
   * Rejects new requests with 503 on the open port, so that gateways notice, and waits until
   * running and queued ones are answered: at least LINGER_MS, and at most `ms` or until `signal`
   * aborts. Resolves to whether all were answered.
   */
  drain(ms: number, signal?: AbortSignal): Promise<boolean>;
  /**
   * Ends running answers with `message` as their error, then closes every connection. Safe
   * to call twice.
   */
  close(message?: string): Promise<void>;
}

/** Time for streams to send why they ended. */
const CLOSING_MS = 500;
/** Gateways check every second or two. */
const LINGER_MS = 3000;

type Refusal = readonly [status: number, reason: string, message: string];
const BAD_REQUEST: Refusal = [400, "Bad Request", "the request is malformed: this is not HTTP/1.1"];
/** Errors that Node finds before there is a request. */
const REFUSALS: Readonly<Record<string, Refusal>> = {
  HPE_HEADER_OVERFLOW: [431, "Request Header Fields Too Large", "the request's headers are larger than 16 KiB"],
  ERR_HTTP_REQUEST_TIMEOUT: [408, "Request Timeout", "the request did not arrive in time"],
};

/**
 * Listens, and answers with one model or several. Null: the model is still being loaded; requests
 * get a 503 until ready().
 * @throws RequestError where it cannot listen
 */
export async function startServer(
  models: ChatModel | ServedModels | null,
  options: ListenOptions = {},
): Promise<RunningServer> {
  const state = new ServerState(models);
  processMetrics(); // the lag of the event loop is measured from now on
  const host = listenHost(options.host ?? "127.0.0.1");
  const own = [host, hostname(), `${hostname()}.local`].filter(isHost);
  const hosts = [...(options.hosts ?? []), ...own];
  const app = createApp(state, { ...options, hosts });
  // The global Request and Response stay those of Node. HTTP/1.0 needs no Host.
  const listener = getRequestListener(app.fetch, {
    overrideGlobalObjects: false,
    hostname: "localhost",
    errorHandler: (error) => badRequest(error),
  });
  const headersTimeout = options.headersTimeoutMs ?? 30_000;
  const requestTimeout = Math.max(options.requestTimeoutMs ?? 60_000, headersTimeout);
  const server = createServer(
    {
      headersTimeout,
      requestTimeout,
      keepAliveTimeout: options.idleMs ?? 75_000,
      connectionsCheckingInterval: Math.min(1000, headersTimeout),
    },
    (request, response) => {
      canonicalHost(request);
      // of the server as a whole
      if (request.method === "OPTIONS" && request.url === "*") request.url = "/";
      return listener(request, response);
    },
  );
  server.maxConnections = options.connections ?? 2048;

  /** Running answers of each connection; a connection without a request so far has no entry. */
  const answers = new WeakMap<Socket, Set<ServerResponse>>();
  const live = createLiveAnswers();
  server.prependListener("request", ({ socket, url = "" }, response) => {
    const own = answers.get(socket) ?? new Set();
    answers.set(socket, own.add(response));
    response.on("close", () => own.delete(response));
    if (state.phase === "draining" || state.phase === "closing") response.shouldKeepAlive = false;
    else if (!PROBES.has(routePath(url.replace(/\?.*/, "")))) live.add(response);
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    const begun = [...(answers.get(socket as Socket) ?? [])].some((response) => response.headersSent);
    if (error.code === "ECONNRESET" || !socket.writable || begun) socket.destroy();
    // even if the client keeps its side open
    else socket.end(refusal(error.code ?? ""), () => socket.destroy());
  });
  // A silent connection has no further request, or its client does not read the answer: it is
  // closed. One whose answer is being computed is kept; one without a request so far has the time
  // of headersTimeout.
  const stallMs = options.stallMs ?? 30_000;
  server.setTimeout(stallMs, (socket: Socket) => {
    if (answers.get(socket)?.size === 0 || socket.writableLength > 0) socket.destroy();
    else socket.setTimeout(stallMs);
  });

  const { fd, port = 8080 } = options;
  const address = await (fd === undefined ? listen(server, host, port) : takeOver(server, fd));
  let closed: Promise<void> | null = null;
  return {
    url: `http://${/^(unix|fd):/.test(address) ? "localhost" : address}`,
    address,
    ready: (loaded) => state.ready(loaded),
    async drain(ms, signal) {
      state.drain();
      for (const response of live.all()) if (!response.headersSent) response.shouldKeepAlive = false;
      const noticed = delay(Math.min(LINGER_MS, ms), signal).then(() => live.none());
      await Promise.race([noticed, delay(ms, signal)]);
      return live.all().size === 0;
    },
    close(message = "the server is closing") {
      closed ??= new Promise((resolve) => {
        const timer = setTimeout(() => server.closeAllConnections(), CLOSING_MS);
        server.close(() => {
          clearTimeout(timer);
          resolve();
        });
        state.close(message);
        server.closeIdleConnections();
      });
      return closed;
    },
  };
}

/** The running answers, except those to probes. */
function createLiveAnswers() {
  const responses = new Set<ServerResponse>();
  let waiting: (() => void)[] = [];
  return {
    add(response: ServerResponse): void {
      responses.add(response);
      response.on("close", () => {
        responses.delete(response);
        if (responses.size > 0) return;
        for (const resolve of waiting) resolve();
        waiting = [];
      });
    },
    all: (): ReadonlySet<ServerResponse> => responses,
    /** Resolves when there are none. */
    none: (): Promise<void> =>
      responses.size === 0 ? Promise.resolve() : new Promise((resolve) => void waiting.push(resolve)),
  };
}

/** Resolves after `ms`, or at once when `signal` aborts. */
function delay(ms: number, signal?: AbortSignal): Promise<void> {
  return setTimeoutPromise(ms, undefined, { ...(signal && { signal }), ref: false }).catch(() => {});
}

/**
 * IPv6 addresses have many spellings, but the listener accepts only the shortest:
 * "[::ffff:127.0.0.1]" is "[::ffff:7f00:1]".
 */
function canonicalHost({ headers }: IncomingMessage): void {
  const { host } = headers;
  if (!host?.startsWith("[")) return;
  const url = `http://${host.replace(/%[\w.-]+(?=\])/, "")}`; // a zone has no meaning on another machine
  if (URL.canParse(url)) headers.host = new URL(url).host;
}

/** The answer to a request that cannot become a Request: its Host or path is malformed. */
function badRequest(error: unknown): Response {
  const reason = error instanceof Error ? error.message : String(error);
  const failure = failureOf(new HttpError(400, `the request is malformed: ${reason}`));
  return Response.json(errorBody(failure, "openai"), { status: 400 });
}

/** The complete answer to bytes that are not a request, by the code of Node's error. */
function refusal(code: string): string {
  const [status, reason, message] = REFUSALS[code] ?? BAD_REQUEST;
  const body = JSON.stringify(errorBody(failureOf(new HttpError(status, message)), "openai"));
  const headers = ["connection: close", "content-type: application/json", `content-length: ${Buffer.byteLength(body)}`];
  return [`HTTP/1.1 ${status} ${reason}`, ...headers, "", body].join("\r\n");
}
