// GET /hotset/activity: what the server has done, as JSON.

import type { Context } from "hono";
import { SPANS, type Span } from "./activity.ts";
import { wrong } from "./fields.ts";
import type { Service } from "./service.ts";

export async function activity(c: Context, service: Service): Promise<Response> {
  const span = c.req.query("span") ?? "day";
  if (!isSpan(span)) throw wrong("span", `expected one of ${Object.keys(SPANS).join(", ")}`, span);
  // Not an error: pages ask without knowing, and browsers log each error.
  const read = (await service.activity?.read(span)) ?? { span, counted: false };
  return c.json(read, 200, { "cache-control": "no-store" });
}

function isSpan(text: string): text is Span {
  return Object.hasOwn(SPANS, text);
}
