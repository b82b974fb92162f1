// Checks the API key, in a header of any API's clients or in the body's field `key`,
// in constant time.

import { createHash, timingSafeEqual } from "node:crypto";
import { HttpError } from "./errors.ts";
import { readJson } from "./json.ts";

/**
 * A key, or several, so that a new one can be handed out before the old one is removed; or a
 * function that returns those that are valid now.
 */
export type Keys = string | readonly string[] | (() => readonly string[]);

/**
 * Hexadecimal digits of a key's SHA-256 by which keys are told apart: too few to try out keys by.
 */
const FINGERPRINT = 6;

/**
 * Creates a check of a request's key, which resolves to the fingerprint of the key.
 * @throws HttpError 401 from the check
 */
export function keyCheck(keys: Keys, bodyLimit: number): (request: Request) => Promise<string> {
  const valid = typeof keys === "function" ? keys : () => [keys].flat();
  return async (request) => {
    const expected = valid().map(digest);
    const { headers } = request;
    const bearer = /^Bearer +(.+)$/i.exec(headers.get("authorization") ?? "")?.[1];
    const given = [bearer, headers.get("x-api-key"), headers.get("api-key")].filter((one) => typeof one === "string");
    // ModelsLab's samples have it in the body, which is read only if no header has a key.
    if (given.length === 0 && request.method === "POST") given.push(...(await keyOfBody(request, bodyLimit)));
    // Digests all have one length, so the time of the comparison reveals nothing about the key.
    for (const one of given.map(digest))
      if (expected.some((key) => timingSafeEqual(one, key))) return one.toString("hex").slice(0, FINGERPRINT);
    const found = given.length === 0 ? "none" : "another";
    throw new HttpError(
      401,
      `expected the server's API key as "Authorization: Bearer", "x-api-key", "api-key", or "key" in the body, found ${found}`,
      "invalid_api_key",
      { "www-authenticate": "Bearer" },
    );
  };
}

/**
 * The key in the body. An unreadable body has none: its error is reported only to clients with a
 * valid key.
 */
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
