// Schemas of validation libraries (zod, valibot, arktype, ...) for tools and answers, by the
// interfaces that all of them have: Standard JSON Schema to constrain, Standard Schema to validate.

import type { StandardJSONSchemaV1, StandardSchemaV1, StandardTypedV1 } from "@standard-schema/spec";
import { RequestError } from "../errors.ts";
import type { ChatOptions, ResponseFormat, ToolCall, ToolDefinition } from "./chat_api.ts";

/**
 * A schema of a library. It must be convertible to JSON Schema by itself: zod 4.2, arktype 2.1.28,
 * or what toStandardJsonSchema() of @valibot/to-json-schema makes of valibot's.
 */
export type Schema<Input = unknown, Output = Input> = StandardTypedV1<Input, Output>;

/** A tool whose parameters a schema describes. */
export interface SchemaTool extends Omit<ToolDefinition, "parameters"> {
  /** The schema of the arguments. */
  readonly parameters: Schema;
}

/** ChatOptions, with schemas in place of JSON schemas: in tools, and in a "json_schema" format. */
export interface ChatInput extends Omit<ChatOptions, "tools"> {
  /** What the model may call. */
  readonly tools?: readonly (ToolDefinition | SchemaTool)[];
}

/** A tool that reads its calls. */
export interface TypedTool<Output> extends ToolDefinition {
  /**
   * The arguments of a call, validated and transformed by the schema.
   * @throws RequestError that lists what is wrong, which can be sent to the model as the result
   */
  parse(call: Pick<ToolCall, "arguments">): Promise<Output>;
}

/** A format that reads its answers. */
export type TypedFormat<Output> = Extract<ResponseFormat, { type: "json_schema" }> & {
  /** The answer's text as a value. @throws as TypedTool.parse() */
  parse(text: string): Promise<Output>;
};

/** A schema that also validates. */
type Validating<Output> = StandardSchemaV1<unknown, Output>;

/** A tool, and the schema of its arguments. */
export interface ToolOptions<Output> extends Omit<ToolDefinition, "parameters"> {
  /** Converts to JSON Schema, and validates. */
  readonly schema: Validating<Output>;
  /** JSON schema that the model is shown and held to. Default: that of `schema`. */
  readonly parameters?: ToolDefinition["parameters"];
}

/**
 * A tool for ChatOptions.tools whose arguments are typed by a schema.
 * @throws RequestError if the schema does not validate, or cannot be converted to JSON Schema
 */
export function tool<Output>({ schema, parameters, ...rest }: ToolOptions<Output>): TypedTool<Output> {
  const where = `tool ${JSON.stringify(rest.name)}`;
  return {
    ...rest,
    parameters: parameters ?? jsonSchemaOf(schema, `${where}: schema`),
    parse: parserOf(schema, `${where}: arguments`, ({ arguments: text }: Pick<ToolCall, "arguments">) => text),
  };
}

/**
 * A format for ChatOptions.responseFormat whose answers are typed by a schema.
 * @param strict whether a keyword that cannot be enforced is an error. Default false
 * @throws as tool()
 */
export function jsonFormat<Output>(
  schema: Validating<Output>,
  { strict = false, jsonSchema }: { readonly strict?: boolean; readonly jsonSchema?: object } = {},
): TypedFormat<Output> {
  return {
    type: "json_schema",
    schema: jsonSchema ?? jsonSchemaOf(schema, "schema"),
    strict,
    parse: parserOf(schema, "answer", (text: string) => text),
  };
}

/** The options with JSON schemas in place of a library's. @throws RequestError */
export function withJsonSchemas({ tools, responseFormat: format, ...options }: ChatInput): ChatOptions {
  return {
    ...options,
    ...(tools && { tools: tools.map(plainTool) }),
    ...(format && { responseFormat: plainFormat(format) }),
  };
}

function plainTool(given: ToolDefinition | SchemaTool, i: number): ToolDefinition {
  const { parameters } = given;
  if (!isStandard(parameters)) return given as ToolDefinition;
  return { ...given, parameters: jsonSchemaOf(parameters, `tools[${i}].parameters`) };
}

function plainFormat(format: ResponseFormat): ResponseFormat {
  if (format.type !== "json_schema" || !isStandard(format.schema)) return format;
  return { ...format, schema: jsonSchemaOf(format.schema, "responseFormat.schema") };
}

/** Arktype's schemas are functions. */
function isStandard(value: unknown): value is StandardTypedV1 {
  if ((typeof value !== "object" || value === null) && typeof value !== "function") return false;
  const standard = "~standard" in value && value["~standard"];
  return typeof standard === "object" && standard !== null;
}

/** How a library's schemas get a JSON Schema, by its vendor's name in the standard. */
const REMEDIES: Readonly<Record<string, string>> = {
  zod: "zod 4.2 or newer has one",
  arktype: "arktype 2.1.28 or newer has one",
  valibot: "pass toStandardJsonSchema(schema) of @valibot/to-json-schema",
};

/** The newest draft first, then the one that every library has. */
const TARGETS = ["draft-2020-12", "draft-07"] as const;

/** The JSON schema of what a model is to write. */
function jsonSchemaOf(schema: unknown, where: string): Record<string, unknown> {
  if (!isStandard(schema)) {
    throw new RequestError(
      `${where}: expected a schema of a library with the property "~standard", as zod, valibot and arktype have it, found ${typeof schema}`,
    );
  }
  const { vendor, jsonSchema } = schema["~standard"] as Partial<StandardJSONSchemaV1.Props>;
  if (jsonSchema === undefined) {
    const remedy = REMEDIES[vendor ?? ""] ?? "pass a JSON Schema instead, or beside it to tool() or jsonFormat()";
    throw new RequestError(`${where}: the schema of ${vendor} has no JSON Schema ("~standard".jsonSchema); ${remedy}`);
  }
  let failure: unknown;
  for (const target of TARGETS) {
    try {
      return jsonSchema.input({ target });
    } catch (error) {
      failure = error;
    }
  }
  const reason = failure instanceof Error ? failure.message : String(failure);
  throw new RequestError(`${where}: ${vendor} cannot convert the schema to JSON Schema: ${reason}`);
}

function parserOf<From, Output>(
  schema: Validating<Output>,
  where: string,
  textOf: (from: From) => string,
): (from: From) => Promise<Output> {
  const validate = isStandard(schema) ? schema["~standard"].validate : undefined;
  if (validate === undefined) {
    throw new RequestError(`${where}: expected a schema that validates ("~standard".validate), found none`);
  }
  return async (from) => {
    const text = textOf(from);
    let value: unknown;
    try {
      value = text === "" ? {} : JSON.parse(text);
    } catch (error) {
      throw new RequestError(`${where}: expected JSON: ${(error as Error).message}`);
    }
    const result = await validate(value);
    if (result.issues === undefined) return result.value;
    const issues = result.issues.map(({ message, path = [] }) => `${pathOf(path)}${message}`);
    throw new RequestError(`${where}: ${issues.join("; ")}`);
  };
}

function pathOf(path: NonNullable<StandardSchemaV1.Issue["path"]>): string {
  if (path.length === 0) return "";
  const keys = path.map((part) => (typeof part === "object" ? part.key : part));
  return `${keys.map(String).join(".")}: `;
}
