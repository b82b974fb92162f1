// OpenAI's `tools` and `tool_choice`, including "allowed_tools", which restricts the choice to some
// of the tools.

import type { ToolChoice, ToolDefinition } from "../engine/chat_api.ts";
import { checkChoice, MOST_TOOLS, schemaOf, toolsOf } from "./conversation_fields.ts";
import { type Fields, fieldsOf, isObject, required, wrong } from "./fields.ts";
import { defined } from "./sampling.ts";

export interface ToolsAndChoice {
  readonly tools?: readonly ToolDefinition[];
  readonly toolChoice?: ToolChoice;
}

/**
 * @param define reads one tool; null: it is passed over
 * @throws RequestError that names the field
 */
export function openaiTools(
  body: Fields,
  define: (tool: Fields) => ToolDefinition | null = openaiTool,
): ToolsAndChoice {
  const tools = toolsOf(body, define);
  const choice = typeof body.raw("tool_choice") === "object" ? body.object("tool_choice") : undefined;
  if (choice?.raw("type") === "allowed_tools") return allowed(choice, tools ?? []);
  const toolChoice = choice === undefined ? modeOf(body) : { name: nameOf(choice) };
  checkChoice(toolChoice, tools);
  return defined({ tools, toolChoice });
}

function openaiTool(fields: Fields): ToolDefinition {
  const type = fields.string("type") ?? "function";
  if (type !== "function") throw wrong(fields.path("type"), 'expected "function"', type);
  return definition(required(fields.object("function"), fields, "function"));
}

/**
 * A tool of the responses API, whose fields are beside its type. Tools of other kinds (web_search,
 * namespace, ...) are run by the API's own server: they are passed over, since clients offer them
 * to every server.
 */
export function flatTool(fields: Fields): ToolDefinition | null {
  return (fields.string("type") ?? "function") === "function" ? definition(fields) : null;
}

function definition(tool: Fields): ToolDefinition {
  return {
    name: required(tool.string("name"), tool, "name"),
    ...schemaOf(tool, "parameters"),
    ...defined({ description: tool.string("description"), strict: tool.boolean("strict") }),
  };
}

function modeOf(body: Fields): ToolChoice | undefined {
  const choice = body.oneOf("tool_choice", ["auto", "none", "required", "any"]);
  return choice === "any" ? "required" : choice;
}

/**
 * {"type": "function", "function": {"name": ...}}; the responses API has the name beside the type.
 */
function nameOf(choice: Fields): string {
  const tool = choice.has("name") ? choice : required(choice.object("function"), choice, "function");
  return required(tool.string("name"), tool, "name");
}

/**
 * {"type": "allowed_tools", "allowed_tools": {"mode", "tools"}}; the responses API has mode and
 * tools beside the type. The model is shown the allowed tools and no others.
 */
function allowed(choice: Fields, tools: readonly ToolDefinition[]): ToolsAndChoice {
  const given = choice.object("allowed_tools") ?? choice;
  const mode = required(given.oneOf("mode", ["auto", "required"]), given, "mode");
  const named = required(given.array("tools", MOST_TOOLS), given, "tools");
  const names = new Set<string>();
  for (const [i, one] of named.entries()) {
    const path = given.path(`tools[${i}]`);
    const fields = isObject(one) ? fieldsOf(one, path) : null;
    if (fields && (fields.raw("type") ?? "function") !== "function") continue; // passed over above
    const name = fields ? nameOf(fields) : one;
    if (typeof name !== "string" || !tools.some((tool) => tool.name === name))
      throw wrong(path, "expected one of the request's tools", name);
    names.add(name);
  }
  if (names.size === 0) {
    if (mode === "required")
      throw wrong(given.path("tools"), "expected at least one tool, since one must be called", []);
    return {};
  }
  return { tools: tools.filter(({ name }) => names.has(name)), toolChoice: mode };
}
