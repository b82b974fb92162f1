// The server as a function from Request to Response: access checks, routes, and the
// shape of failures.

import type { IncomingMessage } from "node:http";
import { type Context, Hono } from "hono";
import { cors } from "hono/cors";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { getPath } from "hono/utils/url";
import type { ChatModel } from "../engine/chat_api.ts";
import { createAccessCheck } from "./access.ts";
import { activity } from "./activity_answer.ts";
import { countTokens, messages } from "./anthropic_messages.ts";
import { keyCheck } from "./auth.ts";
import { errorBody, failureOf, HttpError } from "./errors.ts";
import { expertsStream } from "./experts_stream.ts";
import { createMetrics, OPERATIONS } from "./metrics.ts";
import { loadModel, modelCards, unloadModel } from "./model_cards.ts";
import { listModels, oneModel } from "./models.ts";
import { ollamaChat, ollamaGenerate } from "./ollama_chat.ts";
import { ollamaEmbed, ollamaEmbedding, ollamaLoaded, ollamaShow, ollamaTags, ollamaVersion } from "./ollama_models.ts";
import { ollamaPull } from "./ollama_pull.ts";
import { chatCompletions } from "./openai_chat.ts";
import { completions } from "./openai_completions.ts";
import { embeddings } from "./openai_embeddings.ts";
import { countInputTokens, responses } from "./openai_responses.ts";
import { openPage, wantsPage } from "./page.ts";
import { parameters } from "./parameters.ts";
import { askedPath, dialectOf, routePath } from "./paths.ts";
import { health, livez, PROBES, readinessOf, readyz, root } from "./probes.ts";
import type { ServedModels } from "./served.ts";
import { createService, type ServerOptions, type Service } from "./service.ts";
import { ServerState } from "./state.ts";
import { detokenize, tokenize } from "./tokens.ts";
import { TrackedRequest } from "./tracked_request.ts";

export type { ServerOptions } from "./service.ts";

/** Content types of answers that go on after their status. */
const STREAMS = /^(?:text\/event-stream|application\/x-ndjson)/;
/** Paths that need no model. */
const OTHERS = [...PROBES, "/metrics"];

type Handler = (c: Context, service: Service) => Response | Promise<Response>;

interface Route {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly handler: Handler;
}

const ROUTES: readonly Route[] = [
  { method: "POST", path: "/v1/chat/completions", handler: chatCompletions },
  { method: "POST", path: "/v1/responses", handler: responses },
  { method: "POST", path: "/v1/responses/input_tokens", handler: countInputTokens },
  { method: "POST", path: "/v1/completions", handler: completions },
  { method: "POST", path: "/v1/embeddings", handler: embeddings },
  { method: "GET", path: "/v1/models", handler: listModels },
  { method: "GET", path: "/v1/models/:id{.+}", handler: oneModel },
  { method: "POST", path: "/v1/messages", handler: messages },
  { method: "POST", path: "/v1/messages/count_tokens", handler: countTokens },
  { method: "GET", path: "/api/version", handler: ollamaVersion },
  { method: "GET", path: "/api/tags", handler: ollamaTags },
  { method: "GET", path: "/api/ps", handler: ollamaLoaded },
  { method: "POST", path: "/api/show", handler: ollamaShow },
  { method: "POST", path: "/api/chat", handler: ollamaChat },
  { method: "POST", path: "/api/generate", handler: ollamaGenerate },
  { method: "POST", path: "/api/pull", handler: ollamaPull },
  { method: "POST", path: "/api/embed", handler: ollamaEmbed },
  { method: "POST", path: "/api/embeddings", handler: ollamaEmbedding },
  { method: "POST", path: "/tokenize", handler: tokenize },
  { method: "POST", path: "/detokenize", handler: detokenize },
  { method: "GET", path: "/hotset/experts", handler: expertsStream },
  { method: "GET", path: "/hotset/parameters", handler: parameters },
  { method: "GET", path: "/hotset/activity", handler: activity },
  { method: "GET", path: "/hotset/models", handler: modelCards },
  { method: "POST", path: "/hotset/models/load", handler: loadModel },
  { method: "POST", path: "/hotset/models/unload", handler: unloadModel },
];

/**
 * The application. `app.fetch` is a handler for any server of the Fetch API; `app.request()` calls
 * it without a server.
 * @param models one model or several, or the server's state if they come later
 */
