// The server as a function from Request to Response: who may ask, which endpoint answers, what failures look like.

import { type Context, Hono } from "hono";
import { cors } from "hono/cors";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { getPath } from "hono/utils/url";
import type { ChatModel } from "../engine/chat_api.ts";
import { countTokens, messages } from "./anthropic_messages.ts";
import { keyCheck } from "./auth.ts";
import { errorBody, failureOf, HttpError } from "./errors.ts";
import { createGuard } from "./guard.ts";
import { createMetrics } from "./metrics.ts";
import { listModels, oneModel } from "./models.ts";
import { chatCompletions } from "./openai_chat.ts";
import { completions } from "./openai_completions.ts";
import { embeddings } from "./openai_embeddings.ts";
import { askedPath, dialectOf, routePath } from "./paths.ts";
import { createService, type ServerOptions, type Service } from "./service.ts";
import { detokenize, tokenize } from "./tokens.ts";

export type { ServerOptions } from "./service.ts";

type Handler = (c: Context, service: Service) => Response | Promise<Response>;

interface Route {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly handler: Handler;
}

const ROUTES: readonly Route[] = [
  { method: "POST", path: "/v1/chat/completions", handler: chatCompletions },
  { method: "POST", path: "/v1/completions", handler: completions },
  { method: "POST", path: "/v1/embeddings", handler: embeddings },
  { method: "GET", path: "/v1/models", handler: listModels },
  { method: "GET", path: "/v1/models/:id{.+}", handler: oneModel },
  { method: "POST", path: "/v1/messages", handler: messages },
  { method: "POST", path: "/v1/messages/count_tokens", handler: countTokens },
  { method: "POST", path: "/tokenize", handler: tokenize },
  { method: "POST", path: "/detokenize", handler: detokenize },
  { method: "GET", path: "/health", handler: health },
  { method: "GET", path: "/", handler: (c) => c.text("hotset is running\n") },
];

/** What gateways, orchestrators and Prometheus ask, under whatever name they have for this machine. */
const PROBES: ReadonlySet<string> = new Set(["/health", "/metrics"]);

/** The application: `app.fetch` is a handler for any server of the Fetch API, `app.request()` asks it without one. */
export function createApp(model: ChatModel, options: ServerOptions = {}): Hono {
  const metrics = createMetrics(model);
  const service = createService(metrics.model, options);
  const guard = createGuard(options.cors ?? [], options.hosts ?? []);
  const checkKey = options.apiKey === undefined ? null : keyCheck(options.apiKey, service.bodyLimit);
  const app = new Hono({ getPath: (request) => routePath(getPath(request)) });

  app.use(async (c, next) => {
    await next();
    metrics.request(endpointOf(c.req.path), c.res.status);
    const id = crypto.randomUUID();
    c.header("x-request-id", id); // where OpenAI's clients look
    c.header("request-id", id); // and Anthropic's
  });
  app.use(async (c, next) => {
    if (!PROBES.has(c.req.path)) guard.check(c.req.raw.headers, c.req.url);
    await next();
  });
  app.use(cors({ origin: (origin) => (guard.allows(origin) ? origin : null) }));
  app.use(async (c, next) => {
    if (c.req.path !== "/health") await checkKey?.(c.req.raw);
    await next();
  });

  const add = ({ method, path, handler }: Route): void => {
    app.on(method, path, (c) => handler(c, service));
    app.all(path, (c) => {
      throw new HttpError(405, `${askedPath(c)} takes ${method}, found ${c.req.method}`, null, { allow: method });
    });
  };
  for (const route of ROUTES) add(route);
  const type = { "content-type": "text/plain; version=0.0.4; charset=utf-8" };
  add({ method: "GET", path: "/metrics", handler: (c) => c.body(metrics.text(), 200, type) });
  app.notFound((c) => {
    const endpoints = ROUTES.map(({ path }) => path.replace("{.+}", "")).join(" ");
    throw new HttpError(404, `there is nothing at ${askedPath(c)}; endpoints: ${endpoints} /metrics`);
  });
  app.onError((error, c) => {
    const failure = failureOf(error);
    if (failure.unexpected) service.log(error);
    return c.json(errorBody(failure, dialectOf(c)), failure.status as ContentfulStatusCode, { ...failure.headers });
  });
  return app;
}

function health(c: Context, { model }: Service): Response {
  const { queued, running } = model.metrics();
  return c.json({ status: "ok", model: model.name, context: model.context, queued, running });
}

/** What a request is counted under: a route, so that made-up paths take no memory. */
function endpointOf(path: string): string {
  if (path.startsWith("/v1/models/")) return "/v1/models/:id";
  return path === "/metrics" || ROUTES.some((route) => route.path === path) ? path : "other";
}
