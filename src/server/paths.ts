// The paths that clients ask, brought to the ones that routes have: hosted services keep their endpoints under prefixes,
// and a client that is moved here by its host, or by its base URL, keeps the prefix.

import type { Context } from "hono";
import type { Dialect } from "./errors.ts";

/**
 * What stands before the endpoints at ModelsLab (/api/v7/llm), OpenRouter (/api), Groq and Azure (/openai), Fireworks
 * (/inference) and those who offer Anthropic's API beside their own (/anthropic). Where something else may follow, as it does
 * after Ollama's /api, only with the /v1 of the API.
 */
const HOSTED = /^\/(api\/v7\/llm|openai\/deployments\/[^/]+|anthropic|(api|openai|inference)(?=\/v1\/))(?=\/)/;
const ENDPOINT = /^\/(chat\/completions|completions|embeddings|models|messages|responses)(?=\/|$)/;

/** The path of the route that is meant: "/api/v7/llm/chat/completions/" is "/v1/chat/completions". */
export function routePath(asked: string): string {
  const path = asked.replaceAll(/\/{2,}/g, "/").replace(/(?<=.)\/$/, "");
  // A base URL with /v1 in it, for a client that adds its own.
  const bare = path.replace(HOSTED, "").replace(/^(\/v1)+(?=\/)/, "");
  return ENDPOINT.test(bare) ? `/v1${bare}` : bare;
}

/** The path as the client wrote it. */
export function askedPath(c: Context): string {
  return new URL(c.req.url).pathname;
}

/** Anthropic's clients always send their version; some paths are the same in both APIs. */
export function isAnthropic(c: Context): boolean {
  return c.req.header("anthropic-version") !== undefined;
}

/** Whose shape a failure is given in: that of the path, and of the client where the path is everybody's. */
export function dialectOf(c: Context): Dialect {
  const { path } = c.req;
  if (/^\/v1\/messages(\/|$)/.test(path)) return "anthropic";
  if (!/^\/v1\/(chat|completions|embeddings|responses)(\/|$)/.test(path) && isAnthropic(c)) return "anthropic";
  if (path.startsWith("/api/")) return "ollama";
  if (isOpenrouter(c)) return "openrouter";
  return isMistral(c) ? "mistral" : "openai";
}

/** OpenRouter's path, or its own client. */
export function isOpenrouter(c: Context): boolean {
  return askedPath(c).startsWith("/api/v1/") || /openrouter/i.test(c.req.header("user-agent") ?? "");
}

/** Mistral's own client, or the AI SDK's for it. */
function isMistral(c: Context): boolean {
  return /mistral/i.test(c.req.header("user-agent") ?? "");
}

/** Clients that are told the usage of a stream without asking, because the API that they are made for does so. */
export function expectsUsage(c: Context): boolean {
  return isOpenrouter(c) || isMistral(c);
}
