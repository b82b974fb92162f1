// The call styles of DeepSeek: V3.1 writes <｜tool▁call▁begin｜>name<｜tool▁sep｜>{...}
// <｜tool▁call▁end｜>, V3 and R1 write the type, the name and fenced JSON there.

import { isObject } from "../call_list.ts";
import { createTaggedParser, type TaggedBody, type TaggedCall } from "../tagged_reply.ts";
import type { CallStyle, ModelTraits } from "./style.ts";
import { taggedGrammar } from "./tagged_grammar.ts";

// The bar is full-width, the blank a block; minifiers would write both into a page as they are.
const [BAR, BLANK] = [String.fromCharCode(0xff5c), String.fromCharCode(0x2581)];
const mark = (words: string): string => `<${BAR}${words.replaceAll(" ", BLANK)}${BAR}>`;
const [CALLS, CALLS_END] = [mark("tool calls begin"), mark("tool calls end")];
const [CALL, CALL_END, SEPARATOR] = [mark("tool call begin"), mark("tool call end"), mark("tool sep")];

export function deepseekStyle({ template, showsTools }: ModelTraits): CallStyle | null {
  if (!showsTools || !template.includes(CALL)) return null;
  return template.includes("```json") ? deepseekFenced : deepseek;
}

/** V3.1. */
export const deepseek: CallStyle = styleWith("deepseek", "", "");
/** V3 and R1. */
export const deepseekFenced: CallStyle = styleWith("deepseek-fenced", "\n```json\n", "\n```");

function styleWith(name: string, before: string, after: string): CallStyle {
  const fenced = before !== "";
  return {
    name,
    textArguments: true,
    prompt: (messages, options) => ({ messages, options }),
    parser: (options) =>
      createTaggedParser(
        {
          opens: [
            { mark: CALLS, close: CALLS_END },
            // Sometimes the outer mark is left out.
            { mark: CALL, close: CALL_END, within: true },
          ],
          inner: [SEPARATOR],
          stray: [CALLS_END],
          read,
        },
        options,
      ),
    grammar: (tools, choice, parallel) => {
      const grammar = taggedGrammar(tools, choice, parallel, (tool) => [
        { text: `${CALL}${fenced ? `function${SEPARATOR}${tool.name}` : `${tool.name}${SEPARATOR}`}${before}` },
        tool.parameters([]),
        { text: `${after}${CALL_END}` },
      ]);
      if (grammar === null) return null;
      return { ...grammar, written: [{ text: CALLS }, ...(grammar.written ?? []), { text: CALLS_END }] };
    },
  };
}

function read(body: string): TaggedBody {
  const calls: TaggedCall[] = [];
  for (const part of body.split(CALL).slice(1)) {
    const at = part.indexOf(SEPARATOR);
    if (at < 0) return { malformed: `expected ${SEPARATOR} behind a name` };
    const [head, rest] = [part.slice(0, at).trim(), part.slice(at + SEPARATOR.length)];
    const fence = /^([^\n{]*)\n\s*(?:```(?:json)?)?\s*([\s\S]*)$/.exec(rest);
    const fenced = fence !== null && head === "function";
    const text = withoutEnd((fenced ? fence[2]! : rest).trim());
    const name = fenced ? fence[1]!.trim() : head;
    if (!isObject(text)) return { malformed: `expected an object of arguments for ${JSON.stringify(name)}` };
    calls.push({ name, arguments: text });
  }
  return calls.length > 0 ? calls : { malformed: "expected a call, found none" };
}

function withoutEnd(text: string): string {
  const inner = text.endsWith(CALL_END) ? text.slice(0, -CALL_END.length).trimEnd() : text;
  return inner.replace(/\n?```$/, "");
}
