// The call styles of DeepSeek: V3.1 writes <｜tool▁call▁begin｜>name<｜tool▁sep｜>{...}
// <｜tool▁call▁end｜>, V3 and R1 write the type, the name and fenced JSON there.

import { isObject } from "../call_list.ts";
import { beginning, type PromptOptions, shownTools } from "../messages.ts";
import { pythonJson } from "../python_json.ts";
import { createTaggedParser, type TaggedBody, type TaggedCall } from "../tagged_reply.ts";
import type { ChatMessage } from "../types.ts";
import type { CallStyle, ModelTraits } from "./style.ts";
import { taggedGrammar } from "./tagged_grammar.ts";

// The bar is full-width, the blank a block; minifiers would write both into a page as they are.
const [BAR, BLANK] = [String.fromCharCode(0xff5c), String.fromCharCode(0x2581)];
const mark = (words: string): string => `<${BAR}${words.replaceAll(" ", BLANK)}${BAR}>`;
const [CALLS, CALLS_END] = [mark("tool calls begin"), mark("tool calls end")];
const [CALL, CALL_END, SEPARATOR] = [mark("tool call begin"), mark("tool call end"), mark("tool sep")];

export function deepseekStyle({ template, showsTools }: ModelTraits): CallStyle | null {
  if (!template.includes(CALL)) return null;
  return deepseekCalls(template.includes("```json"), showsTools);
}

/**
 * @param fenced as V3 and R1 write calls, not V3.1
 * @param showsTools false: as in the published folders, whose templates show calls and results, but
 * not the tools; the system prompt does
 */
export function deepseekCalls(fenced: boolean, showsTools = true): CallStyle {
  const head = (name: string): string =>
    fenced ? `${CALL}function${SEPARATOR}${name}\n\`\`\`json\n` : `${CALL}${name}${SEPARATOR}`;
  const tail = `${fenced ? "\n```" : ""}${CALL_END}`;
  return {
    name: fenced ? "deepseek-fenced" : "deepseek",
    nullText: true,
    prompt: (messages, options) => ({
      messages: showsTools ? messages : withTools(messages, options, `${CALLS}${head("name")}{}${tail}${CALLS_END}`),
      options,
    }),
    parser: (options) =>
      createTaggedParser(
        {
          opens: [
            { mark: CALLS, close: CALLS_END, each: CALL_END },
            // Sometimes the outer mark is left out.
            { mark: CALL, close: CALL_END, within: true },
          ],
          inner: [SEPARATOR],
          stray: [CALLS_END],
          reader: () => read,
        },
        options,
      ),
    grammar: (tools, choice, parallel) =>
      taggedGrammar(
        tools,
        choice,
        parallel,
        (tool) => [{ text: head(tool.name) }, tool.parameters([]), { text: tail }],
        { before: [{ text: CALLS }], between: fenced ? "\n" : "", after: CALLS_END, mark: CALLS },
      ),
  };
}

/** The conversation with the tools and the form of calls behind the system prompt. */
function withTools(messages: readonly ChatMessage[], options: PromptOptions, form: string): ChatMessage[] {
  const tools = shownTools(options);
  if (tools.length === 0) return [...messages];
  const listed = tools.map(
    ({ name, description = "", parameters = {} }) =>
      `### ${name}\nDescription: ${description}\n\nParameters: ${pythonJson(parameters)}`,
  );
  const content = [
    "## Tools\nYou can call these tools:",
    ...listed,
    `To call tools, write this and nothing behind it, with a tool's name and its arguments as a JSON object by its parameters' schema: ${form}\nSeveral calls follow each other between the outer marks.`,
  ].join("\n\n");
  const at = beginning(messages).findLastIndex(({ role }) => role === "system") + 1;
  return messages.toSpliced(at, 0, { role: "system", content });
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
