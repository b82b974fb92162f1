// The events of a streamed message in the order that Anthropic's clients rely on:
// message_start { content_block_start content_block_delta* content_block_stop }* message_delta message_stop.

import type { ChatEvent } from "../engine/chat_api.ts";
import { stopOf, usageOf } from "./anthropic_shapes.ts";
import { event } from "./sse.ts";

/** An event; its name stands twice, as the clients want it. */
function named(type: string, fields: object = {}): string {
  return event(JSON.stringify({ type, ...fields }), type);
}

/** What Anthropic sends where nothing else comes for a while; clients count it as a sign of life. */
export const PING = named("ping");

/**
 * @param count the prompt's length in tokens, told in message_start; the last usage, in message_delta, corrects it by
 * what came out of the cache
 * @param head what every message begins with: id, type, role, model
 */
export async function* messageEvents(
  start: () => AsyncIterable<ChatEvent>,
  count: () => number,
  head: object,
): AsyncGenerator<string> {
  const usage = {
    input_tokens: count(),
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 0,
    output_tokens: 0,
  };
  const begin = named("message_start", {
    message: { ...head, content: [], stop_reason: null, stop_sequence: null, usage },
  });
  let begun = false;
  let block = -1;
  let inText = false;
  const stop = function* (): Generator<string> {
    if (inText) yield named("content_block_stop", { index: block });
    inText = false;
  };
  const delta = (change: object): string => named("content_block_delta", { index: block, delta: change });
  for await (const event of start()) {
    // Not before the engine has something: what it refuses is answered with a status.
    if (!begun) yield begin;
    begun = true;
    switch (event.type) {
      case "text":
        if (event.text === "") break;
        if (!inText) {
          inText = true;
          yield named("content_block_start", { index: ++block, content_block: { type: "text", text: "" } });
        }
        yield delta({ type: "text_delta", text: event.text });
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
