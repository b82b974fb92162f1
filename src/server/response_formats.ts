// Response formats in every spelling: OpenAI's, Anthropic's, llama.cpp's, vLLM's, SGLang's,
// Ollama's, Together's, Fireworks' and Text Generation Inference's. Each becomes one of the
// engine's formats.

import type { ResponseFormat } from "../engine/chat_api.ts";
import { RequestError } from "../errors.ts";
import { type Fields, fieldsOf, isObject, type Json, required, wrong } from "./fields.ts";
import { defined } from "./sampling.ts";

/** Most texts to choose from. */
const MOST_CHOICES = 10_000;

/** The fields that may contain a format, with their readers; undefined: the field requests none. */
const SPELLINGS: Readonly<Record<string, (body: Fields, name: string) => ResponseFormat | undefined>> = {
  response_format: responseFormat,
  text: textFormat,
  output_config: (body, name) => outputFormat(body.object(name)?.object("format")),
  output_format: (body, name) => outputFormat(body.object(name)),
  json_schema: schemaField,
  guided_json: schemaField,
  guided_json_object: jsonField,
  guided_regex: regexField,
  regex: regexField,
  guided_choice: choiceField,
  guided_grammar: ebnfField,
  ebnf: ebnfField,
  grammar: gbnfField,
  structured_outputs: structuredOutputs,
  structural_tag: structuralField,
  format: ollamaFormat,
};

/** The fields that formats came from, other than `response_format`. */
const askedBy = new WeakMap<ResponseFormat, string>();

/** @throws RequestError that names the field, or both fields where two contain a format */
export function formatOf(body: Fields): ResponseFormat | undefined {
  let found = null as { readonly name: string; readonly format: ResponseFormat } | null;
  for (const [name, read] of Object.entries(SPELLINGS)) {
    if (!body.has(name)) continue;
    // llama.cpp takes "any JSON object" beside a schema as one format.
    const both = found?.format.type === "json" && name === "json_schema";
    const format = both ? objectSchema(body, name) : read(body, name);
    if (format === undefined) continue;
    if (found !== null && !both && found.format.type !== "text")
      throw wrong(name, `asks for a format, and so does ${found.name}; leave one of them out`, undefined);
    found = { name, format };
    const kind = name === "structured_outputs" ? KIND_OF[format.type] : undefined;
    if (name !== "response_format") askedBy.set(format, kind === undefined ? name : `${name}.${kind}`);
  }
  return found?.format;
}

/** The keys of `structured_outputs` for the engine's formats. */
const KIND_OF: Readonly<Partial<Record<ResponseFormat["type"], string>>> = {
  json: "json_object",
  json_schema: "json",
  regex: "regex",
  choice: "choice",
  ebnf: "grammar",
  structural_tag: "structural_tag",
};

/** The events of an answer. Errors about its format name the field that the client sent. */
export async function* namingField<T>(format: ResponseFormat | undefined, events: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* events;
  } catch (error) {
    const field = format && askedBy.get(format);
    if (field === undefined || !(error instanceof RequestError) || error.detail.param !== "response_format")
      throw error;
    const rest = error.message.replace(/^(json_schema|json_object|regex|ebnf|grammar|choice|structural_tag): /, "");
    throw new RequestError(`${field}: ${rest}`, { ...error.detail, param: field });
  }
}

/** The types `regex` and `ebnf` are hotset's own. */
function responseFormat(body: Fields, name: string): ResponseFormat | undefined {
  const format = required(body.object(name), body, name);
  const types = ["text", "json_object", "json_schema", "json", "regex", "ebnf", "grammar", "structural_tag"] as const;
  switch (required(format.oneOf("type", types), format, "type")) {
    case "text":
      return { type: "text" };
    case "json_object":
    case "json": {
      const field = ["schema", "value"].find(format.has);
      if (field === undefined) return { type: "json" };
      return format.raw("type") === "json" ? schemaField(format, field) : objectSchema(format, field);
    }
    case "json_schema":
      return openaiSchema(format);
    case "regex":
      return regexField(format, format.has("value") ? "value" : "pattern");
    case "ebnf":
      return ebnfField(format, "grammar");
    case "grammar":
      return gbnfField(format, "grammar");
    case "structural_tag":
      return structuralTag(format);
  }
}

