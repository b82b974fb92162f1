// The call style of Granite 3: <|tool_call|> and a JSON list of calls (3.0: one call), up to the
// end of the answer.

import { CallList } from "../call_list.ts";
import { controlId } from "../mistral.ts";
import { createTaggedParser, type TaggedBody, type TaggedCall } from "../tagged_reply.ts";
import { callGrammar } from "./call_grammar.ts";
import type { CallStyle, ModelTraits } from "./style.ts";
import { taggedGrammar } from "./tagged_grammar.ts";

const CALL = "<|tool_call|>";
const END = "<|end_of_text|>";

export function graniteStyle({ template, showsTools, tokenizer }: ModelTraits): CallStyle | null {
  if (!showsTools || !template.includes("<|start_of_role|>") || !template.includes(CALL)) return null;
  return graniteCalls(controlId(tokenizer, CALL));
}

/** @param callsId id of <|tool_call|>; null where it is ordinary text */
export function graniteCalls(callsId: number | null): CallStyle {
  return {
    name: "granite",
    prompt: (messages, options) => ({ messages, options }),
    parser: (options) =>
      createTaggedParser({ opens: [{ mark: CALL, close: END }], stray: [], reader: () => read }, options),
    grammar: (tools, choice, parallel) =>
      callsId === null
        ? taggedGrammar(
            tools,
            choice,
            parallel,
            ({ name, parameters }) => [
              { text: `{"name": ${JSON.stringify(name)}, "arguments": ` },
              parameters([]),
              { text: "}" },
            ],
            { before: [{ text: `${CALL}[` }], between: ", ", after: "]", mark: CALL },
          )
        : callGrammar(tools, choice, parallel, { prefixIds: [callsId], id: null, around: (list) => list }),
  };
}

function read(body: string): TaggedBody {
  const calls: TaggedCall[] = [];
  for (const part of body.split(CALL)) {
    const text = part.trim();
    const list = new CallList({
      knows: () => true, // unknown names are reported by the parser
      call: (name, _, given) => calls.push({ name, arguments: given }),
    });
    let ended = false;
    for (const character of text.startsWith("[") ? text : `[${text}]`) {
      if (ended) return { malformed: "text behind the calls" };
      const scan = list.push(character);
      if (typeof scan === "object") return scan;
      ended = scan === "done";
    }
    if (!ended) return { malformed: "the list of calls is not complete" };
  }
  return calls.length > 0 ? calls : { malformed: "expected a call, found nothing" };
}
