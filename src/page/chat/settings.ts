// What a conversation asks of the engine beside its messages: sampling, tools, a format; and
// presets of it.

import type { Format, ParameterName, Tool } from "../engine.ts";

export const FORMATS = ["text", "json_object", "json_schema", "grammar", "regex"] as const;

/** Everything as the person wrote it; texts that must be JSON are read when a request is made. */
export interface Settings {
  readonly system: string;
  /** What is absent is left to the engine. */
  readonly sampling: Readonly<Partial<Record<ParameterName, number>>>;
  /** Texts that end the answer. */
  readonly stop: readonly string[];
  /** A JSON list of tools, or nothing. */
  readonly tools: string;
  readonly format: (typeof FORMATS)[number];
  /** The schema, grammar or pattern of the format. */
  readonly formatText: string;
  /** Whether the answer's tokens come with probabilities. */
  readonly probabilities: boolean;
}

export const PLAIN: Settings = {
  system: "",
  sampling: {},
  stop: [],
  tools: "",
  format: "text",
  formatText: "",
  probabilities: false,
};

/** A named set of what a preset changes: the system message and sampling. */
export interface Preset {
  readonly name: string;
  readonly system: string;
  readonly sampling: Settings["sampling"];
}

export const PRESETS: readonly Preset[] = [
  { name: "The model's own", system: "", sampling: {} },
  {
    name: "Hosted playground",
    system: "You are a helpful, accurate assistant.",
    sampling: { temperature: 0.7, max_tokens: 1000, top_p: 0.9, frequency_penalty: 0, presence_penalty: 0 },
  },
  { name: "Exact: always the likeliest token", system: "", sampling: { temperature: 0, seed: 0 } },
  { name: "Balanced", system: "", sampling: { temperature: 0.7, top_p: 0.95, min_p: 0.05 } },
  { name: "Inventive", system: "", sampling: { temperature: 1.1, min_p: 0.05, repetition_penalty: 1.05 } },
];

/** What is wrong with the settings, for the person. */
export class SettingsError extends Error {
  override readonly name = "SettingsError";
}

/** An example for the person who defines tools. */
export const TOOL_EXAMPLE = `[
  {
    "name": "get_weather",
    "description": "The weather of a city now",
    "parameters": {
      "type": "object",
      "properties": { "city": { "type": "string" } },
      "required": ["city"]
    }
  }
]`;

export const FORMAT_EXAMPLES: Readonly<Record<Settings["format"], string>> = {
  text: "",
  json_object: "",
  json_schema: `{
  "type": "object",
  "properties": {
    "name": { "type": "string" },
    "age": { "type": "integer" }
  },
  "required": ["name", "age"]
}`,
  grammar: 'root ::= "yes" | "no"',
  regex: "\\d{4}-\\d{2}-\\d{2}",
};

/**
 * The tools of the settings: a JSON list of functions, or of OpenAI's objects around them.
 * @throws SettingsError
 */
export function toolsOf({ tools }: Settings): readonly Tool[] {
  if (tools.trim() === "") return [];
  const list = parsed(tools, "Tools");
  if (!Array.isArray(list)) throw new SettingsError('Tools: expected a JSON list of functions: [{"name": ...}]');
  return list.map((one: unknown, i) => {
    const given = (one ?? {}) as { function?: unknown };
    const tool = (given.function ?? given) as { name?: unknown; description?: unknown; parameters?: unknown };
    if (typeof tool.name !== "string" || tool.name === "")
      throw new SettingsError(`Tools: number ${i + 1} has no "name"`);
    return {
      name: tool.name,
      ...(typeof tool.description === "string" && { description: tool.description }),
      ...(tool.parameters !== undefined && { parameters: tool.parameters }),
    };
  });
}

/** The format of the settings; null: free text. @throws SettingsError */
export function formatOf({ format, formatText: text }: Settings): Format | null {
  const needed = (): string => {
    if (text.trim() === "") throw new SettingsError(`Answer format: the ${FORMAT_NAMES[format]} is empty`);
    return text;
  };
  switch (format) {
    case "text":
      return null;
    case "json_object":
      return { type: "json_object" };
    case "json_schema":
      return { type: "json_schema", schema: parsed(needed(), "Answer format: the schema") };
    case "grammar":
      return { type: "grammar", grammar: needed() };
    case "regex":
      return { type: "regex", pattern: needed() };
  }
}

export const FORMAT_NAMES: Readonly<Record<Settings["format"], string>> = {
  text: "Free text",
  json_object: "Any JSON object",
  json_schema: "JSON schema",
  grammar: "Grammar (GBNF)",
  regex: "Regular expression",
};

function parsed(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new SettingsError(`${what}: this is not JSON: ${(error as Error).message}`);
  }
}
