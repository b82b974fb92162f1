// Answers of a ChatModel for the endpoints: tool calls made whole, and events gathered
// into one answer.

import type { TokenLogprob } from "../engine/api.ts";
import { wholeArguments } from "../engine/call_arguments.ts";
import type { ChatEvent, ChatFinish, ToolCall } from "../engine/chat_api.ts";

/** What a request that is not streamed is answered with. */
export interface Answer {
  readonly text: string;
  /** What the model thought before; "" if nothing. */
  readonly reasoning: string;
  readonly logprobs: readonly TokenLogprob[];
  readonly calls: readonly ToolCall[];
  readonly finish: ChatFinish;
}

/**
 * The same events, but each tool call comes with one `tool_arguments` event, which holds a whole
 * JSON text: Mistral's client cannot join pieces. A call without complete arguments is left out;
 * `finish` then tells that the answer was cut.
 */
export async function* wholeCalls(events: AsyncIterable<ChatEvent>): AsyncGenerator<ChatEvent> {
  let open: { readonly call: Extract<ChatEvent, { type: "tool_call" }>; text: string } | null = null;
  const close = function* (cut: boolean): Generator<ChatEvent> {
    if (open === null) return;
    const { call } = open;
    const text = wholeArguments(open.text, cut);
    open = null;
    if (text === null) return;
    yield call;
    yield { type: "tool_arguments", index: call.index, text };
  };
  for await (const event of events) {
    switch (event.type) {
      case "tool_call":
        yield* close(false);
        open = { call: event, text: "" };
        break;
      case "tool_arguments":
        if (open) open.text += event.text;
        break;
      case "reasoning":
        yield event;
        break;
      case "text":
        if (event.text !== "") yield* close(false);
        yield event;
        break;
      case "finish":
        yield* close(event.reason === "length");
        yield event;
    }
  }
}

/** Collects the events of one answer. */
export class AnswerCollector {
  #text = "";
  #reasoning = "";
  readonly #logprobs: TokenLogprob[] = [];
  readonly #calls: ToolCall[] = [];
  #call: { readonly id: string; readonly name: string } | null = null;
  #finish: ChatFinish | null = null;

  /** @param event from wholeCalls() */
  take(event: ChatEvent): void {
    switch (event.type) {
      case "text":
        this.#text += event.text;
        for (const logprob of event.logprobs ?? []) this.#logprobs.push(logprob);
        break;
      case "reasoning":
        this.#reasoning += event.text;
        break;
      case "tool_call":
        this.#call = event;
        break;
      case "tool_arguments":
        if (this.#call) this.#calls.push({ id: this.#call.id, name: this.#call.name, arguments: event.text });
        break;
      case "finish":
        this.#finish = event;
    }
  }

  /** @throws Error if the answer ended without a finish event: a bug of the engine */
  get answer(): Answer {
    if (this.#finish === null) throw new Error("the answer ended without a finish event");
    return {
      text: this.#text,
      reasoning: this.#reasoning,
      logprobs: this.#logprobs,
      calls: this.#calls,
      finish: this.#finish,
    };
  }
}
