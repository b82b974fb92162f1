// GET /hotset/activity: what the server has done, as JSON.

import type { Context } from "hono";
import { SPANS, type Span } from "./activity.ts";
import { HttpError } from "./errors.ts";
import { wrong } from "./fields.ts";
import type { Service } from "./service.ts";

export async function activity(c: Context, service: Service): Promise<Response> {
  if (service.activity === null)
    throw new HttpError(404, "this server counts no activity: it runs with --no-activity", "no_activity");
  const span = c.req.query("span") ?? "day";
  if (!isSpan(span)) throw wrong("span", `expected one of ${Object.keys(SPANS).join(", ")}`, span);
  return c.json(await service.activity.read(span), 200, { "cache-control": "no-store" });
}

function isSpan(text: string): text is Span {
  return Object.hasOwn(SPANS, text);
}
