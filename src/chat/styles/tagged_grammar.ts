// The grammar of calls that are written between tags, for constrained decoding: literal marks
// around JSON values and bare texts.

import { RequestError } from "../../errors.ts";
import { typesOf } from "../typed_values.ts";
import type { JsonSchema, ToolChoice, ToolDefinition } from "../types.ts";
import { type CallGrammar, callGrammar, type Written } from "./call_grammar.ts";

/** A tool whose call is written. */
export interface WrittenTool {
  readonly name: string;
  readonly schema: JsonSchema | null;
  readonly strict: boolean;
  /** A JSON value that is valid by the part of the parameters at a path; [] is all of them. */
  parameters(path: readonly string[]): Written;
}

/** How a style writes one argument. */
export interface MemberMarks {
  open(key: string): string;
  /** The same for a key that no schema names: what comes before and after it. */
  readonly anyKey: readonly [string, string];
  readonly close: string;
}

/** What is written in front of calls, between two of them, and behind all. */
export interface Around {
  readonly before: readonly Written[];
  readonly between: string;
  readonly after: string;
  /** The mark with which each call, or `before`, begins. */
  readonly mark: string;
}

/** Lines: behind reasoning models leave one or two of them empty. */
export const LINES: Around = {
  before: [{ of: [{ text: "\n" }], min: 0, max: 2 }],
  between: "\n",
  after: "",
  mark: "<tool_call>",
};

/**
 * Calls one after the other; null if no tool may be called.
 * @param write one call of a tool, all its marks included
 */
export function taggedGrammar(
  tools: readonly ToolDefinition[],
  choice: ToolChoice,
  parallel: boolean,
  write: (tool: WrittenTool) => readonly Written[],
  { before, between, after, mark }: Around = LINES,
): CallGrammar | null {
  const form = { prefixIds: [], id: null, around: () => ({}) };
  const grammar = callGrammar(tools, choice, parallel, form);
  if (grammar === null) return null;
  const named = typeof choice === "object" ? choice.name : null;
  const calls = tools
    .filter(({ name }) => named === null || name === named)
    .map(({ name, strict = false }, i) => {
      const part = grammar.parts.find((one) => one.name === `arguments${i}`);
      return write({
        name,
        schema: part?.schema ?? null,
        strict,
        parameters: (path) => ({ value: ["$defs", `arguments${i}`, ...path] }),
      });
    });
  const one: Written = { any: calls };
  const literal = (text: string): Written[] => (text === "" ? [] : [{ text }]);
  const more: readonly Written[] =
    named === null && parallel ? [{ of: [...literal(between), one], min: 0, max: null }] : [];
  const all = [...before, one, ...more, ...literal(after)];
  // Calls that stand alone are held one by one.
  const begun = withoutMark(after === "" ? [one] : all, mark);
  return {
    ...grammar,
    written: all,
    begun: begun && { mark, all: [begun], follows: () => begun },
  };
}

/** What follows the mark with which pieces begin; null if they begin otherwise. */
function withoutMark(pieces: readonly Written[], mark: string): Written[] | null {
  const [first, ...rest] = pieces;
  if (first === undefined) return null;
  if ("text" in first) {
    if (!first.text.startsWith(mark)) return null;
    return first.text === mark ? rest : [{ text: first.text.slice(mark.length) }, ...rest];
  }
  if ("of" in first) return withoutMark(rest, mark); // empty lines
  if (!("any" in first)) return null;
  const any = first.any.flatMap((one) => {
    const left = withoutMark(one, mark);
    return left === null ? [] : [left];
  });
  return any.length < first.any.length ? null : [{ any }, ...rest];
}

/**
 * The arguments of a call, each between its marks, in the schema's order. Texts are bare: of what a
 * schema says about them only `enum` and `const` are held.
 * @throws RequestError for a strict tool with other keywords for texts
 */
export function memberGrammar({ name, schema, strict, parameters }: WrittenTool, marks: MemberMarks): Written[] {
  const end = marks.close.trim();
  const properties = (schema?.properties ?? {}) as Readonly<Record<string, unknown>>;
  const keys = Object.keys(properties);
  if (keys.length === 0) {
    const [before, after] = marks.anyKey;
    const member = [
      { text: before },
      { until: after.charAt(0) },
      { text: after },
      { until: end },
      { text: marks.close },
    ];
    return schema === null ? [{ of: member, min: 0, max: null }] : [];
  }
  const required = new Set(Array.isArray(schema?.required) ? (schema.required as unknown[]) : []);
  return keys.map((key): Written => {
    const property = properties[key];
    const texts = textsOf(property);
    if (texts === "any" && strict) refuseLimits(name, key, property);
    const value: Written =
      texts === "none"
        ? parameters(["properties", key])
        : texts === "any"
          ? { until: end }
          : { any: texts.map((text) => [{ text }]) };
    return { of: [{ text: marks.open(key) }, value, { text: marks.close }], min: required.has(key) ? 1 : 0, max: 1 };
  });
}

/** The texts that a property may be: any, none (it is JSON), or some and nothing else. */
function textsOf(property: unknown): "any" | "none" | readonly string[] {
  const { type, enum: values, const: value } = Object(property) as Readonly<Record<string, unknown>>;
  const listed = Array.isArray(values) ? values : value === undefined ? null : [value];
  if (listed?.every((one): one is string => typeof one === "string")) return listed;
  if (type === undefined) return listed === null ? "any" : "none";
  return type === "string" || (Array.isArray(type) && type.includes("string")) ? "any" : "none";
}

function refuseLimits(name: string, key: string, property: unknown): void {
  const limit = ["pattern", "format", "minLength", "maxLength"].find((one) => Object.hasOwn(Object(property), one));
  if (limit === undefined && typesOf(property, undefined).size === 0) return;
  const keyword = limit ?? "type";
  throw new RequestError(
    `tool ${JSON.stringify(name)}: parameters: properties.${key}: keyword \`${keyword}\` is not supported: this model writes texts without quotation marks, and the tool is strict`,
    { param: "tools" },
  );
}
