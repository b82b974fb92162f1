// What an answer with tool calls must look like, for whoever holds the model to it while it writes.

import { RequestError } from "../errors.ts";
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
  /** What `schema` refers to as "#/$defs/<name>": the tools' parameters. */
  readonly parts: readonly Parameters[];
  /** A schema without parts: which tools there are, and any object for their arguments. */
  readonly plain: JsonSchema;
}

/** The schema of one tool's arguments, a document of its own. */
export interface Parameters {
  readonly name: string;
  /** The tool, for messages. */
  readonly label: string;
  readonly schema: JsonSchema;
  /** What of it cannot be enforced is not; otherwise it is refused. */
  readonly loose: boolean;
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
  const withId = format === "mistral-v3";
  const id = { type: "string", pattern: "^[a-zA-Z0-9]{9}$" };
  const form = (calls: readonly { readonly name: object; readonly arguments: object }[]): JsonSchema => {
    const items = calls.map((call) => {
      // Of many calls the id is said once, below: a pattern costs most.
      const properties = { ...call, ...(withId && { id: calls.length === 1 ? id : true }) };
      return { type: "object", properties, required: Object.keys(properties), additionalProperties: false };
    });
    const any = { anyOf: items, ...(withId && { properties: { id } }) };
    const list = {
      type: "array",
      items: items.length === 1 ? items[0] : any,
      minItems: 1,
      ...(named === null ? {} : { maxItems: 1 }),
    };
    if (format !== "json") return list;
    return { type: "object", properties: { tool_calls: list }, required: ["tool_calls"], additionalProperties: false };
  };
  const parts: Parameters[] = [];
  const calls = callable.map(({ name, parameters, strict = false }, i) => {
    if (parameters === undefined || Object.keys(parameters).length === 0)
      return { name: { const: name }, arguments: { type: "object" } };
    const { type = "object" } = parameters;
    const label = `tool ${JSON.stringify(name)}: parameters`;
    if (strict && type !== "object")
      throw new RequestError(`${label}: keyword \`type\` holds ${JSON.stringify(type)}, expected "object"`);
    parts.push({ name: `arguments${i}`, label, schema: { ...parameters, type: "object" }, loose: !strict });
    return { name: { const: name }, arguments: { $ref: `#/$defs/arguments${i}` } };
  });
  return {
    required: choice !== "auto",
    prefixIds: callsId === null ? [] : [callsId],
    schema: form(calls),
    parts,
    plain: form([{ name: { enum: callable.map(({ name }) => name) }, arguments: { type: "object" } }]),
  };
}
