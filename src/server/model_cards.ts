// GET /hotset/models, POST /hotset/models/load and /hotset/models/unload: what the page shows of
// the models that are served, and what it can do with them.

import type { Context } from "hono";
import type { ChatMetrics } from "../engine/chat_api.ts";
import type { ModelFacts, ModelView } from "../engine/model_view.ts";
import { draftBytes, type Places, placesOf } from "../engine/places.ts";
import { HttpError } from "./errors.ts";
import { readJson } from "./json.ts";
import { type ModelCard, stateOf } from "./served.ts";
import type { Service } from "./service.ts";
import { nameIn } from "./wanted.ts";

/** A model as the page shows it. */
interface Shown {
  readonly id: string;
  readonly state: ModelCard["state"];
  readonly context: number | null;
  /** What it takes in memory, or would take; null: not known yet. */
  readonly bytes: number | null;
  /** Whether /hotset/models/load and unload take it. */
  readonly movable: boolean;
  /** When it is unloaded if no request comes, in ISO 8601; null: not by itself. */
  readonly expires: string | null;
  /** Null where it is not loaded. */
  readonly facts: ModelFacts | null;
  /** Parts of it are the KV cache, scratch, and the draft model, where there is one. */
  readonly memory: (Places & { readonly kv: number; readonly scratch: number; readonly draft?: number }) | null;
  /** Answers under way and waiting; tokens a second of the last seconds, of all answers. */
  readonly running: number;
  readonly queued: number;
  readonly tokensPerSecond: number;
}

export function modelCards(c: Context, service: Service): Response {
  const models = service.models.cards().map((card) => ({ ...stateOf(card), ...shownOf(card, service) }));
  return c.json({ models }, 200, { "cache-control": "no-store" });
}

function shownOf(card: ModelCard, { models, speed }: Service): Shown {
  const { id, state, context, bytes, pinned, expires, model } = card;
  const metrics = model?.metrics();
  const view = model?.view;
  return {
    id,
    state,
    context,
    bytes,
    movable: !models.one && !pinned,
    expires: expires?.toISOString() ?? null,
    facts: view?.facts ?? null,
    memory: metrics && view ? memoryOf(view, metrics) : null,
    running: metrics?.running ?? 0,
    queued: metrics?.queued ?? 0,
    tokensPerSecond: speed.of(id),
  };
}

function memoryOf({ head, stats }: ModelView, { memory, speculation }: ChatMetrics): Shown["memory"] {
  const all = head.experts.reduce((sum, count) => sum + count, 0);
  const { kv, scratch } = memory;
  const draft = speculation?.draft && { draft: draftBytes(speculation) };
  return { ...placesOf(head.main, all, stats()), kv, scratch, ...draft };
}

/** Begins to load a model; GET /hotset/models says how far it is. */
export async function loadModel(c: Context, service: Service): Promise<Response> {
  const id = await movable(c, service);
  const lease = service.models.lease(id, new AbortController().signal);
  if (lease instanceof Promise)
    lease.then(
      ({ release }) => release(),
      () => {}, // its state says why
    );
  else lease.release();
  return c.json({ ...stateOf(service.models.card(id)), id }, 202);
}

/** Unloads a model once its answers are over. */
export async function unloadModel(c: Context, service: Service): Promise<Response> {
  const id = await movable(c, service);
  service.models.keepFor(id, 0);
  return c.json({ ...stateOf(service.models.card(id)), id }, 202);
}

/** The model that the body names. @throws HttpError 409 for one that always stays loaded */
async function movable(c: Context, service: Service): Promise<string> {
  const { models } = service;
  const id = models.find(nameIn(c, await readJson(c.req.raw, service.bodyLimit)));
  const why = models.one
    ? "it is the only model of this server; serve several, or with --idle-unload"
    : models.card(id).pinned
      ? "it is pinned (--pin)"
      : null;
  if (why !== null) throw new HttpError(409, `${id} is always loaded: ${why}`, "always_loaded");
  return id;
}
