// Tools of Anthropic's API: tools that the client describes, and Anthropic's own client-side tools,
// whose schemas are known.

import type { ToolDefinition } from "../engine/chat_api.ts";
import { schemaOf } from "./conversation_fields.ts";
import { type Fields, type Json, required, wrong } from "./fields.ts";
import { defined } from "./sampling.ts";

const text = (description: string) => ({ type: "string", description });
const lines = {
  type: "array",
  items: { type: "integer" },
  minItems: 2,
  maxItems: 2,
  description: "For view: the first and the last line, from 1; -1 is the end of the file.",
};
const line = { type: "integer", description: "For insert: the line behind which the text goes; 0 is the beginning." };
const EDITING = {
  path: text("The file or folder."),
  view_range: lines,
  file_text: text("For create: what the file holds."),
  old_str: text("For str_replace: the text to replace, which must be in the file exactly once."),
  new_str: text("For str_replace: the text that takes its place."),
  insert_line: line,
  insert_text: text("For insert: the text."),
};

/** A tool with a parameter `command` that selects what it does. */
function commanded(description: string, commands: readonly string[], properties: Json, needed: readonly string[]) {
  const command = { enum: commands, description: "What to do." };
  const parameters = { type: "object", properties: { command, ...properties }, required: ["command", ...needed] };
  return { description, parameters: { ...parameters, additionalProperties: false } };
}

/** Anthropic's models know these tools by their type. Other models need a description. */
const KNOWN: readonly (readonly [RegExp, Pick<ToolDefinition, "description" | "parameters">])[] = [
  [
    /^bash_\d{8}$/,
    {
      description: "Runs a command in a bash session that lasts.",
      parameters: {
        type: "object",
        properties: {
          command: text("The command. Needed unless the session is restarted."),
          restart: { type: "boolean", description: "Whether to restart the session." },
        },
        additionalProperties: false,
      },
    },
  ],
  [
    /^text_editor_(20241022|20250124)$/,
    commanded(
      "Views, creates and edits text files.",
      ["view", "create", "str_replace", "insert", "undo_edit"],
      { ...without(EDITING, "insert_text"), new_str: text("For str_replace and insert: the new text.") },
      ["path"],
    ),
  ],
  [
    /^text_editor_\d{8}$/,
    commanded("Views, creates and edits text files.", ["view", "create", "str_replace", "insert"], EDITING, ["path"]),
  ],
  [
    /^memory_\d{8}$/,
    commanded(
      "Keeps files in /memories, which last from one conversation to the next.",
      ["view", "create", "str_replace", "insert", "delete", "rename"],
      { ...EDITING, old_path: text("For rename: the file."), new_path: text("For rename: its new name.") },
      [],
    ),
  ],
];

function without(all: Json, name: string): Json {
  return Object.fromEntries(Object.entries(all).filter(([key]) => key !== name));
}

/** @throws RequestError for a tool that Anthropic's servers run, and for an unknown one */
export function anthropicTool(fields: Fields): ToolDefinition {
  const type = fields.string("type") ?? "custom";
  const known = type === "custom" ? {} : KNOWN.find(([form]) => form.test(type))?.[1];
  if (known === undefined && !fields.has("input_schema")) throw unknown(fields, type);
  return {
    name: required(fields.string("name"), fields, "name"),
    ...known,
    ...schemaOf(fields, "input_schema"),
    ...defined({ description: fields.string("description"), strict: fields.boolean("strict") }),
  };
}

function unknown(fields: Fields, type: string): Error {
  const path = fields.path("type");
  if (/^computer_/.test(type))
    return wrong(path, "this tool's results are images, and this model reads text only", type);
  if (/^(web_search|web_fetch|code_execution|tool_search\w*|mcp\w*|advisor)(_|$)/.test(type))
    return wrong(path, "this tool runs on Anthropic's servers, and this one has none like it; leave it out", type);
  return wrong(path, "this tool is not known; describe it by name, description and input_schema, without a type", type);
}
