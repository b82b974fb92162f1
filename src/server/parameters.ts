// GET /hotset/parameters: the ranges of a request's fields, and what holds for a model where a
// request leaves them out.

import type { Context } from "hono";
import { RANGES } from "./sampling.ts";
import type { Service } from "./service.ts";

/**
 * `?model=` names the model. `default` is null where the engine chooses: a random seed, as many
 * tokens as the context has room for; and for a model that is not loaded.
 */
export function parameters(c: Context, { models }: Service): Response {
  const { id, model, context } = models.card(models.find(c.req.query("model")));
  const ranged = Object.entries(RANGES).map(([name, { min, max, option, off }]) => ({
    name,
    min,
    max,
    default: model === null ? null : (model.sampling[option] ?? off),
    integer: name === "top_k",
  }));
  const seed = { name: "seed", min: 0, max: Number.MAX_SAFE_INTEGER, default: null, integer: true };
  const most = { name: "max_tokens", min: 1, max: context ?? 2 ** 31 - 1, default: null, integer: true };
  return c.json({ model: id, parameters: [...ranged, seed, most] });
}