export function createApp(models: ChatModel | ServedModels | ServerState, options: ServerOptions = {}): Hono {
  const state = models instanceof ServerState ? models : new ServerState(models);
  const { capacity = {}, onRequest = () => {} } = options;
  const metrics = createMetrics({ capacity, ...(options.version !== undefined && { version: options.version }) });
  const service = createService(state, metrics, options);
  const access = createAccessCheck(options.cors ?? [], options.hosts ?? []);
  const checkKey = options.apiKey === undefined ? null : keyCheck(options.apiKey, service.bodyLimit);
  const page = options.page === false ? null : openPage();
  const app = new Hono({ getPath: (request) => routePath(getPath(request)) });

  app.use(async (c, next) => {
    const { method, path, raw } = c.req;
    const head = { method, path: askedPath(c), endpoint: endpointOf(path), client: clientOf(c) };
    const tracked = new TrackedRequest(head, raw.headers, clock, (record) => {
      metrics.request(record);
      if (OPERATIONS[record.endpoint] !== undefined) options.activity?.request(record);
      onRequest(record);
    });
    service.track(raw, tracked);
    await next();
    c.header("x-request-id", tracked.id); // where OpenAI's clients look
    c.header("request-id", tracked.id); // and Anthropic's
    if (tracked.warning !== null) c.header("x-hotset-warning", tracked.warning);
    tracked.responded(c.res.status, STREAMS.test(c.res.headers.get("content-type") ?? ""));
  });
  app.use(async (c, next) => {
    if (!OTHERS.includes(c.req.path)) access.check(c.req.raw.headers, c.req.url);
    await next();
  });
  const pages = cors({ origin: (origin) => (access.allows(origin) ? origin : null) });
  // Without an origin it is not a preflight request of a page: HAProxy sends OPTIONS / as
  // a health check.
  app.use((c, next) => (c.req.header("origin") === undefined ? next() : pages(c, next)));
  app.use(async (c, next) => {
    if (!PROBES.has(c.req.path) && !isPageFile(c.req.path)) {
      if (c.req.path !== "/metrics") state.admit();
      const key = await checkKey?.(c.req.raw);
      if (key !== undefined) service.trackedOf(c.req.raw)?.keyed(key);
    }
    await next();
  });

  const add = ({ method, path, handler }: Route): void => {
    app.on(method, path, (c) => handler(c, service));
    app.all(path, (c) => {
      throw new HttpError(405, `${askedPath(c)} takes ${method}, found ${c.req.method}`, null, { allow: method });
    });
  };
  for (const route of ROUTES) add(route);
  app.on("OPTIONS", "/", (c) => readyz(c, state, capacity));
  add({
    method: "GET",
    path: "/",
    handler(c) {
      if (page === null || !wantsPage(c)) return root(c, state, capacity);
      access.check(c.req.raw.headers, c.req.url);
      return page.index(c);
    },
  });
  if (page !== null) add({ method: "GET", path: "/page/:name", handler: page.file });
  add({ method: "GET", path: "/livez", handler: livez });
  add({ method: "GET", path: "/readyz", handler: (c) => readyz(c, state, capacity) });
  add({ method: "GET", path: "/health", handler: (c) => health(c, state) });
  const type = { "content-type": "text/plain; version=0.0.4; charset=utf-8" };
  const scrape = (): Promise<string> => metrics.text(state.models, readinessOf(state, capacity) === "ready");
  add({ method: "GET", path: "/metrics", handler: async (c) => c.body(await scrape(), 200, type) });
  app.notFound((c) => {
    const endpoints = ROUTES.map(({ path }) => path.replace("{.+}", "")).join(" ");
    throw new HttpError(404, `there is nothing at ${askedPath(c)}; endpoints: ${endpoints} ${OTHERS.join(" ")}`);
  });
  app.onError((error, c) => {
    const failure = failureOf(error);
    if (failure.unexpected) service.log(error);
    service.trackedOf(c.req.raw)?.failed(failure);
    return c.json(errorBody(failure, dialectOf(c)), failure.status as ContentfulStatusCode, { ...failure.headers });
  });
  return app;
}

/** The label under which a request is counted: a route, so that made-up paths take no memory. */
function endpointOf(path: string): string {
  if (path.startsWith("/v1/models/")) return "/v1/models/:id";
  if (isPageFile(path)) return "/page/:name";
  return OTHERS.includes(path) || ROUTES.some((route) => route.path === path) ? path : "other";
}

/** The page's own files, which hold nothing that a key protects. */
function isPageFile(path: string): boolean {
  return path.startsWith("/page/");
}

/** The address at the other end of the connection, if there is one. */
function clientOf(c: Context): string | null {
  const env = c.env as { readonly incoming?: IncomingMessage } | undefined;
  return env?.incoming?.socket.remoteAddress ?? null;
}

const clock = (): number => performance.now();
