// The call style of GLM-4.5 to 4.7: <tool_call>name<arg_key>key</arg_key><arg_value>value
// </arg_value></tool_call>; the schema tells the values' types. 4.5 and 4.6 put a line end behind
// the name and around values, 4.7 does not.

import { createTaggedParser, type TaggedBody } from "../tagged_reply.ts";
import { marked, typedArguments } from "../typed_values.ts";
import type { JsonSchema } from "../types.ts";
import type { CallStyle, ModelTraits } from "./style.ts";
import { LINES, memberGrammar, taggedGrammar } from "./tagged_grammar.ts";

export function glmStyle({ template, showsTools, tokenizer }: ModelTraits): CallStyle | null {
  if (!showsTools || !template.includes("<arg_key>")) return null;
  // An answer has no end mark: it ends where the next turn begins.
  const stopIds = ["<|user|>", "<|observation|>"].flatMap((mark) => tokenizer.pieceToId(mark) ?? []);
  return { ...(template.includes("</arg_key><arg_value>") ? glmCompact : glm), stopIds };
}

/** 4.5 and 4.6. */
export const glm: CallStyle = styleWith("glm", "\n");
/** 4.7. */
export const glmCompact: CallStyle = styleWith("glm-compact", "");

function styleWith(name: string, line: string): CallStyle {
  return {
    name,
    prompt: (messages, options) => ({ messages, options }),
    parser: (options) =>
      createTaggedParser(
        {
          opens: [{ mark: "<tool_call>", close: "</tool_call>" }],
          stray: ["</tool_call>"],
          reader: () => (body) => read(body, options.parameters),
        },
        options,
      ),
    grammar: (tools, choice, parallel) =>
      taggedGrammar(
        tools,
        choice,
        parallel,
        (tool) => [
          { text: `<tool_call>${tool.name}${line}` },
          ...memberGrammar(tool, {
            open: (key) => `<arg_key>${key}</arg_key>${line}<arg_value>`,
            anyKey: ["<arg_key>", `</arg_key>${line}<arg_value>`],
            close: `</arg_value>${line}`,
          }),
          { text: "</tool_call>" },
        ],
        { ...LINES, between: line },
      ),
  };
}

function read(body: string, schemas: ReadonlyMap<string, JsonSchema> = new Map()): TaggedBody {
  const at = body.indexOf("<arg_key>");
  const name = (at < 0 ? body : body.slice(0, at)).trim();
  if (name === "") return { malformed: "expected a name in front of <arg_key>" };
  const found = [...marked(body, { open: "<arg_key>", middle: "</arg_key>", close: "</arg_value>" })];
  const pairs = found.flatMap(([key, rest]) => {
    const value = /^\s*<arg_value>([\s\S]*)$/.exec(rest);
    return value === null ? [] : [[key.trim(), value[1]!] as const];
  });
  return [{ name, arguments: typedArguments(pairs, schemas.get(name)) }];
}
