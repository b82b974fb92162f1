// What an answer with tool calls must look like, for whoever holds the model to it while it writes.

import type { JsonSchema, ToolChoice, ToolDefinition, ToolFormat } from "./types.ts";

/** The form of an answer that calls tools. */
export interface ToolOutput {
  /** Whether the answer has to be calls. If not, it is text, or calls where it begins with `prefixIds` (or, without those, with the JSON). */
  readonly required: boolean;
  /** Control tokens in front of the JSON: [TOOL_CALLS] in Mistral's formats, none in the JSON protocol. */
  readonly prefixIds: readonly number[];
  /**
   * Schema of the JSON text that follows, up to the end of the answer: a list of calls, or the protocol's object with that list. Keys are in the order
   * that models write them in; Mistral's models write ", " and ": " between.
   */
  readonly schema: JsonSchema;
}

/**
 * @param callsId id of [TOOL_CALLS], null with the JSON protocol
 * @returns null where no tool may be called
 */
export function toolCallSchema(
  tools: readonly ToolDefinition[],
  choice: ToolChoice,
  format: ToolFormat,
  callsId: number | null,
): ToolOutput | null {
  const named = typeof choice === "object" ? choice.name : null;
  const callable = tools.filter((tool) => named === null || tool.name === named);
  if (choice === "none" || callable.length === 0) return null;
  const defs: Record<string, unknown> = {};
  const calls = callable.map((tool, i) => {
    const properties: Record<string, unknown> = {
      name: { const: tool.name },
      arguments: placed(tool.parameters, `arguments${i}`, defs),
    };
    if (format === "mistral-v3") properties.id = { type: "string", pattern: "^[a-zA-Z0-9]{9}$" };
    return { type: "object", properties, required: Object.keys(properties), additionalProperties: false };
  });
  const list = {
    type: "array",
    items: calls.length === 1 ? calls[0] : { anyOf: calls },
    minItems: 1,
    ...(named === null ? {} : { maxItems: 1 }),
  };
  const schema =
    format === "json"
      ? { type: "object", properties: { tool_calls: list }, required: ["tool_calls"], additionalProperties: false }
      : list;
  return {
    required: choice !== "auto",
    prefixIds: callsId === null ? [] : [callsId],
    schema: Object.keys(defs).length === 0 ? schema : { ...schema, $defs: defs },
  };
}

/** A tool's schema inside the whole: as it is, or, where it refers to its own parts, under $defs with those references led there. */
function placed(parameters: JsonSchema | undefined, name: string, defs: Record<string, unknown>): unknown {
  if (parameters === undefined || Object.keys(parameters).length === 0) return { type: "object" };
  const whole = parameters.type === undefined ? { type: "object", ...parameters } : parameters;
  if (!JSON.stringify(whole).includes('"$ref"')) return whole;
  defs[name] = moved(whole, `#/$defs/${name}`);
  return { $ref: `#/$defs/${name}` };
}

function moved(value: unknown, to: string): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((one) => moved(one, to));
  const entries = Object.entries(value).map(([key, inner]): [string, unknown] => {
    const isRef = key === "$ref" && typeof inner === "string" && inner.startsWith("#");
    return [key, isRef ? to + inner.slice(1) : moved(inner, to)];
  });
  return Object.fromEntries(entries);
}