/**
 * xgrammar's structural tag: its format, or what clients of vLLM and SGLang sent before, tags with
 * schemas (`structures`) and what they begin with (`triggers`).
 */
function structuralTag(given: Fields): ResponseFormat {
  if (!given.has("structures"))
    return { type: "structural_tag", format: required(given.raw("format"), given, "format") };
  const structures = required(given.objects("structures", MOST_CHOICES), given, "structures");
  const tags = structures.map((one) => ({
    begin: one.raw("begin"),
    content: { type: "json_schema", json_schema: schemaField(one, "schema").schema },
    end: one.raw("end"),
  }));
  return { type: "structural_tag", format: { type: "triggered_tags", triggers: given.raw("triggers"), tags } };
}

/** The same as an object, or as its JSON text. */
function structuralField(fields: Fields, name: string): ResponseFormat {
  const given = required(fields.raw(name), fields, name);
  const tag = typeof given === "string" ? parsed(fields, name, given, "a structural tag") : given;
  if (!isObject(tag)) throw wrong(fields.path(name), "expected a structural tag", given);
  return structuralTag(fieldsOf(tag, fields.path(name)));
}

/** OpenAI's responses API has the format within `text`, beside other fields. */
function textFormat(body: Fields, name: string): ResponseFormat | undefined {
  const given = required(body.object(name), body, name);
  return given.has("format") ? responseFormat(given, "format") : undefined;
}

/** The schema is in `json_schema.schema`, or, without `json_schema`, beside the type. */
function openaiSchema(format: Fields): ResponseFormat {
  if (!format.has("json_schema")) {
    const field = ["schema", "value"].find(format.has);
    return schemaField(format, field ?? "json_schema");
  }
  const given = required(format.object("json_schema"), format, "json_schema");
  return { ...schemaField(given, "schema"), strict: given.boolean("strict") ?? false };
}

function outputFormat(format: Fields | undefined): ResponseFormat | undefined {
  if (format === undefined) return undefined;
  required(format.oneOf("type", ["json_schema"]), format, "type");
  return schemaField(format, "schema");
}

type JsonSchema = Extract<ResponseFormat, { type: "json_schema" }>;

/** A schema, or its JSON text. True and false are schemas too. */
function schemaField(fields: Fields, name: string): JsonSchema {
  const given = required(fields.raw(name), fields, name);
  const schema = typeof given === "string" ? parsed(fields, name, given) : given;
  if (typeof schema === "boolean") return { type: "json_schema", schema, strict: true };
  if (!isObject(schema)) throw wrong(fields.path(name), "expected a JSON schema", given);
  const inner = wrapped(schema);
  if (inner === null) return { type: "json_schema", schema, strict: true };
  const wrapper = fieldsOf(schema, fields.path(name));
  return { ...schemaField(wrapper, inner), ...defined({ strict: wrapper.boolean("strict") }) };
}

/** The keys of OpenAI's wrappers of schemas. Any other key belongs to a schema itself. */
const WRAPPER = new Set(["name", "description", "strict", "type", "schema", "json_schema"]);

/**
 * The key of the schema in a wrapper like OpenAI's (`{name, strict, schema}`, or
 * all of `response_format`).
 */
function wrapped(schema: Json): string | null {
  const { type = "json_schema" } = schema;
  if (type !== "json_schema" || Object.keys(schema).some((key) => !WRAPPER.has(key))) return null;
  return (
    ["schema", "json_schema"].find((key) => {
      const inner = Object.hasOwn(schema, key) ? schema[key] : undefined;
      return typeof inner === "boolean" || isObject(inner);
    }) ?? null
  );
}

/**
 * The schema beside `json_object`: the answer must be an object even where the schema does
 * not say so.
 */
