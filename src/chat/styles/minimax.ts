// The call style of MiniMax-M2: <minimax:tool_call><invoke name="..."><parameter name="...">value
// </parameter></invoke></minimax:tool_call>; the schema tells the values' types.

import { createTaggedParser, type TaggedBody } from "../tagged_reply.ts";
import { marked, typedArguments } from "../typed_values.ts";
import type { JsonSchema } from "../types.ts";
import type { CallStyle, ModelTraits } from "./style.ts";
import { LINES, memberGrammar, taggedGrammar } from "./tagged_grammar.ts";

const [OPEN, CLOSE] = ["<minimax:tool_call>", "</minimax:tool_call>"];

export function minimaxStyle({ template, showsTools }: ModelTraits): CallStyle | null {
  return showsTools && template.includes(OPEN) ? minimax : null;
}

export const minimax: CallStyle = {
  name: "minimax",
  prompt: (messages, options) => ({ messages, options }),
  parser: (options) =>
    createTaggedParser(
      {
        opens: [{ mark: OPEN, close: CLOSE, each: "</invoke>" }],
        stray: [CLOSE],
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
        { text: `<invoke name="${tool.name}">\n` },
        ...memberGrammar(tool, {
          open: (key) => `<parameter name="${key}">`,
          anyKey: ['<parameter name="', '">'],
          close: "</parameter>\n",
        }),
        { text: "</invoke>\n" },
      ],
      { before: [...LINES.before, { text: `${OPEN}\n` }], between: "", after: CLOSE, mark: OPEN },
    ),
};

function read(body: string, schemas: ReadonlyMap<string, JsonSchema> = new Map()): TaggedBody {
  const calls = [...marked(body, { open: '<invoke name="', middle: '">', close: "</invoke>" })];
  if (calls.length === 0) return { malformed: 'expected <invoke name="...">, found none' };
  return calls.map(([name, inner]) => {
    const pairs = [...marked(inner, { open: '<parameter name="', middle: '">', close: "</parameter>" })];
    return { name, arguments: typedArguments(pairs, schemas.get(name)) };
  });
}
