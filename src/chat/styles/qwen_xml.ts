// The call style of Qwen3-Coder, Qwen3.5 and Qwen3.6: <tool_call><function=name><parameter=key>
// value</parameter></function></tool_call>; the schema tells the values' types.

import { createTaggedParser, type TaggedBody } from "../tagged_reply.ts";
import { marked, typedArguments } from "../typed_values.ts";
import type { JsonSchema } from "../types.ts";
import type { CallStyle, ModelTraits } from "./style.ts";
import { memberGrammar, taggedGrammar } from "./tagged_grammar.ts";

export function qwenXmlStyle({ template, showsTools }: ModelTraits): CallStyle | null {
  return showsTools && template.includes("<function=") && template.includes("<parameter=") ? qwenXml : null;
}

export const qwenXml: CallStyle = {
  name: "qwen-xml",
  prompt: (messages, options) => ({ messages, options }),
  parser: (options) =>
    createTaggedParser(
      {
        opens: [
          { mark: "<tool_call>", close: "</tool_call>" },
          // The opening mark is often left out.
          { mark: "<function=", close: "</function>", within: true },
        ],
        stray: ["</tool_call>"],
        reader: () => (body) => read(body, options.parameters),
      },
      options,
    ),
  grammar: (tools, choice, parallel) =>
    taggedGrammar(tools, choice, parallel, (tool) => [
      { text: `<tool_call>\n<function=${tool.name}>\n` },
      ...memberGrammar(tool, {
        open: (key) => `<parameter=${key}>\n`,
        anyKey: ["<parameter=", ">\n"],
        close: "\n</parameter>\n",
      }),
      { text: "</function>\n</tool_call>" },
    ]),
};

function read(body: string, schemas: ReadonlyMap<string, JsonSchema> = new Map()): TaggedBody {
  const functions = [...marked(body, { open: "<function=", middle: ">", close: "</function>" })];
  if (functions.length === 0) return { malformed: "expected <function=name>, found none" };
  return functions.map(([given, inner]) => {
    const name = given.trim();
    const found = [...marked(inner, { open: "<parameter=", middle: ">", close: "</parameter>" })];
    // One line end on either side belongs to the marks.
    const pairs = found.map(([key, value]) => [key.trim(), value.replace(/^\n/, "").replace(/\n$/, "")] as const);
    return { name, arguments: typedArguments(pairs, schemas.get(name)) };
  });
}
