// The call style of Qwen2.5 and Qwen3 (and Hermes): <tool_call>{"name": ..., "arguments": {...}}
// </tool_call>, one for each call.

import { CallList } from "../call_list.ts";
import { createTaggedParser, type TaggedBody, type TaggedCall } from "../tagged_reply.ts";
import type { CallStyle, ModelTraits } from "./style.ts";
import { taggedGrammar } from "./tagged_grammar.ts";

/** For templates that show calls as JSON between <tool_call> marks. */
export function qwenJsonStyle({ template, showsTools }: ModelTraits): CallStyle | null {
  return showsTools && template.includes("<tool_call>") && template.includes("arguments") ? qwenJson : null;
}

export const qwenJson: CallStyle = {
  name: "qwen-json",
  prompt: (messages, options) => ({ messages, options }),
  parser: (options) =>
    createTaggedParser(
      { opens: [{ mark: "<tool_call>", close: "</tool_call>" }], stray: ["</tool_call>"], reader },
      options,
    ),
  grammar: (tools, choice, parallel) =>
    taggedGrammar(tools, choice, parallel, ({ name, parameters }) => [
      { text: `<tool_call>\n{"name": ${JSON.stringify(name)}, "arguments": ` },
      parameters([]),
      { text: "}\n</tool_call>" },
    ]),
};

/** A reader of one body. */
function reader(): (body: string) => TaggedBody {
  const calls: TaggedCall[] = [];
  const list = new CallList({
    knows: () => true, // unknown names are reported by the parser
    call: (name, _, text) => calls.push({ name, arguments: text }),
  });
  list.push("[");
  let read = 0;
  const taken = (character: string): TaggedBody => {
    const scan = list.push(character);
    if (scan === "done") return calls.length > 0 ? calls : { malformed: "expected a call, found nothing" };
    return scan === "more" ? "open" : scan;
  };
  return (body) => {
    while (read < body.length) {
      const character = String.fromCodePoint(body.codePointAt(read)!);
      read += character.length;
      const found = taken(character);
      if (found !== "open") return found;
    }
    return list.inString ? "open" : taken("]");
  };
}
