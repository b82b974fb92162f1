// GET /hotset/parameters: the ranges of a request's fields, and what holds for a model where a
// request leaves them out.

import type { Context } from "hono";
import { samplingRules } from "../engine/sampling_rules.ts";
import type { Service } from "./service.ts";

/** `?model=` names the model. */
export function parameters(c: Context, { models }: Service): Response {
  const { id, model, context } = models.card(models.find(c.req.query("model")));
  return c.json({ model: id, parameters: samplingRules(model?.sampling ?? null, context ?? null) });
}
