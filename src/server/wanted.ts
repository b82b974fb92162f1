// Which model a request wants, and how long it should stay loaded.

import type { Context } from "hono";
import { fieldsOf, type Json, wrong } from "./fields.ts";
import { askedPath } from "./paths.ts";

/** What a request says of the model that is to answer. */
export interface Wanted {
  /** Undefined: it names none. */
  readonly name: string | undefined;
  /**
   * Whether the answer is a stream, whose client sees that it waits. Other requests wait for a load
   * only for so long (ServerOptions.loadWaitMs).
   */
  readonly stream?: boolean;
  /** How long the model stays loaded after its last answer; undefined: as the server is set. */
  readonly keepMs?: number | undefined;
}

/** The model that a request names: in its body, or in Azure's path; undefined: none. */
export function nameIn(c: Context, json: Json): string | undefined {
  const body = fieldsOf(json);
  for (const field of ["model", "model_id", "name"]) {
    const name = typeof body.raw(field) === "string" ? (body.raw(field) as string) : "";
    if (name !== "") return name;
  }
  const deployment = /\/deployments\/([^/]+)\//.exec(askedPath(c))?.[1];
  return deployment && decoded(deployment);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // "%" and no number: the name of no model
  }
}

const UNITS: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1e3, m: 6e4, h: 3.6e6 };
const DURATION = /^[+-]?(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+$/;

/** A century; what is longer has no date to be shown as. */
const LONGEST_MS = 100 * 366 * 86_400_000;

/**
 * Ollama's keep_alive: seconds, or a duration as "5m" or "1h30m"; below 0, or for more than a
 * century: for ever.
 * @returns milliseconds
 * @throws RequestError for anything else
 */
export function keepAliveOf(json: Json): number | undefined {
  const value = fieldsOf(json).raw("keep_alive");
  if (value === undefined) return undefined;
  const ms = typeof value === "number" ? value * 1000 : typeof value === "string" ? millisecondsOf(value) : Number.NaN;
  if (Number.isNaN(ms)) throw wrong("keep_alive", 'expected seconds, or a time as "5m", "-1" or "0"', value);
  return ms < 0 || ms > LONGEST_MS ? Number.POSITIVE_INFINITY : ms;
}

function millisecondsOf(text: string): number {
  if (/^[+-]?\d+(?:\.\d+)?$/.test(text)) return Number(text) * 1000;
  if (!DURATION.test(text)) return Number.NaN;
  const parts = text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g);
  const sum = [...parts].reduce((total, [, digits, unit]) => total + Number(digits) * UNITS[unit!]!, 0);
  return text.startsWith("-") ? -sum : sum;
}
