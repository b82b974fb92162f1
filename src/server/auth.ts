// The API key: sent as OpenAI's clients do or as Anthropic's older ones do, compared in constant time.

import { createHash, timingSafeEqual } from "node:crypto";
import { HttpError } from "./errors.ts";

/** A check of a request's key. @throws HttpError 401 from the check */
export function keyCheck(key: string): (headers: Headers) => void {
  const expected = digest(key);
  return (headers) => {
    const bearer = /^Bearer +(.+)$/i.exec(headers.get("authorization") ?? "")?.[1];
    const given = [bearer, headers.get("x-api-key")].filter((one) => typeof one === "string");
    // Digests are of one length, whatever was sent: how long the comparison takes says nothing about the key.
    if (given.some((one) => timingSafeEqual(digest(one), expected))) return;
    const found = given.length === 0 ? "none" : "another";
    throw new HttpError(
      401,
      `expected the server's API key as "Authorization: Bearer" or "x-api-key", found ${found}`,
      "invalid_api_key",
      { "www-authenticate": "Bearer" },
    );
  };
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
