// The API key, as a header of any API's clients or as the body's field `key`, compared in constant time.

import { createHash, timingSafeEqual } from "node:crypto";
import { HttpError } from "./errors.ts";
import { readJson } from "./json.ts";

/**
 * A check of a request's key; there may be several, so that a new one is given out before the old one is refused.
 * @throws HttpError 401 from the check
 */
export function keyCheck(keys: string | readonly string[], bodyLimit: number): (request: Request) => Promise<void> {
  const expected = [keys].flat().map(digest);
  return async (request) => {
    const { headers } = request;
    const bearer = /^Bearer +(.+)$/i.exec(headers.get("authorization") ?? "")?.[1];
    const given = [bearer, headers.get("x-api-key"), headers.get("api-key")].filter((one) => typeof one === "string");
    // ModelsLab's samples have it in the body. Who sent a header is not asked for more.
    if (given.length === 0 && request.method === "POST") given.push(...(await keyOfBody(request, bodyLimit)));
    // Digests are of one length, whatever was sent: how long the comparison takes says nothing about the key.
    if (given.some((one) => expected.some((key) => timingSafeEqual(digest(one), key)))) return;
    const found = given.length === 0 ? "none" : "another";
    throw new HttpError(
      401,
      `expected the server's API key as "Authorization: Bearer", "x-api-key", "api-key", or "key" in the body, found ${found}`,
      "invalid_api_key",
      { "www-authenticate": "Bearer" },
    );
  };
}

/** A body that cannot be read has no key: what is wrong with it is told to those who have one. */
async function keyOfBody(request: Request, limit: number): Promise<string[]> {
  try {
    const { key } = await readJson(request, limit);
    return typeof key === "string" && key !== "" ? [key] : [];
  } catch (error) {
    if (error instanceof HttpError) return [];
    throw error;
  }
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
