// The call style of gpt-oss (harmony): messages with headers, each in a channel: analysis is
// reasoning, final is text, and what has a tool as its recipient is a call.

import { createHarmonyParser, harmonyHeader } from "../harmony_reply.ts";
import type { PromptOptions } from "../messages.ts";
import type { AssistantMessage, ChatMessage } from "../types.ts";
import type { Written } from "./call_grammar.ts";
import type { CallStyle, ModelTraits } from "./style.ts";
import { taggedGrammar } from "./tagged_grammar.ts";

/** Between two messages of an answer; the prompt ends with the first one's. */
const NEXT = { of: [{ text: "<|start|>assistant" }], min: 0, max: 1 };
const REASONING = { open: "<|channel|>analysis<|message|>", close: "<|end|>", again: true };
/** The levels of effort that other models have, by those of gpt-oss. */
const EFFORTS: ReadonlyMap<string, string> = new Map([
  ["minimal", "low"],
  ["xhigh", "high"],
  ["max", "high"],
]);

export function harmonyStyle({ template, tokenizer }: ModelTraits): CallStyle | null {
  if (!template.includes("<|channel|>") || !template.includes("<|message|>")) return null;
  // <|end|> only ends a message; others follow.
  const stopIds = ["<|return|>", "<|call|>"].flatMap((mark) => tokenizer.pieceToId(mark) ?? []);
  return {
    name: "harmony",
    reasons: REASONING,
    textHead: [NEXT, { text: "<|channel|>final<|message|>" }],
    stopIds,
    prompt: (messages, options) => ({ messages: oneCallEach(messages), options: knownEffort(options) }),
    parser: createHarmonyParser,
    // A call ends the answer, so there is never more than one.
    grammar: (tools, choice) => {
      const behind = new Map<string, readonly Written[]>();
      const grammar = taggedGrammar(
        tools,
        choice,
        false,
        ({ name, parameters }) => {
          behind.set(name, [parameters([]), { text: "<|call|>" }]);
          return [{ text: `<|channel|>commentary to=functions.${name} <|constrain|>json<|message|>` }, parameters([])];
        },
        { before: [NEXT], between: "", after: "<|call|>", mark: "" },
      );
      const follows = (head: string) => behind.get(recipientOf(head) ?? "") ?? null;
      return grammar && { ...grammar, begun: { mark: "<|message|>", all: [...behind.values()], follows } };
    },
  };
}

/** The tool that the last header of a text addresses; the prompt may have begun it. */
function recipientOf(text: string): string | null {
  const message = Math.max(text.lastIndexOf("<|message|>"), text.lastIndexOf("<|end|>"));
  const own = text.slice(Math.max(message, 0)).replace(/^<\|(?:message|end)\|>/, "");
  const header = own.includes("<|start|>") ? own.slice(own.lastIndexOf("<|start|>") + 9) : `assistant ${own}`;
  return harmonyHeader(header).recipient?.replace(/^functions\./, "") ?? null;
}

function knownEffort(options: PromptOptions): PromptOptions {
  const { effort } = options.reasoning ?? {};
  const known = EFFORTS.get(effort ?? "");
  return known === undefined ? options : { ...options, reasoning: { ...options.reasoning, effort: known } };
}

/**
 * Conversations as the template can show them: each message of the assistant with at most one call,
 * followed by its result, and with either a text or reasoning in front of the call.
 */
function oneCallEach(messages: readonly ChatMessage[]): ChatMessage[] {
  const out: ChatMessage[] = [];
  for (let i = 0; i < messages.length; i++) {
    const message = messages[i]!;
    if (message.role !== "assistant" || !message.toolCalls?.length) {
      out.push(message);
      continue;
    }
    const results: ChatMessage[] = [];
    while (messages[i + 1]?.role === "tool") results.push(messages[++i]!);
    for (const [k, call] of message.toolCalls.entries()) {
      const single: AssistantMessage = { role: "assistant", toolCalls: [call] };
      out.push(k === 0 ? { ...single, ...thoughts(message) } : single);
      const at = results.findIndex((one) => one.role === "tool" && one.toolCallId === call.id);
      if (at >= 0) out.push(...results.splice(at, 1));
    }
    out.push(...results);
  }
  return out;
}

/** The template shows the text in front of a call as analysis, and refuses both. */
function thoughts({ content = "", reasoning = "" }: AssistantMessage): Partial<AssistantMessage> {
  const all = [reasoning, content].filter((part) => part !== "").join("\n\n");
  return all === "" ? {} : { reasoning: all };
}
