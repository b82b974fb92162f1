// The call style of LFM2: <|tool_call_start|>[name(key="value")]<|tool_call_end|>, calls as Python
// writes them, or JSON where the system prompt asks for it.

import { isObject } from "../call_list.ts";
import { pythonCall, pythonCalls } from "../python_calls.ts";
import { createTaggedParser, type TaggedBody, type TaggedCall } from "../tagged_reply.ts";
import type { Written } from "./call_grammar.ts";
import type { CallStyle, ModelTraits } from "./style.ts";
import { taggedGrammar, type WrittenTool } from "./tagged_grammar.ts";

const [OPEN, CLOSE] = ["<|tool_call_start|>", "<|tool_call_end|>"];
/** Most optional arguments in front of the first required one that keep the schema's order. */
const MOST_LEAD = 8;

export function lfm2Style({ template, showsTools }: ModelTraits): CallStyle | null {
  if (!showsTools) return null;
  if (template.includes(OPEN)) return lfm2;
  // LFM2's templates list tools between marks, and leave the calls of earlier messages out.
  return template.includes("<|tool_list_start|>") ? { ...lfm2, prompt: spelled } : null;
}

/** The conversation with its calls as texts. */
const spelled: CallStyle["prompt"] = (messages, options) => ({
  messages: messages.map((message) => {
    if (message.role !== "assistant" || !message.toolCalls?.length) return message;
    const { toolCalls, content = "", ...rest } = message;
    const calls = toolCalls.map(({ name, arguments: text }) => pythonCall(name, text));
    return { ...rest, content: `${content}${OPEN}[${calls.join(", ")}]${CLOSE}` };
  }),
  options,
});

export const lfm2: CallStyle = {
  name: "lfm2",
  prompt: (messages, options) => ({ messages, options }),
  parser: (options) =>
    createTaggedParser({ opens: [{ mark: OPEN, close: CLOSE }], stray: [CLOSE], reader: () => read }, options),
  grammar: (tools, choice, parallel) =>
    taggedGrammar(tools, choice, parallel, (tool) => [{ text: `${tool.name}(` }, ...members(tool), { text: ")" }], {
      before: [{ text: `${OPEN}[` }],
      between: ", ",
      after: `]${CLOSE}`,
      mark: OPEN,
    }),
};

function read(body: string): TaggedBody {
  return pythonCalls(body.trim()) ?? jsonCalls(body) ?? { malformed: "expected a list of calls as Python writes them" };
}

function jsonCalls(body: string): readonly TaggedCall[] | null {
  try {
    const parsed: unknown = JSON.parse(body);
    const calls = (Array.isArray(parsed) ? parsed : [parsed]).map((one: unknown) => {
      const { name, arguments: given = {} } = Object(one) as Readonly<Record<string, unknown>>;
      const text = typeof given === "string" ? given : JSON.stringify(given);
      return typeof name === "string" && isObject(text) ? { name, arguments: text } : null;
    });
    return calls.every((one) => one !== null) && calls.length > 0 ? calls : null;
  } catch {
    return null;
  }
}

/**
 * The arguments with commas between them, in the schema's order; each is JSON by its schema. Any of
 * the optional ones in front may be the first. Where they are many, their order is free, so that
 * the grammar does not grow with the square of their number.
 */
function members({ schema, parameters }: WrittenTool): readonly Written[] {
  const keys = Object.keys((schema?.properties ?? {}) as object).filter((key) => /^\w+$/.test(key));
  const required = new Set(Array.isArray(schema?.required) ? (schema.required as unknown[]) : []);
  const member = (key: string): Written[] => [{ text: `${key}=` }, parameters(["properties", key])];
  /** From keys[i] on, behind others. */
  const rest = (i: number): Written[] =>
    keys.slice(i).map((key) => ({ of: [{ text: ", " }, ...member(key)], min: required.has(key) ? 1 : 0, max: 1 }));
  const first = (i: number): Written[] => {
    const key = keys[i];
    if (key === undefined) return [];
    const here = [...member(key), ...rest(i + 1)];
    return required.has(key) ? here : [{ any: [here, first(i + 1)] }];
  };
  const at = keys.findIndex((key) => required.has(key));
  const lead = at < 0 ? keys : keys.slice(0, at);
  if (lead.length <= MOST_LEAD) return first(0);
  const any: Written = { any: lead.map(member) };
  const free: readonly Written[] = [any, { of: [{ text: ", " }, any], min: 0, max: null }];
  if (at < 0) return [{ of: free, min: 0, max: 1 }];
  return [{ of: [any, { text: ", " }], min: 0, max: null }, ...first(at)];
}
