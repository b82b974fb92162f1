// The events of a streamed message in the order that Anthropic's clients rely on: message_start {
// content_block_start content_block_delta* content_block_stop }* message_delta message_stop.

import type { ChatEvent } from "../engine/chat_api.ts";
import { SIGNATURE, stopOf, usageOf } from "./anthropic_shapes.ts";
import { event } from "./sse.ts";

/** An event. Clients expect its name twice: as the event's name and in its data. */
function named(type: string, fields: object = {}): string {
  return event(JSON.stringify({ type, ...fields }), type);
}

/** What Anthropic sends while there is nothing else to send; clients take it as a sign of life. */
export const PING = named("ping");

/**
 * @param count gives the prompt's length in tokens for message_start; the final usage, in
 * message_delta, separates the cached ones
 * @param head the first fields of every message: id, type, role, model
 */
export async function* messageEvents(
  start: () => AsyncIterable<ChatEvent>,
  count: () => Promise<number>,
  head: object,
): AsyncGenerator<string> {
  const usage = {
    input_tokens: await count(),
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 0,
    output_tokens: 0,
  };
  const begin = named("message_start", {
    message: { ...head, content: [], stop_reason: null, stop_sequence: null, usage },
  });
  let begun = false;
  let block = -1;
  let open: "text" | "thinking" | null = null;
  const delta = (change: object): string => named("content_block_delta", { index: block, delta: change });
  const stop = function* (): Generator<string> {
    if (open === "thinking") yield delta({ type: "signature_delta", signature: SIGNATURE });
    if (open !== null) yield named("content_block_stop", { index: block });
    open = null;
  };
  const within = function* (type: "text" | "thinking", content_block: object): Generator<string> {
    if (open === type) return;
    yield* stop();
    open = type;
    yield named("content_block_start", { index: ++block, content_block: { type, ...content_block } });
  };
  for await (const event of start()) {
    // Not before the engine's first event: a request that it rejects is answered with a status.
    if (!begun) yield begin;
    begun = true;
    switch (event.type) {
      case "text":
        if (event.text === "") break;
        yield* within("text", { text: "" });
        yield delta({ type: "text_delta", text: event.text });
        break;
      case "reasoning":
        yield* within("thinking", { thinking: "", signature: "" });
        yield delta({ type: "thinking_delta", thinking: event.text });
        break;
      case "tool_call": {
        yield* stop();
        const content_block = { type: "tool_use", id: event.id, name: event.name, input: {} };
        yield named("content_block_start", { index: ++block, content_block });
        break;
      }
      case "tool_arguments":
        yield delta({ type: "input_json_delta", partial_json: event.text });
        yield named("content_block_stop", { index: block });
        break;
      case "finish":
        yield* stop();
        yield named("message_delta", { delta: stopOf(event), usage: usageOf(event) });
        yield named("message_stop");
    }
  }
}
