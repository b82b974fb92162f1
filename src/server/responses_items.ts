// An answer as the responses API has it: items that grow, an event for each change, and the
// response object around them.

import type { TokenLogprob } from "../engine/api.ts";
import type { ChatEvent, ChatFinish } from "../engine/chat_api.ts";
import { type Failure, messageOf } from "./errors.ts";
import { chatLogprobs, newId, now } from "./openai_shapes.ts";
import { encryptedOf, type ResponsesRequest } from "./responses_request.ts";

/** An event of the stream; its `type` is also the name of the server-sent event. */
export interface ResponsesEvent {
  readonly type: string;
  readonly [field: string]: unknown;
}

type Status = "in_progress" | "completed" | "incomplete";

/** The item that is being written. */
type Open =
  | { readonly type: "message"; readonly id: string; text: string; readonly logprobs: TokenLogprob[] }
  | { readonly type: "reasoning"; readonly id: string; text: string };

/** Writes one answer: its events in order, and at any time the response so far. */
export class ResponseWriter {
  readonly #request: ResponsesRequest;
  readonly #head: { readonly id: string; readonly created_at: number; readonly model: string };
  readonly #output: object[] = [];
  #open: Open | null = null;
  #call: { readonly id: string; readonly name: string } | null = null;
  #sequence = 0;

  constructor(model: string, request: ResponsesRequest) {
    this.#request = request;
    this.#head = { id: newId("resp_"), created_at: now(), model };
  }

  *begin(): Generator<ResponsesEvent> {
    yield this.#event("response.created", { response: this.response("in_progress") });
    yield this.#event("response.in_progress", { response: this.response("in_progress") });
  }

  /** @param event from wholeCalls() */
  *take(event: ChatEvent): Generator<ResponsesEvent> {
    switch (event.type) {
      case "reasoning":
        if (this.#request.reasons !== null) yield* this.#reasoning(event.text);
        return;
      case "text":
        if (event.text !== "" || event.logprobs?.length) yield* this.#text(event.text, event.logprobs ?? []);
        return;
      case "tool_call":
        this.#call = event;
        return;
      case "tool_arguments":
        yield* this.#close("completed");
        if (this.#call) yield* this.#calls(this.#call, event.text);
        return;
      case "finish":
        yield* this.#finish(event);
    }
  }

  /** The event that ends a broken stream. */
  failed(failure: Failure): ResponsesEvent {
    const { status, code } = failure;
    const error = {
      code: code ?? (status === 400 ? "invalid_prompt" : "server_error"),
      message: messageOf(failure, "openai"),
    };
    return this.#event("response.failed", { response: { ...this.response("in_progress"), status: "failed", error } });
  }

  response(status: Status, finish: ChatFinish | null = null): object {
    const { body, options } = this.#request;
    const { effort = null, summary = null } = (body.reasoning ?? {}) as { effort?: unknown; summary?: unknown };
    return {
      ...this.#head,
      object: "response",
      status,
      background: false,
      completed_at: status === "in_progress" ? null : now(),
      error: null,
      // OpenRouter's client requires both penalties.
      frequency_penalty: options.frequencyPenalty ?? null,
      incomplete_details: status === "incomplete" ? { reason: "max_output_tokens" } : null,
      instructions: body.instructions ?? null,
      max_output_tokens: options.maxTokens ?? null,
      max_tool_calls: null,
      metadata: body.metadata ?? {},
      output: [...this.#output],
      parallel_tool_calls: options.parallelToolCalls ?? true,
      presence_penalty: options.presencePenalty ?? null,
      previous_response_id: null,
      prompt_cache_key: body.prompt_cache_key ?? null,
      reasoning: { effort, summary },
      safety_identifier: body.safety_identifier ?? null,
      service_tier: "default",
      store: false,
      temperature: options.temperature ?? null,
      text: body.text ?? { format: { type: "text" } },
      tool_choice: body.tool_choice ?? "auto",
      tools: body.tools ?? [],
      top_logprobs: options.logprobs ?? 0,
      top_p: options.topP ?? null,
      truncation: "disabled",
      usage: finish && usage(finish),
      user: body.user ?? null,
    };
  }

  *#reasoning(delta: string): Generator<ResponsesEvent> {
    if (this.#open?.type !== "reasoning") {
      yield* this.#close("completed");
      this.#open = { type: "reasoning", id: newId("rs_"), text: "" };
      yield this.#added();
      if (this.#asSummary) yield this.#part("response.reasoning_summary_part.added", "");
    }
    this.#open.text += delta;
    yield this.#inItem(this.#asSummary ? "response.reasoning_summary_text.delta" : "response.reasoning_text.delta", {
      delta,
    });
  }

  *#text(delta: string, logprobs: readonly TokenLogprob[]): Generator<ResponsesEvent> {
    if (this.#open?.type !== "message") {
      yield* this.#close("completed");
      this.#open = { type: "message", id: newId("msg_"), text: "", logprobs: [] };
      yield this.#added();
      yield this.#part("response.content_part.added", "");
    }
    this.#open.text += delta;
    this.#open.logprobs.push(...logprobs);
    yield this.#inItem("response.output_text.delta", { delta, logprobs: this.#logprobs(logprobs) });
  }

