// A session of the Prompt API: a conversation that grows by prompts and answers, one after the
// other, and drops its oldest turns when the context is full.

import { onAbort } from "../abort.ts";
import { wholeArguments } from "../engine/call_arguments.ts";
import type { ChatMessage, ChatModel, ChatOptions, ToolCall, ToolDefinition } from "../engine/chat_api.ts";
import { RequestError } from "../errors.ts";
import {
  constraintOf,
  domError,
  type Input,
  inputOf,
  quotaError,
  type Sampling,
  samplingOptions,
} from "./prompt_input.ts";
import type { PromptInput, PromptOptions, PromptSession, PromptTool, SamplingMode } from "./prompt_types.ts";

/** Rounds of tool calls within one answer. */
const MOST_ROUNDS = 64;

/** A prompt with its answer, or what was appended: dropped as a whole. */
type Turn = readonly ChatMessage[];

export interface SessionParts {
  readonly model: ChatModel;
  readonly sampling: Sampling;
  readonly tools: readonly PromptTool[];
  readonly initial: readonly ChatMessage[];
}

export class HotsetSession extends EventTarget implements PromptSession {
  oncontextoverflow: ((event: Event) => unknown) | null = null;
  onquotaoverflow: ((event: Event) => unknown) | null = null;
  readonly #parts: SessionParts;
  readonly #tools: readonly ToolDefinition[];
  readonly #destroyed = new AbortController();
  #turns: readonly Turn[];
  #usage: number;
  /** Settles when all calls so far have. */
  #queue: Promise<unknown> = Promise.resolve();

