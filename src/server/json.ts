// Request bodies: bytes up to a limit, UTF-8, JSON nested to a limited depth.

import { HttpError } from "./errors.ts";

/**
 * Schemas and messages of real clients stay below 30 levels. Code that walks a body may recurse
 * this deep.
 */
const MAX_DEPTH = 256;

type JsonObject = Record<string, unknown>;

const JSON_TYPE = /^(application|text)\/([\w.-]+\+)?json\b/i;
/**
 * Default content types of curl, PHP, Python and fetch(). A page may send them without
 * a preflight request.
 */
const UNSAID = /^$|^(application\/x-www-form-urlencoded|application\/octet-stream|text\/plain)\b/i;

/** Parsed bodies: a body can be read only once, but is needed twice where the key is in it. */
const bodies = new WeakMap<Request, Promise<JsonObject>>();

/**
 * The JSON object that a request carries.
 * @param limit most bytes; a longer body is rejected before it is read to its end
 * @throws HttpError 413, 415 or 400
 */
export function readJson(request: Request, limit: number): Promise<JsonObject> {
  const read = bodies.get(request) ?? parse(request, limit);
  bodies.set(request, read);
  return read;
}

async function parse(request: Request, limit: number): Promise<JsonObject> {
  const type = request.headers.get("content-type") ?? "";
  if (!JSON_TYPE.test(type) && !(UNSAID.test(type) && !ofPage(request.headers))) {
    throw new HttpError(415, `expected content-type: application/json, found ${type === "" ? "none" : type}`);
  }
  const encoding = request.headers.get("content-encoding") ?? "identity";
  if (encoding !== "identity")
    throw new HttpError(415, `expected a body as it is, found content-encoding: ${encoding}`);
  const bytes = await readBytes(request, limit);
  if (bytes.length === 0) throw new HttpError(400, "expected a JSON object, found an empty body");
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new HttpError(400, "the body is not valid UTF-8");
  }
  checkDepth(bytes);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new HttpError(400, `the body is not valid JSON: ${(error as Error).message}`);
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as JsonObject;
  const found = Array.isArray(value) ? "an array" : value === null ? "null" : `a ${typeof value}`;
  throw new HttpError(400, `expected a JSON object, found ${found}`);
}

/**
 * Whether a page sent it: browsers send the page's origin with every POST, and most say where a
 * request comes from. A body with a JSON content type needs a preflight request to another origin;
 * a form or a plain text does not.
 */
function ofPage(headers: Headers): boolean {
  return headers.has("origin") || headers.has("sec-fetch-site");
}

async function readBytes(request: Request, limit: number): Promise<Uint8Array> {
  const tooLarge = (): HttpError =>
    new HttpError(413, `the body is larger than ${limit} bytes; \`hotset serve --body-limit\` raises the limit`);
  if (Number(request.headers.get("content-length") ?? 0) > limit) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let length = 0;
  if (request.body !== null) {
    // The rest of the body is not cancelled: that would close the connection before the
    // answer is sent.
    const reader: ReadableStreamDefaultReader<Uint8Array> = request.body.getReader();
    const read = () =>
      reader.read().catch((error: unknown) => {
        throw new HttpError(400, `the body broke off after ${length} bytes: ${String(error)}`);
      });
    for (let next = await read(); !next.done; next = await read()) {
      length += next.value.length;
      if (length > limit) throw tooLarge();
      chunks.push(next.value);
    }
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

const [QUOTE, BACKSLASH, BRACKET, BRACE] = [0x22, 0x5c, 0x5b, 0x7b];

/**
 * Counts brackets before parsing: JSON.parse survives a million levels, code after it would not.
 */
function checkDepth(bytes: Uint8Array): void {
  let depth = 0;
  let inText = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (inText) {
      if (byte === BACKSLASH) i++;
      else if (byte === QUOTE) inText = false;
    } else if (byte === QUOTE) inText = true;
    else if (byte === BRACKET || byte === BRACE) {
      if (++depth > MAX_DEPTH) throw new HttpError(400, `the body is nested more than ${MAX_DEPTH} deep`);
    } else if (byte === BRACKET + 2 || byte === BRACE + 2) depth--;
  }
}
