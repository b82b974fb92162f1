// The files beside a tokenizer that may hold a chat template.

export const MAIN = "chat_template.jinja";
/** For requests with tools, and a default where MAIN is missing. */
export const TOOL_USE = "additional_chat_templates/tool_use.jinja";
export const DEFAULT = "additional_chat_templates/default.jinja";
export const OLDER = "chat_template.json";

export const TEMPLATE_FILES: readonly string[] = [MAIN, DEFAULT, TOOL_USE, OLDER];
