// An answer as a whole, gathered from the engine's events, and tool calls as wholes within a stream.

import type { TokenLogprob } from "../engine/api.ts";
import type { ChatEvent, ChatFinish, ToolCall } from "../engine/chat_api.ts";

/** A ChatEvent, but a tool call comes with all its arguments. */
export type AnswerEvent =
  | Extract<ChatEvent, { type: "text" }>
  | { readonly type: "call"; readonly index: number; readonly call: ToolCall }
  | ChatFinish;

export interface Answer {
  readonly text: string;
  readonly logprobs: readonly TokenLogprob[];
  readonly calls: readonly ToolCall[];
  readonly finish: ChatFinish;
}

/**
 * Holds a call back until its arguments are complete. Mistral's client cannot put a call together from pieces; all
 * others take it whole as well. A call that is not whole is none: it is left out, and `finish` tells that the answer was cut.
 */
export async function* wholeCalls(events: AsyncIterable<ChatEvent>): AsyncGenerator<AnswerEvent> {
  let open: { index: number; id: string; name: string; text: string } | null = null;
  const close = function* (cut: boolean): Generator<AnswerEvent> {
    if (open === null) return;
    const { index, id, name } = open;
    const text = open.text === "" && !cut ? "{}" : open.text;
    open = null;
    if (isJson(text)) yield { type: "call", index, call: { id, name, arguments: text } };
  };
  for await (const event of events) {
    switch (event.type) {
      case "tool_call":
        yield* close(false);
        open = { index: event.index, id: event.id, name: event.name, text: "" };
        break;
      case "tool_arguments":
        if (open) open.text += event.text;
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

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Takes answers in as their events come; several of one request may be mixed. */
export class Gathering {
  #text = "";
  readonly #logprobs: TokenLogprob[] = [];
  readonly #calls: ToolCall[] = [];
  #finish: ChatFinish | null = null;

  take(event: AnswerEvent): void {
    if (event.type === "finish") this.#finish = event;
    else if (event.type === "call") this.#calls.push(event.call);
    else {
      this.#text += event.text;
      for (const logprob of event.logprobs ?? []) this.#logprobs.push(logprob);
    }
  }

  /** @throws Error if the answer ended without a finish event: a bug of the engine */
  get answer(): Answer {
    if (this.#finish === null) throw new Error("the answer ended without a finish event");
    return { text: this.#text, logprobs: this.#logprobs, calls: this.#calls, finish: this.#finish };
  }
}
