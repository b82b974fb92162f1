// Chatting with a model: conversations and prompts in, text and tool calls out. Each answer has a
// session of its own.

import type { ChatConventions } from "../chat/conventions.ts";
import { RequestError } from "../errors.ts";
import type { Constraint } from "../grammar/types.ts";
import type { Tokenizer } from "../tokenizer/types.ts";
import type { GenerationResult, Piece, SamplingOptions, TokenLogprob } from "./api.ts";
import type { ChatMessage, ChatModel, ChatOptions } from "./chat_api.ts";
import { constraintOf, textConstraint } from "./chat_constraint.ts";
import { behindReasoning } from "./chat_reasoning.ts";
import { echoed } from "./echo.ts";
import type { ChatEvent, ChatFinish } from "./events.ts";
import type { Model } from "./model_api.ts";
import { viewOf } from "./model_view.ts";
import { inTurns, type Queue } from "./queue.ts";
import { Recall } from "./recall.ts";
import { withoutSpace } from "./token_texts.ts";

export interface ChatModelParts {
  readonly name: string;
  readonly model: Model;
  readonly conventions: ChatConventions;
  readonly queue: Queue;
  /** Defaults of sampling, from the model's folder. */
  readonly sampling?: SamplingOptions;
}

export function createChatModel({ name, model, conventions, queue, sampling = {} }: ChatModelParts): ChatModel {
  const { tokenizer } = model;
  const { context } = model.stats();
  const vocab = model.architecture.vocab;
  const created = Math.floor(Date.now() / 1000);
  const longest = longestToken(tokenizer);
  const recall = new Recall({ conventions, tokenizer });
  const encode = (text: string): number[] => {
    checkText(text.length);
    return tokenizer.encode(text, { addBos: tokenizer.bosId !== null });
  };
  const promptOf = (messages: readonly ChatMessage[], options: ChatOptions): number[] => {
    checkText(textLength(messages, options));
    const ids = conventions.prompt(messages, options);
    const restored = recall.restore(ids, options);
    return restored.length < context ? restored : ids;
  };

  /**
   * Rejects a text that is too long whatever its tokens are, before it is tokenized: tokenizing
   * blocks all other answers.
   * @throws RequestError
   */
  function checkText(length: number): void {
    const tokens = Math.floor(length / longest);
    if (tokens > context) throw tooLong(tokens, context, "at least ");
  }

  /**
   * Runs `work` when the queue admits it. `work` may generate once; the session is closed when it
   * ends, however it ends.
   */
  async function* inTurn<T>(
    ids: readonly number[],
    options: ChatOptions,
    constrain: () => Promise<Constraint | null>,
    work: (generate: () => AsyncIterable<Piece>) => AsyncIterable<T>,
  ): AsyncGenerator<T> {
    checkPrompt(ids, options.maxTokens === 0 ? 0 : 1);
    // Compiled before the answer takes its turn: a bad schema is rejected at once, and compiling
    // holds no place in the queue.
    const constraint = await constrain();
    try {
      const { signal } = options;
      const turn = await queue.enter(signal, ids.length);
      try {
        options.onTurn?.();
        const session = model.session();
        try {
          const asked = { ...options, ...(constraint && { constraint }) };
          yield* work(() => inTurns(session.generate(ids, asked), turn, signal));
        } finally {
          session.close();
        }
      } finally {
        turn.leave();
      }
    } finally {
      constraint?.close();
    }
  }

  /**
   * @throws RequestError for an empty prompt, unknown tokens, or too many to leave `room` tokens
   * for an answer
   */
  function checkPrompt(ids: readonly number[], room: number): void {
    const bad = ids.findIndex((id) => !Number.isInteger(id) || id < 0 || id >= vocab);
    if (bad >= 0) {
      throw new RequestError(`prompt: token ${bad}: expected an id from 0 to ${vocab - 1}, found ${ids[bad]}`);
    }
    if (ids.length === 0) throw new RequestError("prompt: expected at least one token, found none");
    if (ids.length + room <= context) return;
    throw tooLong(ids.length, context);
  }

  return {
    name,
    created,
    context,
    sampling,
    get view() {
      return viewOf(model, conventions, tokenizer.vocabSize);
    },
    async *chat(messages, options = {}) {
      const ids = promptOf(messages, options);
      const parser = conventions.parser(options, ids);
      const reasoning = conventions.reasoning(ids);
      const calls = conventions.callGrammar(options, options.parallelToolCalls);
      const grammars = model.grammars;
      let logprobs: TokenLogprob[] = [];
      const sampled: number[] = [];
      let called = false;
      let left = 0; // characters of the answer that are left out: the space it begins with
      const text = (shown: string): ChatEvent => {
        const before = parser.reasoned ?? 0; // characters of the reasoning, which has none
        const found = logprobs
          .filter(({ offset }) => offset >= before)
          .map((token) => {
            const shifted = { ...token, offset: token.offset - before - left };
            if (!parser.spaceLeftOut || left > 0 || token.bytes.length === 0) return shifted;
            left = 1;
            return withoutSpace(shifted);
          });
        logprobs = [];
        return { type: "text", text: shown, ...(options.logprobs !== undefined && { logprobs: found }) };
      };
      const constrain = async () => {
        const parts = { grammars, tokenizer, vocab };
        const answer = () => constraintOf(parts, options, calls, conventions.textHead(options));
        return behindReasoning(parts, reasoning, options.reasoning ?? {}, await answer(), answer);
      };
      for await (const piece of inTurn(ids, options, constrain, (generate) => generate())) {
        logprobs.push(...(piece.logprobs ?? []));
        sampled.push(...piece.ids);
        const events = parser.push(piece.text, piece.ids);
        if (piece.finish) events.push(...parser.end(piece.finish.reason === "length"));
        for (const event of events) {
          if (event.type === "text") yield text(event.text);
          else if (event.type === "reasoning") yield event;
          else if (event.type === "cut") logprobs = [];
          else if (event.type === "tool_call") {
            called = true;
            if (logprobs.length > 0) yield text("");
            yield event;
          } else if (event.type === "tool_arguments") yield event;
        }
        if (!piece.finish) continue;
        const { reason } = piece.finish;
        if (reason === "eos") sampled.pop();
        if (reason !== "stop" && !options.continueAssistant) recall.remember(ids, sampled);
        // Log probabilities of tokens without text, such as the one that ended the answer.
        if (logprobs.length > 0) yield text("");
        yield finished(piece.finish, called, parser.reasoningTokens);
      }
    },
    async *complete(prompt, options = {}) {
      const ids = typeof prompt === "string" ? encode(prompt) : prompt;
      const constrain = () => textConstraint(model.grammars, options);
      yield* inTurn<ChatEvent>(ids, options, constrain, async function* (generate) {
        if (options.echo) yield* echoed(model, ids, options);
        const echo = options.echo ? [...tokenizer.decode(ids)].length : 0;
        for await (const piece of generate()) {
          const logprobs = piece.logprobs?.map((token) => ({ ...token, offset: token.offset + echo }));
          if (piece.text !== "" || logprobs?.length)
            yield { type: "text", text: piece.text, ...(logprobs && { logprobs }) };
          if (piece.finish) yield finished(piece.finish, false);
        }
      });
    },
    countTokens: (messages, options = {}) => promptOf(messages, options).length,
    tokenize(text, special) {
      checkText(text.length);
      return tokenizer.encode(text, { addBos: special && tokenizer.bosId !== null });
    },
    detokenize: (ids) => tokenizer.decode(ids),
    async embed(input, signal) {
      const ids = typeof input === "string" ? encode(input) : input;
      const turn = await queue.enter(signal, ids.length);
      try {
        return {
          embedding: await model.embed(ids, signal),
          tokens: ids.length,
        };
      } finally {
        turn.leave();
      }
    },
    metrics() {
      const { memory, experts, speculation, blocks: usage, room } = model.stats();
      const { blockSize, most, blocks, free, cached } = usage;
      const kv = {
        capacity: most * blockSize,
        used: (blocks - free - cached) * blockSize,
        cached: cached * blockSize,
      };
      return { queued: queue.queued, running: queue.running, ...room, kv, memory, experts, speculation };
    },
  };
}

