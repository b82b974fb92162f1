// Mistral's call style: the control token [TOOL_CALLS], then a JSON list of calls. From v3 on each
// call has an id.

import { withTrainedIds } from "../messages.ts";
import { controlId } from "../mistral.ts";
import { createReplyParser } from "../reply.ts";
import { callGrammar } from "./call_grammar.ts";
import type { CallStyle, ModelTraits } from "./style.ts";

const ID = { type: "string", pattern: "^[a-zA-Z0-9]{9}$" };

/**
 * Null without [TOOL_CALLS], and with [ARGS]: from v11 on calls are written
 * [TOOL_CALLS]name[ARGS]{...}, which is not read here.
 */
export function mistralStyle({ tokenizer, mistral: version, showsTools }: ModelTraits): CallStyle | null {
  const callsId = controlId(tokenizer, "[TOOL_CALLS]");
  if (callsId === null || version === "v1" || !showsTools || controlId(tokenizer, "[ARGS]") !== null) return null;
  return mistralCalls(version === "v2" ? "mistral-v2" : "mistral-v3", callsId);
}

/** @param callsId id of [TOOL_CALLS] */
export function mistralCalls(name: "mistral-v2" | "mistral-v3", callsId: number): CallStyle {
  const id = name === "mistral-v3" ? ID : null;
  return {
    name,
    prompt: (messages, options) => ({ messages: withTrainedIds(messages), options }),
    parser: (options) => createReplyParser({ callsId, head: null, endsList: (rest) => rest.trim() === "" }, options),
    grammar: (tools, choice, parallel) =>
      callGrammar(tools, choice, parallel, { prefixIds: [callsId], id, around: (list) => list }),
  };
}
