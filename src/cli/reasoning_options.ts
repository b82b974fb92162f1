// The options of reasoning and of chat templates, with llama.cpp's names where it has one.

import { type Command, InvalidArgumentError, Option } from "commander";
import type { ChatModel, ChatOptions } from "../index.ts";
import { integer, orMinusOne } from "./values.ts";

export interface ReasoningFlags {
  readonly reasoning?: "on" | "off" | "auto";
  readonly reasoningEffort?: string;
  readonly reasoningBudget?: number;
  readonly chatTemplateKwargs?: Readonly<Record<string, unknown>>;
}

/** What the options say of every answer. */
export type ChatDefaults = Pick<ChatOptions, "reasoning" | "templateVariables">;

export function addReasoningOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--reasoning <switch>",
        "whether the model thinks before it answers; auto: as its template does",
      ).choices(["on", "off", "auto"]),
    )
    .option(
      "--reasoning-effort <level>",
      "how much it thinks, as its template has it: low, medium, high; none: off",
      level,
    )
    .option(
      "--reasoning-budget <tokens>",
      "at most this many tokens of thinking; default, or -1: no limit",
      orMinusOne(integer(0, 2 ** 31 - 1)),
    )
    .option("--chat-template-kwargs <json>", "further variables of the chat template, as a JSON object", object);
}

function level(text: string): string {
  if (/^[\w-]{1,64}$/.test(text)) return text;
  throw new InvalidArgumentError("Expected a word such as low, medium or high.");
}

function object(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Not JSON.
  }
  throw new InvalidArgumentError('Expected a JSON object such as {"enable_thinking": false}.');
}

export function chatDefaults(flags: ReasoningFlags): ChatDefaults {
  const { reasoning: on = "auto", reasoningEffort: effort, reasoningBudget: budget = -1 } = flags;
  const reasoning = {
    ...(on !== "auto" && { enabled: on === "on" }),
    ...(effort !== undefined && { effort }),
    ...(budget !== -1 && { budget }),
  };
  return {
    ...(Object.keys(reasoning).length > 0 && { reasoning }),
    ...(flags.chatTemplateKwargs && { templateVariables: flags.chatTemplateKwargs }),
  };
}

/** The model with these options wherever a request leaves one of them out. */
export function withDefaults<M extends ChatModel>(model: M, defaults: ChatDefaults): M {
  const filled = (options: ChatDefaults = {}): ChatDefaults => {
    const reasoning = { ...defaults.reasoning, ...options.reasoning };
    const templateVariables = { ...defaults.templateVariables, ...options.templateVariables };
    return {
      ...(Object.keys(reasoning).length > 0 && { reasoning }),
      ...(Object.keys(templateVariables).length > 0 && { templateVariables }),
    };
  };
  return {
    ...model,
    chat: (messages, options) => model.chat(messages, { ...options, ...filled(options) }),
    countTokens: (messages, options) => model.countTokens(messages, { ...options, ...filled(options) }),
  };
}
