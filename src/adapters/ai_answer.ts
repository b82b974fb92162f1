// The events of an answer as stream parts of the AI SDK, and those as content.

import type { LanguageModelV4Content, LanguageModelV4StreamPart } from "@ai-sdk/provider";
import { wholeArguments } from "../engine/call_arguments.ts";
import type { ChatEvent, ChatFinish } from "../engine/chat_api.ts";

type PartOf<T extends LanguageModelV4StreamPart["type"]> = Extract<LanguageModelV4StreamPart, { type: T }>;

/** The SDK's parts, each event that they come from, and the end. */
export type AnswerPart =
  | PartOf<"text-start" | "text-delta" | "text-end">
  | PartOf<"reasoning-start" | "reasoning-delta" | "reasoning-end">
  | PartOf<"tool-input-start" | "tool-input-delta" | "tool-input-end" | "tool-call">
  | { readonly type: "event"; readonly event: ChatEvent }
  | { readonly type: "answer-end"; readonly finish: ChatFinish };

/** The block that is being written. */
type Open =
  | { readonly kind: "text" | "reasoning"; readonly id: string }
  | { readonly kind: "call"; readonly id: string; readonly name: string; input: string };

/**
 * The parts of an answer, in order. A call whose arguments were cut off has an input, but is no
 * tool-call.
 */
export async function* answerParts(events: AsyncIterable<ChatEvent>): AsyncGenerator<AnswerPart> {
  let open: Open | null = null;
  let blocks = 0;
  function* close(cut: boolean): Generator<AnswerPart> {
    if (open === null) return;
    const { kind, id } = open;
    if (kind !== "call") yield { type: `${kind}-end`, id };
    else {
      const input = wholeArguments(open.input, cut);
      yield { type: "tool-input-end", id };
      if (input !== null) yield { type: "tool-call", toolCallId: id, toolName: open.name, input };
    }
    open = null;
  }
  function* write(kind: "text" | "reasoning", delta: string): Generator<AnswerPart> {
    if (delta === "") return; // only log probabilities
    if (open?.kind !== kind) {
      yield* close(false);
      open = { kind, id: String(blocks++) };
      yield { type: `${kind}-start`, id: open.id };
    }
    yield { type: `${kind}-delta`, id: open.id, delta };
  }
  for await (const event of events) {
    yield { type: "event", event };
    switch (event.type) {
      case "text":
      case "reasoning":
        yield* write(event.type, event.text);
        break;
      case "tool_call":
        yield* close(false);
        open = { kind: "call", id: event.id, name: event.name, input: "" };
        yield { type: "tool-input-start", id: event.id, toolName: event.name };
        break;
      case "tool_arguments": {
        const call: Open | null = open;
        if (call?.kind !== "call") break;
        call.input += event.text;
        if (event.text !== "") yield { type: "tool-input-delta", id: call.id, delta: event.text };
        break;
      }
      case "finish":
        yield* close(event.reason === "length");
        yield { type: "answer-end", finish: event };
    }
  }
}

/** The content of a whole answer. */
export function contentOf(parts: readonly AnswerPart[]): LanguageModelV4Content[] {
  const content: LanguageModelV4Content[] = [];
  for (const part of parts) {
    if (part.type === "text-start") content.push({ type: "text", text: "" });
    else if (part.type === "reasoning-start") content.push({ type: "reasoning", text: "" });
    else if (part.type === "tool-call") content.push(part);
    else if (part.type === "text-delta" || part.type === "reasoning-delta") {
      const last = content.at(-1);
      if (last?.type === "text" || last?.type === "reasoning") last.text += part.delta;
    }
  }
  return content;
}