function objectSchema(fields: Fields, name: string): ResponseFormat {
  const format = schemaField(fields, name);
  const { schema } = format;
  if (!isObject(schema)) return schema === true ? { type: "json" } : format;
  if (Object.keys(schema).length === 0) return { type: "json" };
  const { $ref, allOf, type, ...rest } = schema;
  const types = Array.isArray(type) ? type : [type ?? "object"];
  if (!types.includes("object"))
    throw wrong(`${fields.path(name)}.type`, "expected object, since the answer is to be a JSON object", type);
  // Up to draft 7 keywords beside `$ref` are ignored.
  const all = $ref === undefined ? allOf : [...(Array.isArray(allOf) ? allOf : []), { $ref }];
  return { ...format, schema: { type: "object", ...rest, ...(all !== undefined && { allOf: all }) } };
}

function parsed(fields: Fields, name: string, text: string, what = "a JSON schema"): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw wrong(fields.path(name), `expected ${what}`, text);
  }
}

function jsonField(fields: Fields, name: string): ResponseFormat | undefined {
  return fields.boolean(name) ? { type: "json" } : undefined;
}

function regexField(fields: Fields, name: string): ResponseFormat {
  return { type: "regex", pattern: required(fields.string(name), fields, name) };
}

function ebnfField(fields: Fields, name: string): ResponseFormat {
  return { type: "ebnf", grammar: required(fields.string(name), fields, name) };
}

/** llama.cpp's clients send an empty text if they want no grammar. */
function gbnfField(fields: Fields, name: string): ResponseFormat | undefined {
  const grammar = required(fields.string(name), fields, name);
  return grammar === "" ? undefined : { type: "gbnf", grammar };
}

function choiceField(fields: Fields, name: string): ResponseFormat {
  const choices = required(fields.array(name, MOST_CHOICES), fields, name);
  if (choices.length === 0) throw wrong(fields.path(name), "expected at least one text to choose", choices);
  const bad = choices.findIndex((choice) => typeof choice !== "string");
  if (bad >= 0) throw wrong(`${fields.path(name)}[${bad}]`, "expected a text", choices[bad]);
  return { type: "choice", choices: choices as readonly string[] };
}

const STRUCTURED: Readonly<Record<string, (fields: Fields, name: string) => ResponseFormat | undefined>> = {
  json: schemaField,
  json_object: jsonField,
  regex: regexField,
  choice: choiceField,
  grammar: ebnfField,
  structural_tag: structuralField,
};

/** Options of vLLM's grammar libraries, and of white space in JSON, which is always short here. */
const OF_BACKENDS = new Set(["disable_fallback", "disable_any_whitespace"]);

/**
 * vLLM's object with one kind of format. At OpenRouter it is true or false, which requests no
 * format by itself.
 */
function structuredOutputs(body: Fields, name: string): ResponseFormat | undefined {
  if (typeof body.raw(name) === "boolean") return undefined;
  const given = required(body.object(name), body, name);
  const kinds = Object.keys(given.json).filter((kind) => given.has(kind) && given.raw(kind) !== false);
  const unknown = kinds.find(
    (kind) => !Object.hasOwn(STRUCTURED, kind) && !kind.startsWith("_backend") && !OF_BACKENDS.has(kind),
  );
  if (unknown !== undefined) throw wrong(given.path(unknown), "is not supported", undefined);
  const asked = kinds.filter((kind) => Object.hasOwn(STRUCTURED, kind));
  const [kind, second] = asked;
  if (kind === undefined || second !== undefined)
    throw wrong(name, `expected one of ${Object.keys(STRUCTURED).join(", ")}, found ${asked.length}`, undefined);
  return STRUCTURED[kind]!(given, kind);
}

/** "json" or a schema; an empty text is not a format. */
function ollamaFormat(body: Fields, name: string): ResponseFormat | undefined {
  const format = body.raw(name);
  if (format === "") return undefined;
  if (format === "json") return { type: "json" };
  if (typeof format === "object") return schemaField(body, name);
  throw wrong(name, 'expected "json" or a JSON schema', format);
}