/** Bytes of the longest token. A text has no fewer bytes than UTF-16 units. */
function longestToken(tokenizer: Tokenizer): number {
  let longest = 1;
  for (let id = 0; id < tokenizer.vocabSize; id++) longest = Math.max(longest, tokenizer.tokenBytes(id).length);
  return longest;
}

/** UTF-16 units of the texts that a prompt is made of. Types are checked later. */
function textLength(messages: readonly ChatMessage[], { tools = [], toolChoice }: ChatOptions): number {
  if (!Array.isArray(messages)) return 0;
  let length = 0;
  for (const message of messages as readonly ChatMessage[]) {
    length += message.content?.length ?? 0;
    if (message.role !== "assistant") continue;
    length += message.reasoning?.length ?? 0;
    for (const call of message.toolCalls ?? []) length += call.arguments.length;
  }
  if (toolChoice === "none") return length;
  for (const { description, parameters } of tools)
    length += (description?.length ?? 0) + (JSON.stringify(parameters)?.length ?? 0);
  return length;
}

function tooLong(tokens: number, context: number, least = ""): RequestError {
  return new RequestError(
    `the prompt has ${least}${tokens} tokens, which leaves no room for an answer in the context of ${context}; shorten it, or open the model with a larger context`,
    { code: "context_length_exceeded", overflow: { tokens, context } },
  );
}

function finished(result: GenerationResult, called: boolean, reasoningTokens = 0): ChatFinish {
  const { reason, promptTokens, cachedTokens, completionTokens, seed, timings, stop } = result;
  return {
    type: "finish",
    reason: reason === "length" ? "length" : called ? "tool_calls" : "stop",
    ...(stop !== undefined && { stopSequence: stop }),
    usage: { promptTokens, cachedTokens, completionTokens, ...(reasoningTokens > 0 && { reasoningTokens }) },
    seed,
    timings,
  };
}
