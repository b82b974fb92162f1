// The request fields that say whether and how much a model reasons: OpenAI's, OpenRouter's,
// Anthropic's, and those of local servers, in one form.

import type { ReasoningOptions } from "../engine/chat_api.ts";
import type { Fields } from "./fields.ts";
import { defined } from "./sampling.ts";

const MOST_TOKENS = 2 ** 31 - 1;
const LONGEST_EFFORT = 64;
const BUDGETS = ["thinking_budget", "thinking_token_budget", "thinking_budget_tokens", "reasoning_budget"];

/**
 * The options of reasoning; undefined where no field asks for anything. Of several fields the first
 * counts: the switches enable_thinking, think, thinking, reasoning.
 * @throws RequestError that names the field
 */
export function reasoningOf(body: Fields): ReasoningOptions | undefined {
  const router = body.object("reasoning");
  const thinking = typeof body.raw("thinking") === "boolean" ? undefined : body.object("thinking");
  const think = body.raw("think");
  const switched = thinking?.oneOf("type", ["enabled", "disabled", "adaptive"]);
  const options = defined({
    enabled:
      body.boolean("enable_thinking") ??
      (typeof think === "string" ? true : body.boolean("think")) ??
      (thinking === undefined
        ? body.boolean("thinking")
        : switched === undefined
          ? undefined
          : switched !== "disabled") ??
      router?.boolean("enabled"),
    effort:
      body.string("reasoning_effort", LONGEST_EFFORT) ??
      router?.string("effort", LONGEST_EFFORT) ??
      (typeof think === "string" ? body.string("think", LONGEST_EFFORT) : undefined) ??
      body.object("output_config")?.string("effort", LONGEST_EFFORT),
    budget:
      BUDGETS.map((name) => budget(body, name)).find((one) => one !== undefined) ??
      thinking?.integer("budget_tokens", 1, MOST_TOKENS) ??
      (router && budget(router, "max_tokens")),
  });
  return Object.keys(options).length > 0 ? options : undefined;
}

/** Whether the answer shows its reasoning: not with OpenRouter's `exclude` and its older field. */
export function showsReasoning(body: Fields): boolean {
  return !(body.object("reasoning")?.boolean("exclude") ?? body.boolean("include_reasoning") === false);
}

/** -1: no limit, as at local servers. */
function budget(fields: Fields, name: string): number | undefined {
  return fields.raw(name) === -1 ? undefined : fields.integer(name, 0, MOST_TOKENS);
}
