// The hub's settings in the environment, as Python's huggingface_hub reads them.

import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { RequestError } from "../errors.ts";
import { HUB } from "./endpoint.ts";

export interface HubSettings {
  readonly endpoint: string;
  readonly token: string | null;
  /** The folder of `models--owner--name` folders. */
  readonly cache: string;
  /** Whether requests are forbidden. */
  readonly offline: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * HF_ENDPOINT, HF_TOKEN (or the token that `hf auth login` stored), HF_HOME, HF_HUB_CACHE,
 * HF_HUB_OFFLINE.
 * @throws RequestError for an endpoint that is no address
 */
export function hubSettings(env: Environment = process.env): HubSettings {
  const home = env.HF_HOME || join(env.XDG_CACHE_HOME || join(homedir(), ".cache"), "huggingface");
  return {
    endpoint: endpointOf(env.HF_ENDPOINT || HUB),
    token: tokenOf(env, home),
    cache: expanded(env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE || join(home, "hub")),
    offline: isTrue(env.HF_HUB_OFFLINE || env.TRANSFORMERS_OFFLINE),
  };
}

function endpointOf(text: string): string {
  if (!URL.canParse(text) || !/^https?:/.test(text))
    throw new RequestError(`HF_ENDPOINT: expected an address such as ${HUB}, found ${JSON.stringify(text)}`);
  const { username, password } = new URL(text);
  if (username !== "" || password !== "")
    throw new RequestError("HF_ENDPOINT: expected an address without a user and a password; HF_TOKEN has the token");
  return text.replace(/\/+$/, "");
}

function tokenOf(env: Environment, home: string): string | null {
  const given = (env.HF_TOKEN || env.HUGGING_FACE_HUB_TOKEN)?.trim();
  if (given) return given;
  if (isTrue(env.HF_HUB_DISABLE_IMPLICIT_TOKEN)) return null;
  try {
    return readFileSync(expanded(env.HF_TOKEN_PATH || join(home, "token")), "utf8").trim() || null;
  } catch {
    return null; // no login
  }
}

function isTrue(value: string | undefined): boolean {
  return /^(1|on|yes|true)$/i.test(value ?? "");
}

function expanded(path: string): string {
  return path.replace(/^~(?=$|[/\\])/, () => homedir());
}
