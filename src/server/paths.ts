// Maps the paths that clients use to routes: hosted services have their endpoints under prefixes,
// and a client that is pointed here by its host or base URL keeps the prefix.

import type { Context } from "hono";
import type { Dialect } from "./errors.ts";

/**
 * Prefixes of ModelsLab (/api/v7/llm), OpenRouter (/api), Groq and Azure (/openai), Fireworks
 * (/inference) and services that offer Anthropic's API beside their own (/anthropic). Prefixes that
 * other APIs use too, as Ollama does /api, count only before /v1.
 */
const HOSTED = /^\/(api\/v7\/llm|openai\/deployments\/[^/]+|anthropic|(api|openai|inference)(?=\/v1\/))(?=\/)/;
const ENDPOINT = /^\/(chat\/completions|completions|embeddings|models|messages|responses)(?=\/|$)/;

/** The route that a path means: "/api/v7/llm/chat/completions/" is "/v1/chat/completions". */
export function routePath(asked: string): string {
  const path = asked.replaceAll(/\/{2,}/g, "/").replace(/(?<=.)\/$/, "");
  // A base URL with /v1 in it, from a client that adds its own.
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

/**
 * The shape of a failure: that of the path's API, or of the client's where several APIs
 * share the path.
 */
export function dialectOf(c: Context): Dialect {
  const { path } = c.req;
  if (/^\/v1\/messages(\/|$)/.test(path)) return "anthropic";
  if (!/^\/v1\/(chat|completions|embeddings|responses)(\/|$)/.test(path) && isAnthropic(c)) return "anthropic";
  if (path.startsWith("/api/")) return "ollama";
  if (isOpenrouter(c)) return "openrouter";
  return isMistral(c) ? "mistral" : "openai";
}

/** OpenRouter's path, or its own client. */
function isOpenrouter(c: Context): boolean {
  return askedPath(c).startsWith("/api/v1/") || /openrouter/i.test(c.req.header("user-agent") ?? "");
}

/** Mistral's own client, or the AI SDK's for it. */
function isMistral(c: Context): boolean {
  return /mistral/i.test(c.req.header("user-agent") ?? "");
}

/** Whether the client expects a stream's usage without requesting it, as its own API sends it. */
export function expectsUsage(c: Context): boolean {
  return isOpenrouter(c) || isMistral(c);
}
