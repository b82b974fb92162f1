// The dictionaries of the Prompt API as it is specified in June 2026, as far as texts go.

export type Availability = "unavailable" | "downloadable" | "downloading" | "available";

export type SamplingMode = "most-predictable" | "predictable" | "balanced" | "creative" | "most-creative";

export type MessageType = "text" | "image" | "audio" | "tool-call" | "tool-response";

export interface MessageContent {
  readonly type: MessageType;
  /** A text; the model reads nothing else. */
  readonly value: unknown;
}

export interface PromptMessage {
  readonly role: "system" | "user" | "assistant";
  /** A text is short for one content of type "text". */
  readonly content: string | readonly MessageContent[];
  /** Of a last message of the assistant: the answer continues it. */
  readonly prefix?: boolean;
}

export type PromptInput = string | readonly PromptMessage[];

export interface PromptTool {
  readonly name: string;
  readonly description: string;
  /** JSON schema of the arguments. */
  readonly inputSchema: object;
  /** Called with the arguments, by their names in one object. */
  execute(input: Readonly<Record<string, unknown>>): Promise<string>;
}

export interface Expected {
  readonly type: MessageType;
  readonly languages?: readonly string[];
}

export interface CreateCoreOptions {
  /** Not together with samplingMode. */
  readonly topK?: number;
  readonly temperature?: number;
  readonly samplingMode?: SamplingMode | "default";
  readonly expectedInputs?: readonly Expected[];
  readonly expectedOutputs?: readonly Expected[];
  readonly tools?: readonly PromptTool[];
}

export interface CreateOptions extends CreateCoreOptions {
  /** Aborts the creation, and later destroys the session. */
  readonly signal?: AbortSignal;
  /** Called with a target of "downloadprogress" events, whose `loaded` goes from 0 to 1. */
  readonly monitor?: (monitor: EventTarget) => void;
  readonly initialPrompts?: readonly PromptMessage[];
}

export interface PromptOptions {
  /** A JSON schema, or a RegExp that the whole answer matches. */
  readonly responseConstraint?: object;
  /** Nothing changes: the constraint is never a part of the prompt here. */
  readonly omitResponseConstraintInput?: boolean;
  readonly signal?: AbortSignal;
}

export interface Params {
  readonly defaultTopK: number;
  readonly maxTopK: number;
  readonly defaultTemperature: number;
  readonly maxTemperature: number;
}

/** A session with the model. */
export interface PromptSession extends EventTarget {
  prompt(input: PromptInput, options?: PromptOptions): Promise<string>;
  promptStreaming(input: PromptInput, options?: PromptOptions): ReadableStream<string>;
  /** Adds to the conversation without an answer; computed with the next prompt. */
  append(input: PromptInput, options?: { readonly signal?: AbortSignal }): Promise<void>;
  /** Tokens that the input would add. */
  measureContextUsage(input: PromptInput, options?: PromptOptions): Promise<number>;
  /** Tokens of the conversation, and as many as it may have. */
  readonly contextUsage: number;
  readonly contextWindow: number;
  oncontextoverflow: ((event: Event) => unknown) | null;
  /** Undefined where they were not given: the model's own are used. */
  readonly topK: number | undefined;
  readonly temperature: number | undefined;
  readonly samplingMode: SamplingMode | "default";
  /** Another session with the same conversation. */
  clone(options?: { readonly signal?: AbortSignal }): Promise<PromptSession>;
  /** Ends what runs, and all later calls. */
  destroy(): void;
  /** The older names of the same. */
  measureInputUsage(input: PromptInput, options?: PromptOptions): Promise<number>;
  readonly inputUsage: number;
  readonly inputQuota: number;
  onquotaoverflow: ((event: Event) => unknown) | null;
}

/** What `LanguageModel` is in a browser that has one. */
export interface PromptApi {
  create(options?: CreateOptions): Promise<PromptSession>;
  availability(options?: CreateCoreOptions): Promise<Availability>;
  params(): Promise<Params>;
}
