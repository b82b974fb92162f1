// Checks of prompts and generation options.

import { RequestError } from "../errors.ts";
import type { SamplingOptions } from "./api.ts";

/** The options that are set. An explicit undefined must not hide the folder's default. */
export function setOptions(options: SamplingOptions): SamplingOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

/** @throws RequestError for anything but an integer from 0 to `max` */
export function checkCount(name: string, value: number, max = Number.MAX_SAFE_INTEGER): number {
  if (Number.isInteger(value) && value >= 0 && value <= max) return value;
  throw new RequestError(`${name}: expected an integer from 0 to ${max}, found ${String(value)}`);
}

/** @throws RequestError for anything but a list of texts that are not empty */
export function checkStops(stops: readonly string[]): readonly string[] {
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
export function checkPrompt(ids: readonly number[], vocab: number, context: number): void {
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
