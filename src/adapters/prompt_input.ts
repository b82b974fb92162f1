// Checks what callers of the Prompt API pass, and turns it into messages and options of the engine;
// faults are the exceptions that the specification names.

import type { ChatMessage, ChatOptions, ResponseFormat } from "../engine/chat_api.ts";
import { RequestError } from "../errors.ts";
import type {
  CreateCoreOptions,
  Expected,
  Params,
  PromptInput,
  PromptMessage,
  PromptOptions,
  SamplingMode,
} from "./prompt_types.ts";

/** To start from; without any the model's own settings are used. */
export const PARAMS: Params = { defaultTopK: 40, maxTopK: 1000, defaultTemperature: 1, maxTemperature: 2 };

const TEMPERATURES: Readonly<Record<SamplingMode, number>> = {
  "most-predictable": 0,
  predictable: 0.3,
  balanced: 0.7,
  creative: 1,
  "most-creative": 1.3,
};

export interface Sampling {
  readonly topK: number | undefined;
  readonly temperature: number | undefined;
  readonly samplingMode: SamplingMode | "default";
}

/** @throws TypeError, RangeError */
export function samplingOf({ topK, temperature, samplingMode }: CreateCoreOptions): Sampling {
  const given = topK !== undefined || temperature !== undefined;
  if (given && samplingMode !== undefined && samplingMode !== "default")
    throw new TypeError("samplingMode and topK or temperature exclude each other");
  if (samplingMode !== undefined && samplingMode !== "default" && !Object.hasOwn(TEMPERATURES, samplingMode))
    throw new TypeError(`samplingMode: expected one of ${Object.keys(TEMPERATURES).join(", ")}, found ${samplingMode}`);
  if (topK !== undefined && !(topK >= 1)) throw new RangeError(`topK: expected a number from 1, found ${topK}`);
  if (temperature !== undefined && !(temperature >= 0))
    throw new RangeError(`temperature: expected a number from 0, found ${temperature}`);
  return {
    topK: topK === undefined ? undefined : Math.floor(Math.min(topK, PARAMS.maxTopK)),
    temperature: temperature === undefined ? undefined : Math.min(temperature, PARAMS.maxTemperature),
    samplingMode: samplingMode ?? "default",
  };
}

export function samplingOptions({ topK, temperature, samplingMode }: Sampling): ChatOptions {
  const warmth = samplingMode === "default" ? temperature : TEMPERATURES[samplingMode];
  return { ...(topK !== undefined && { topK }), ...(warmth !== undefined && { temperature: warmth }) };
}

/** Whether all that is expected are texts. @throws RangeError for a tag that names no language */
export function expectsTexts({ expectedInputs = [], expectedOutputs = [] }: CreateCoreOptions): boolean {
  const texts = ({ type, languages = [] }: Expected): boolean => {
    Intl.getCanonicalLocales([...languages]);
    return type === "text";
  };
  // All are checked, whether or not an earlier one is no text.
  return [...expectedInputs, ...expectedOutputs].map(texts).every((text) => text);
}

export interface Input {
  readonly messages: readonly ChatMessage[];
  /** The last message is the assistant's, and the answer continues it. */
  readonly continued: boolean;
}

/**
 * @param later whether the conversation has begun, so that a system message comes too late
 * @throws TypeError; DOMException SyntaxError, NotSupportedError
 */
export function inputOf(input: PromptInput, later: boolean): Input {
  if (typeof input === "string") return { messages: [{ role: "user", content: input }], continued: false };
  if (!Array.isArray(input)) throw new TypeError("expected a text or a list of messages");
  if (input.length === 0) return { messages: [{ role: "user", content: "" }], continued: false };
  const given = input as readonly PromptMessage[];
  const messages = given.map((message, i): ChatMessage => {
    const { role, prefix = false } = message;
    if (role !== "system" && role !== "user" && role !== "assistant")
      throw new TypeError(`role: expected system, user or assistant, found ${String(role)}`);
    if (prefix && (role !== "assistant" || i < given.length - 1))
      throw new DOMException("prefix: only a last message of the assistant can be continued", "SyntaxError");
    if (role === "system" && (later || i > 0))
      throw new TypeError("a system message can only be the first of the initial prompts");
    return { role, content: textOf(message) };
  });
  return { messages, continued: given.at(-1)!.prefix === true };
}

function textOf({ content }: PromptMessage): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) throw new TypeError("content: expected a text or a list of contents");
  return content
    .map(({ type, value }) => {
      if (type !== "text")
        throw new DOMException(
          `content: expected a text, found ${type}; the model reads only texts`,
          "NotSupportedError",
        );
      if (typeof value !== "string") throw new TypeError(`content: expected a text as value, found ${typeof value}`);
      return value;
    })
    .join("");
}

/** @throws TypeError; DOMException NotSupportedError */
export function constraintOf({ responseConstraint, omitResponseConstraintInput }: PromptOptions): ChatOptions {
  if (responseConstraint === undefined || responseConstraint === null) {
    if (omitResponseConstraintInput) throw new TypeError("omitResponseConstraintInput needs a responseConstraint");
    return {};
  }
  if (typeof responseConstraint !== "object")
    throw new TypeError(`responseConstraint: expected a schema or a RegExp, found ${typeof responseConstraint}`);
  return { responseFormat: formatOf(responseConstraint) };
}

function formatOf(constraint: object): ResponseFormat {
  if (!(constraint instanceof RegExp)) return { type: "json_schema", schema: constraint, strict: true };
  const { source, flags } = constraint;
  // u and v change nothing of the patterns that are supported; g and y are about searching.
  const other = flags.replace(/[gyuvd]/g, "");
  if (other !== "")
    throw new DOMException(
      `responseConstraint: a RegExp with the flag ${other[0]} is not supported`,
      "NotSupportedError",
    );
  return { type: "regex", pattern: source };
}

/** A QuotaExceededError: a DOMException with two numbers of tokens. */
export function quotaError(requested: number, quota: number): DOMException {
  const message = `the input has ${requested} tokens, and the conversation has room for ${quota}`;
  return Object.assign(new DOMException(message, "QuotaExceededError"), { requested, quota });
}

/** An error of the engine as the exception that callers of the API expect. */
export function domError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof DOMException) return error;
  if (error instanceof RequestError) {
    const { overflow } = error.detail;
    if (overflow) return quotaError(overflow.tokens, overflow.context);
    return new DOMException(error.message, "NotSupportedError");
  }
  return error;
}