  *#calls({ id, name }: { readonly id: string; readonly name: string }, text: string): Generator<ResponsesEvent> {
    const item = (args: string, status: Status): object => ({
      id: itemId,
      type: "function_call",
      status,
      arguments: args,
      call_id: id,
      name,
    });
    const itemId = newId("fc_");
    const at = { item_id: itemId, output_index: this.#output.length };
    yield this.#event("response.output_item.added", { output_index: at.output_index, item: item("", "in_progress") });
    yield this.#event("response.function_call_arguments.delta", { ...at, delta: text });
    yield this.#event("response.function_call_arguments.done", { ...at, name, arguments: text });
    yield this.#done(item(text, "completed"));
  }

  *#finish(finish: ChatFinish): Generator<ResponsesEvent> {
    const status = finish.reason === "length" ? "incomplete" : "completed";
    // Clients look for a message: an empty answer has an empty one.
    if (this.#open === null && this.#output.length === 0) yield* this.#text("", []);
    yield* this.#close(status);
    yield this.#event(`response.${status}`, { response: this.response(status, finish) });
  }

  /** Ends the open item. */
  *#close(status: Status): Generator<ResponsesEvent> {
    const open = this.#open;
    if (open === null) return;
    const { text } = open;
    if (open.type === "message") {
      yield this.#inItem("response.output_text.done", { text, logprobs: this.#logprobs(open.logprobs) });
      yield this.#part("response.content_part.done", text);
    } else if (this.#asSummary) {
      yield this.#inItem("response.reasoning_summary_text.done", { text });
      yield this.#part("response.reasoning_summary_part.done", text);
    } else yield this.#inItem("response.reasoning_text.done", { text });
    const item = this.#item(open, status);
    this.#open = null;
    yield this.#done(item);
  }

  #item(open: Open, status: Status): object {
    const { id, type, text } = open;
    if (type === "message") {
      const content = status === "in_progress" ? [] : [this.#content(text)];
      return { id, type, status, role: "assistant", content };
    }
    const parts = status === "in_progress" ? [] : [this.#content(text)];
    const encrypted = this.#request.encrypted && status !== "in_progress" ? encryptedOf(text) : null;
    return {
      id,
      type,
      status,
      summary: this.#asSummary ? parts : [],
      ...(!this.#asSummary && { content: parts }),
      ...(this.#request.encrypted && { encrypted_content: encrypted }),
    };
  }

  get #asSummary(): boolean {
    return this.#open?.type === "reasoning" && this.#request.reasons === "summary";
  }

  /** The part of the open item that holds `text`. */
  #content(text: string): object {
    if (this.#open?.type === "message")
      return {
        type: "output_text",
        text,
        annotations: [],
        logprobs: text === "" ? [] : this.#logprobs(this.#open.logprobs),
      };
    return { type: this.#asSummary ? "summary_text" : "reasoning_text", text };
  }

  #logprobs(tokens: readonly TokenLogprob[]): object[] {
    const wanted = this.#request.options.logprobs !== undefined;
    return (chatLogprobs(tokens, wanted) as { content: object[] } | null)?.content ?? [];
  }

  #added(): ResponsesEvent {
    return this.#event("response.output_item.added", {
      output_index: this.#output.length,
      item: this.#item(this.#open!, "in_progress"),
    });
  }

  #done(item: object): ResponsesEvent {
    this.#output.push(item);
    return this.#event("response.output_item.done", { output_index: this.#output.length - 1, item });
  }

  #part(type: string, text: string): ResponsesEvent {
    return this.#inItem(type, { part: this.#content(text) });
  }

  #inItem(type: string, fields: object): ResponsesEvent {
    const index = this.#asSummary ? { summary_index: 0 } : { content_index: 0 };
    return this.#event(type, { item_id: this.#open!.id, output_index: this.#output.length, ...index, ...fields });
  }

  #event(type: string, fields: object): ResponsesEvent {
    return { type, sequence_number: this.#sequence++, ...fields };
  }
}

function usage({ usage: { promptTokens, cachedTokens, completionTokens, reasoningTokens } }: ChatFinish): object {
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cache_write_tokens: 0, cached_tokens: cachedTokens },
    output_tokens: completionTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens ?? 0 },
    total_tokens: promptTokens + completionTokens,
  };
}
