// Checks of prompts and generation options.

import { RequestError } from "../errors.ts";
import type { GenerateOptions, SamplingOptions } from "./api.ts";
import type { SessionContext } from "./session_context.ts";

/** The options that are set. An explicit undefined must not hide the folder's default. */
export function setOptions(options: SamplingOptions): SamplingOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

/** @throws RequestError for anything but an integer from 0 to `max` */
function checkCount(name: string, value: number, max = Number.MAX_SAFE_INTEGER): number {
  if (Number.isInteger(value) && value >= 0 && value <= max) return value;
  throw new RequestError(`${name}: expected an integer from 0 to ${max}, found ${String(value)}`);
}

/**
 * How long an answer may be, at most `left` tokens, and what is reported of each.
 * @throws RequestError for options out of range, or that contradict each other
 */
export function checkLengths(
  options: GenerateOptions,
  left: number,
): { readonly most: number; readonly minTokens: number; readonly wantLogprobs: number | null } {
  const { maxTokens, logprobs, minTokens = 0, constraint, ignoreEos } = options;
  const most = maxTokens === undefined ? left : Math.min(checkCount("maxTokens", maxTokens), left);
  const wantLogprobs = logprobs === undefined ? null : checkCount("logprobs", logprobs, 20);
  checkCount("minTokens", minTokens);
  if (maxTokens !== undefined && minTokens > maxTokens)
    throw new RequestError(`minTokens: expected at most maxTokens, ${maxTokens}, found ${minTokens}`);
  if (constraint && ignoreEos) throw new RequestError("ignoreEos: has no meaning with a constraint, which may end");
  return { most, minTokens, wantLogprobs };
}

/** What ends an answer. */
export interface Ends {
  /** The caller's stop texts. */
  readonly asked: readonly string[];
  /** These and the model's. */
  readonly stops: readonly string[];
  /** Stop texts that are control tokens, by id: they have no text in which they could be found. */
  readonly controls: ReadonlyMap<number, string>;
  readonly endIds: ReadonlySet<number>;
}

/** @throws RequestError for stop texts as checkStops() does */
export function endsOf(options: GenerateOptions, model: Pick<SessionContext, "text" | "eos" | "stops">): Ends {
  const asked = checkStops(options.stop ?? []);
  const stops = options.ignoreEos ? asked : [...asked, ...(model.stops ?? [])];
  const controls = new Map(
    stops.flatMap((stop) => {
      const id = model.text.control(stop);
      return id === null ? [] : [[id, stop] as const];
    }),
  );
  const endIds = new Set([...(options.ignoreEos ? [] : model.eos), ...(options.stopIds ?? []), ...controls.keys()]);
  return { asked, stops, controls, endIds };
}

/** @throws RequestError for anything but a list of texts that are not empty */
function checkStops(stops: readonly string[]): readonly string[] {
  if (!Array.isArray(stops)) throw new RequestError(`stop: expected a list of texts, found ${typeof stops}`);
  for (const stop of stops) {
    if (typeof stop !== "string" || stop === "") throw new RequestError("stop: expected texts that are not empty");
  }
  return stops;
}

/**
 * @throws RequestError for an empty prompt, an id outside the vocabulary [V], or more tokens than
 * the context has
 */
function checkPrompt(ids: readonly number[], vocab: number, context: number): void {
  if (ids.length === 0) throw new RequestError("prompt: expected at least one token, found none");
  for (const [i, id] of ids.entries()) {
    if (!Number.isInteger(id) || id < 0 || id >= vocab) {
      throw new RequestError(`prompt: token ${i}: expected an id from 0 to ${vocab - 1}, found ${id}`);
    }
  }
  if (ids.length <= context) return;
  throw new RequestError(
    `prompt: ${ids.length} tokens do not fit in the context of ${context}; shorten the prompt or open the model with a larger context`,
    { code: "context_length_exceeded", overflow: { tokens: ids.length, context } },
  );
}

/**
 * The tokens of a prompt.
 * @throws RequestError as checkPrompt() does, and where there is no room for it
 */
export function promptIds(prompt: string | readonly number[], model: SessionContext): number[] {
  if (typeof prompt !== "string" && typeof prompt?.[Symbol.iterator] !== "function")
    throw new RequestError(`prompt: expected a text or token ids, found ${String(prompt)}`);
  const ids = typeof prompt === "string" ? [...model.text.encode(prompt)] : [...prompt];
  checkPrompt(ids, model.vocab, model.context);
  model.room.check(ids.length);
  return ids;
}
