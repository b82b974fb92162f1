// The call style for models that were not trained to call tools: a JSON protocol, explained in the
// system prompt.

import { beginning, mergeNeighbours, type PromptOptions, shownTools, withResultNames } from "../messages.ts";
import { parsePythonJson, pythonJson } from "../python_json.ts";
import { createReplyParser } from "../reply.ts";
import type { ChatMessage, ToolChoice, ToolDefinition } from "../types.ts";
import { callGrammar } from "./call_grammar.ts";
import type { CallStyle } from "./style.ts";

/** Characters held back while an answer may still turn out to be the protocol's object. */
const MAX_HEAD = 256;
/**
 * An unfinished answer that almost certainly becomes the protocol's object. In a Markdown fence any
 * object may follow, so there a key that begins like "tool_calls" is required.
 */
const CALL_BEGUN = /^\s*\{|"t/;
/** What may follow the list: the end of the object, and of the fence around it. */
const OBJECT_END = /^\}?\s*`{0,3}$/;

export const jsonStyle: CallStyle = {
  name: "json",
  prompt(messages, options) {
    const { tools: _, ...shown } = options;
    return { messages: jsonProtocol(messages, options), options: shown };
  },
  parser: (options) =>
    createReplyParser(
      {
        callsId: null,
        head: { listStart: protocolStart, isCall: (head) => CALL_BEGUN.test(head) },
        endsList: (rest) => OBJECT_END.test(rest.trim()),
      },
      options,
    ),
  grammar: (tools, choice, parallel) =>
    callGrammar(tools, choice, parallel, {
      prefixIds: [],
      id: null,
      around: (list) => ({
        type: "object",
        properties: { tool_calls: list },
        required: ["tool_calls"],
        additionalProperties: false,
      }),
    }),
};

/**
 * Rewrites the conversation to messages of the roles system, user and assistant only:
 * - the system prompt ends with the tools as JSON, and how to call them;
 * - a call is an assistant's answer that is one object, {"tool_calls": [{"name": ..., "arguments":
 *   {...}}]};
 * - its result is a user message, {"tool_result": {"name": ..., "content": ...}}. Several results
 *   share one message, a paragraph each;
 * - a system message behind an answer is the user's, so that the system prompt stays the same.
 */
export function jsonProtocol(messages: readonly ChatMessage[], options: PromptOptions): ChatMessage[] {
  const tools = shownTools(options);
  const { length: begun } = beginning(messages);
  const plain = withResultNames(messages).map((message, i): ChatMessage => {
    if (message.role === "system" && i >= begun && tools.length > 0) return { ...message, role: "user" };
    if (message.role === "tool") {
      const { name = null } = message;
      return { role: "user", content: pythonJson({ tool_result: { name, content: jsonOrText(message.content) } }) };
    }
    if (message.role !== "assistant" || !message.toolCalls?.length) return message;
    const calls = message.toolCalls.map(({ name, arguments: text }) => ({ name, arguments: jsonOrText(text) }));
    const parts = [message.content ?? "", pythonJson({ tool_calls: calls })];
    return { role: "assistant", content: parts.filter((part) => part !== "").join("\n\n") };
  });
  if (tools.length === 0) return mergeNeighbours(plain);
  // After the last system message of the beginning: they become one text, in this order.
  const at = beginning(plain).findLastIndex((message) => message.role === "system") + 1;
  plain.splice(at, 0, { role: "system", content: instructions(tools, options.toolChoice ?? "auto") });
  return mergeNeighbours(plain);
}

function instructions(tools: readonly ToolDefinition[], choice: ToolChoice): string {
  const list = tools.map(({ name, description = "", parameters = {} }) => ({ name, description, parameters }));
  return [
    "You can call these tools. Each has a name, a description and a JSON schema of its arguments:",
    pythonJson(list),
    'To call tools, answer with one JSON object and nothing else: {"tool_calls": [{"name": "name of the tool", "arguments": {}}]}',
    'The next message brings each result as {"tool_result": {"name": "name of the tool", "content": "what it returned"}}.',
    obligation(choice),
  ].join("\n");
}

function obligation(choice: ToolChoice): string {
  if (typeof choice === "object") return `Now call the tool ${choice.name}.`;
  return choice === "required" ? "Now call at least one tool." : "If no tool is needed, answer in plain text.";
}

function jsonOrText(text: string): unknown {
  const value = parsePythonJson(text);
  return value === undefined ? text : value;
}

/**
 * Where the list begins in an answer of the form {"tool_calls": [ (perhaps in a Markdown fence);
 * "open" while more text is needed to tell, "none" if it is not such an answer.
 */
function protocolStart(text: string): number | "open" | "none" {
  let at = 0;
  for (const part of ["```?", "json?", "{", '"tool_calls"', ":", "["]) {
    while (at < text.length && /\s/.test(text[at]!)) at++;
    const optional = part.endsWith("?");
    const wanted = optional ? part.slice(0, -1) : part;
    const found = text.slice(at, at + wanted.length);
    if (found === wanted) {
      if (part === "[") return at;
      at += wanted.length;
    } else if (at + found.length === text.length && wanted.startsWith(found)) return at > MAX_HEAD ? "none" : "open";
    else if (!optional) return "none";
  }
  return "none";
}
