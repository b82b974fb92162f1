// Tools for models that were trained for none: a protocol in plain JSON, told to the model in its system prompt.

import { mergeNeighbours, type PromptOptions, shownTools, withResultNames } from "./messages.ts";
import { parsePythonJson, pythonJson } from "./python_json.ts";
import type { ChatMessage, ToolChoice, ToolDefinition } from "./types.ts";

/**
 * The conversation in messages of system, user and assistant alone:
 * - the system prompt ends with the tools as JSON, and how to call them;
 * - a call is an assistant's answer that is one object, {"tool_calls": [{"name": ..., "arguments": {...}}]};
 * - its result is a user message, {"tool_result": {"name": ..., "content": ...}}; several results are one message, one a paragraph.
 */
export function jsonProtocol(messages: readonly ChatMessage[], options: PromptOptions): ChatMessage[] {
  const tools = shownTools(options);
  const plain = withResultNames(messages).map((message): ChatMessage => {
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
  // Behind the last system message, since all of them become one text in this order.
  const at = plain.findLastIndex((message) => message.role === "system") + 1;
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
