// The grammar of an answer with tool calls, for constrained decoding.

import { RequestError } from "../../errors.ts";
import type { JsonSchema, ToolChoice, ToolDefinition } from "../types.ts";

export interface CallGrammar {
  /**
   * Whether the answer must be calls. If not, it is text, or calls where it begins with `prefixIds`
   * (or, without those, with the JSON).
   */
  readonly required: boolean;
  /**
   * Control tokens in front of the JSON: [TOOL_CALLS] in Mistral's styles, none in
   * the JSON protocol.
   */
  readonly prefixIds: readonly number[];
  /**
   * Schema of the JSON text that follows, up to the end of the answer. Keys are in the order in
   * which models write them; Mistral's models write ", " and ": " between them.
   */
  readonly schema: JsonSchema;
  /** What `schema` refers to as "#/$defs/<name>": the tools' parameters. */
  readonly parts: readonly Parameters[];
  /**
   * A simpler schema without parts, for where `schema` cannot be compiled: any object
   * serves as arguments.
   */
  readonly plain: JsonSchema;
  /** For calls that are not JSON as a whole: their text, marks included, instead of `schema`. */
  readonly written?: readonly Written[];
  /** Where optional calls that are not JSON as a whole begin; null: no token tells. */
  readonly begun?: BegunCalls | null;
}

/** A token, and what follows it where a call begins. */
export interface BegunCalls {
  readonly mark: string;
  /** All that may follow it. */
  readonly all: readonly (readonly Written[])[];
  /**
   * The one of `all` that follows, by the text in front of the mark, control tokens by name; null
   * if no call begins there.
   */
  follows(head: string): readonly Written[] | null;
}

/** The schema of one tool's arguments, a document of its own. */
export interface Parameters {
  readonly name: string;
  /** The tool, for messages. */
  readonly label: string;
  readonly schema: JsonSchema;
  /** Whether keywords that cannot be enforced are dropped; if not, the schema is rejected. */
  readonly loose: boolean;
}

/** A piece of a text that is not JSON as a whole. */
export type Written =
  /** This text; marks in it that are control tokens mean those. */
  | { readonly text: string }
  /** JSON that is valid by the schema at this path: "$defs", a name of `parts`, and so on. */
  | { readonly value: readonly string[] }
  /** Any text that does not contain this one. */
  | { readonly until: string }
  /** One of several sequences. */
  | { readonly any: readonly (readonly Written[])[] }
  /** `of`, repeated min to max times; null: without end. */
  | { readonly of: readonly Written[]; readonly min: number; readonly max: number | null };

/** How a style writes a list of calls. */
export interface CallForm {
  readonly prefixIds: readonly number[];
  /** Schema of a call's id; null: calls have none. */
  readonly id: JsonSchema | null;
  /** The schema of the whole text, given that of the list. */
  readonly around: (list: JsonSchema) => JsonSchema;
}

/**
 * The grammar; null if no tool may be called.
 * @throws RequestError for a strict tool whose schema is not one of objects
 */
export function callGrammar(
  tools: readonly ToolDefinition[],
  choice: ToolChoice,
  parallel: boolean,
  { prefixIds, id, around }: CallForm,
): CallGrammar | null {
  const named = typeof choice === "object" ? choice.name : null;
  const callable = tools.filter((tool) => named === null || tool.name === named);
  if (choice === "none" || callable.length === 0) return null;
  const form = (calls: readonly { readonly name: object; readonly arguments: object }[]): JsonSchema => {
    const items = calls.map((call) => {
      // With several tools the id's pattern stands once, below: it is the part that costs
      // most to compile.
      const properties = { ...call, ...(id !== null && { id: calls.length === 1 ? id : true }) };
      return { type: "object", properties, required: Object.keys(properties), additionalProperties: false };
    });
    const any = { anyOf: items, ...(id !== null && { properties: { id } }) };
    return around({
      type: "array",
      items: items.length === 1 ? items[0] : any,
      minItems: 1,
      ...((named !== null || !parallel) && { maxItems: 1 }),
    });
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
    prefixIds,
    schema: form(calls),
    parts,
    plain: form([{ name: { enum: callable.map(({ name }) => name) }, arguments: { type: "object" } }]),
  };
}