  /** @throws DOMException QuotaExceededError if the initial prompts are too long */
  constructor(parts: SessionParts, turns: readonly Turn[] = []) {
    super();
    this.#parts = parts;
    this.#turns = turns;
    this.#tools = parts.tools.map(({ name, description, inputSchema }) => ({
      name,
      description,
      parameters: inputSchema as ToolDefinition["parameters"] & {},
    }));
    this.#usage = this.#count(this.#messages());
    if (this.#usage >= this.contextWindow) throw quotaError(this.#usage, this.contextWindow);
    for (const type of ["contextoverflow", "quotaoverflow"] as const)
      this.addEventListener(type, (event) => this[`on${type}`]?.(event));
  }

  get contextUsage(): number {
    return this.#usage;
  }

  get contextWindow(): number {
    return this.#parts.model.context;
  }

  get inputUsage(): number {
    return this.#usage;
  }

  get inputQuota(): number {
    return this.contextWindow;
  }

  get topK(): number | undefined {
    return this.#parts.sampling.topK;
  }

  get temperature(): number | undefined {
    return this.#parts.sampling.temperature;
  }

  get samplingMode(): SamplingMode | "default" {
    return this.#parts.sampling.samplingMode;
  }

  async prompt(input: PromptInput, options: PromptOptions = {}): Promise<string> {
    let text = "";
    await this.#answer(input, options, (chunk) => {
      text += chunk;
    });
    return text;
  }

  promptStreaming(input: PromptInput, options: PromptOptions = {}): ReadableStream<string> {
    const left = new AbortController();
    const signal = options.signal ? AbortSignal.any([options.signal, left.signal]) : left.signal;
    return new ReadableStream({
      start: (controller) => {
        const chunk = (text: string): void => controller.enqueue(text);
        this.#answer(input, { ...options, signal }, chunk).then(
          () => controller.close(),
          (error: unknown) => {
            if (!left.signal.aborted) controller.error(error);
          },
        );
      },
      cancel: (reason) => left.abort(reason),
    });
  }

  append(input: PromptInput, { signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    return this.#inTurn(signal, async () => {
      const { messages, continued } = this.#inputOf(input);
      if (continued) throw new DOMException("prefix: only a prompt continues a message", "SyntaxError");
      this.#makeRoom(messages, {});
      this.#turns = [...this.#turns, messages];
      this.#usage = this.#count(this.#messages());
    });
  }

  measureContextUsage(input: PromptInput, options: PromptOptions = {}): Promise<number> {
    return this.#inTurn(options.signal, async () => {
      constraintOf(options);
      return this.#added(this.#inputOf(input).messages);
    });
  }

  measureInputUsage(input: PromptInput, options?: PromptOptions): Promise<number> {
    return this.measureContextUsage(input, options);
  }

  async clone({ signal }: { readonly signal?: AbortSignal } = {}): Promise<HotsetSession> {
    this.#destroyed.signal.throwIfAborted();
    signal?.throwIfAborted();
    return new HotsetSession(this.#parts, this.#turns);
  }

  /** @param reason what running and later calls reject with */
  destroy(reason: unknown = new DOMException("the session is destroyed", "AbortError")): void {
    this.#destroyed.abort(reason);
  }

  /** Runs `work` when all earlier calls have ended. */
  #inTurn<T>(signal: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const both = signal ? AbortSignal.any([this.#destroyed.signal, signal]) : this.#destroyed.signal;
    const before = this.#queue;
    const run = async (): Promise<T> => {
      both.throwIfAborted();
      await untilAborted(before, both);
      try {
        return await work(both);
      } catch (error) {
        throw both.aborted ? both.reason : domError(error);
      }
    };
    const result = run();
    this.#queue = Promise.allSettled([before, result]);
    return result;
  }

  #answer(input: PromptInput, options: PromptOptions, onText: (text: string) => void): Promise<void> {
    return this.#inTurn(options.signal, async (signal) => {
      const format = constraintOf(options);
      const given = this.#inputOf(input);
      this.#makeRoom(given.messages, { continueAssistant: given.continued });
      const { messages, usage } = await this.#converse(given, { ...format, signal }, onText);
      this.#turns = [...this.#turns, messages];
      this.#usage = usage;
    });
  }

  /** Answers, and calls tools until the model calls none. */
  async #converse(
    given: Input,
    options: ChatOptions,
    onText: (text: string) => void,
  ): Promise<{ readonly messages: Turn; readonly usage: number }> {
    const { model, sampling } = this.#parts;
    let messages = given.messages;
    let continued = given.continued;
    for (let round = 0; round < MOST_ROUNDS; round++) {
      const calls: (ToolCall & { arguments: string })[] = [];
      let [text, usage, cut] = ["", 0, false];
      const settings = {
        ...samplingOptions(sampling),
        ...(this.#tools.length > 0 && { tools: this.#tools }),
        ...(continued && { continueAssistant: true }),
        ...options,
      };
      for await (const event of model.chat([...this.#messages(), ...messages], settings)) {
        if (event.type === "text") {
          text += event.text;
          if (event.text !== "") onText(event.text);
        } else if (event.type === "tool_call") calls.push({ id: event.id, name: event.name, arguments: "" });
        else if (event.type === "tool_arguments") calls.at(-1)!.arguments += event.text;
        else if (event.type === "finish") {
          usage = event.usage.promptTokens + event.usage.completionTokens;
          cut = event.reason === "length";
        }
      }
      const begun = continued ? messages.at(-1)?.content : "";
      const before = continued ? messages.slice(0, -1) : messages;
      // Only the last call can be cut.
      const called = calls.flatMap((call, i) => {
        const whole = wholeArguments(call.arguments, cut && i === calls.length - 1);
        return whole === null ? [] : [{ ...call, arguments: whole }];
      });
      messages = [
        ...before,
        { role: "assistant", content: `${begun}${text}`, ...(called.length > 0 && { toolCalls: called }) },
      ];
      if (called.length === 0) return { messages, usage };
      messages = [...messages, ...(await Promise.all(called.map((call) => this.#execute(call))))];
      options.signal?.throwIfAborted();
      continued = false;
    }
    throw new DOMException(`the model called tools ${MOST_ROUNDS} times without an answer`, "OperationError");
  }

  async #execute({ id, name, arguments: text }: ToolCall): Promise<ChatMessage> {
    const tool = this.#parts.tools.find((one) => one.name === name);
    if (!tool) throw new DOMException(`the model called ${name}, which is no tool of the session`, "OperationError");
    const result: unknown = await tool.execute(JSON.parse(text));
    const content = typeof result === "string" ? result : (JSON.stringify(result) ?? "");
    return { role: "tool", content, toolCallId: id, name };
  }

  #inputOf(input: PromptInput): Input {
    return inputOf(input, this.#parts.initial.length > 0 || this.#turns.length > 0);
  }

  #messages(turns = this.#turns): readonly ChatMessage[] {
    return [...this.#parts.initial, ...turns.flat()];
  }

  /**
   * Drops the oldest turns until `messages` and an answer of one token fit.
   * @throws DOMException QuotaExceededError, with nothing dropped, if they never do
   */
  #makeRoom(messages: readonly ChatMessage[], options: ChatOptions): void {
    for (let turns = this.#turns; ; turns = turns.slice(1)) {
      if (this.#count([...this.#messages(turns), ...messages], options) < this.contextWindow) {
        if (turns === this.#turns) return;
        this.#turns = turns;
        this.#usage = this.#count(this.#messages());
        this.dispatchEvent(new Event("contextoverflow"));
        this.dispatchEvent(new Event("quotaoverflow"));
        return;
      }
      if (turns.length === 0) throw quotaError(this.#added(messages), this.contextWindow - this.#usage);
    }
  }

  /** Tokens that messages add to the conversation. */
  #added(messages: readonly ChatMessage[]): number {
    return Math.max(0, this.#count([...this.#messages(), ...messages]) - this.#count(this.#messages()));
  }

  /** Tokens of a conversation as the next prompt would have them. */
  #count(messages: readonly ChatMessage[], options: ChatOptions = {}): number {
    const last = messages.at(-1);
    if (!last) return 0;
    // Templates want a message of the user at the end, or text of the assistant to continue.
    const continued = last.role === "assistant" && Boolean(last.content) && !last.toolCalls;
    const ended: readonly ChatMessage[] =
      continued || last.role === "user" || last.role === "tool"
        ? messages
        : [...messages, { role: "user", content: "" }];
    const settings: ChatOptions = { ...options, continueAssistant: continued, tools: this.#tools };
    try {
      return this.#parts.model.countTokens(ended, settings);
    } catch (error) {
      if (error instanceof RequestError && error.detail.overflow) return error.detail.overflow.tokens;
      throw error;
    }
  }
}

/** Waits for `promise`; rejects at once when `signal` aborts. */
async function untilAborted(promise: Promise<unknown>, signal: AbortSignal): Promise<void> {
  let stay = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    stay = onAbort(signal, () => reject(signal.reason));
  });
  try {
    await Promise.race([promise, aborted]);
  } finally {
    stay();
  }
}
