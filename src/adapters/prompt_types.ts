// The dictionaries of the Prompt API as it is specified in June 2026, as far as texts go.

/** Whether a model is there. */
export type Availability = "unavailable" | "downloadable" | "downloading" | "available";

/** How freely answers are chosen. */
export type SamplingMode = "most-predictable" | "predictable" | "balanced" | "creative" | "most-creative";

/** Kinds of contents. Only texts are read. */
export type MessageType = "text" | "image" | "audio" | "tool-call" | "tool-response";

/** A part of a message. */
export interface MessageContent {
  /** Its kind. */
  readonly type: MessageType;
  /** A text; the model reads nothing else. */
  readonly value: unknown;
}

/** A message of the conversation. */
export interface PromptMessage {
  /** Whose message it is. */
  readonly role: "system" | "user" | "assistant";
  /** A text is short for one content of type "text". */
  readonly content: string | readonly MessageContent[];
  /** Of a last message of the assistant: the answer continues it. */
  readonly prefix?: boolean;
}

/** A text of the user, or messages. */
export type PromptInput = string | readonly PromptMessage[];

/** A function that the model may call. */
export interface PromptTool {
  /** By which the model calls it. */
  readonly name: string;
  /** What it does, for the model. */
  readonly description: string;
  /** JSON schema of the arguments. */
  readonly inputSchema: object;
  /** Called with the arguments, by their names in one object. */
  execute(input: Readonly<Record<string, unknown>>): Promise<string>;
}

/** A kind of content that a session must know. */
export interface Expected {
  /** The kind. */
  readonly type: MessageType;
  /** Languages, as in the specification; every one is taken. */
  readonly languages?: readonly string[];
}

/** What a session must be able to do. */
export interface CreateCoreOptions {
  /** Not together with samplingMode. */
  readonly topK?: number;
  /** Not together with samplingMode. */
  readonly temperature?: number;
  /** In place of topK and temperature. */
  readonly samplingMode?: SamplingMode | "default";
  /** Kinds that prompts will have. */
  readonly expectedInputs?: readonly Expected[];
  /** Kinds that answers are to have. */
  readonly expectedOutputs?: readonly Expected[];
  /** What the model may call. */
  readonly tools?: readonly PromptTool[];
}

/** How to create a session. */
export interface CreateOptions extends CreateCoreOptions {
  /** Aborts the creation, and later destroys the session. */
  readonly signal?: AbortSignal;
  /** Called with a target of "downloadprogress" events, whose `loaded` goes from 0 to 1. */
  readonly monitor?: (monitor: EventTarget) => void;
  /** How the conversation begins. These messages are never dropped. */
  readonly initialPrompts?: readonly PromptMessage[];
}

/** How to answer a prompt. */
export interface PromptOptions {
  /** A JSON schema, or a RegExp that the whole answer matches. */
  readonly responseConstraint?: object;
  /** Nothing changes: the constraint is never a part of the prompt here. */
  readonly omitResponseConstraintInput?: boolean;
  /** Aborts the answer. */
  readonly signal?: AbortSignal;
}

/** Settings to start from, and the most that is taken. */
export interface Params {
  /** The model's own top K. */
  readonly defaultTopK: number;
  /** The largest top K. */
  readonly maxTopK: number;
  /** The model's own temperature. */
  readonly defaultTemperature: number;
  /** The highest temperature. */
  readonly maxTemperature: number;
}

/** A session with the model. */
export interface PromptSession extends EventTarget {
  /** Answers a prompt. */
  prompt(input: PromptInput, options?: PromptOptions): Promise<string>;
  /** The same, piece by piece. */
  promptStreaming(input: PromptInput, options?: PromptOptions): ReadableStream<string>;
  /** Adds to the conversation without an answer; computed with the next prompt. */
  append(input: PromptInput, options?: { readonly signal?: AbortSignal }): Promise<void>;
  /** Tokens that the input would add. */
  measureContextUsage(input: PromptInput, options?: PromptOptions): Promise<number>;
  /** Tokens of the conversation, and as many as it may have. */
  readonly contextUsage: number;
  /** Tokens that the conversation may have. */
  readonly contextWindow: number;
  /** Called when the oldest messages are dropped. */
  oncontextoverflow: ((event: Event) => unknown) | null;
  /** Undefined where they were not given: the model's own are used. */
  readonly topK: number | undefined;
  /** As topK. */
  readonly temperature: number | undefined;
  /** "default" where none was given. */
  readonly samplingMode: SamplingMode | "default";
  /** Another session with the same conversation. */
  clone(options?: { readonly signal?: AbortSignal }): Promise<PromptSession>;
  /** Ends what runs, and all later calls. */
  destroy(): void;
  /** The older names of the same. */
  measureInputUsage(input: PromptInput, options?: PromptOptions): Promise<number>;
  /** The older name of contextUsage. */
  readonly inputUsage: number;
  /** The older name of contextWindow. */
  readonly inputQuota: number;
  /** The older name of oncontextoverflow. */
  onquotaoverflow: ((event: Event) => unknown) | null;
}

/** What `LanguageModel` is in a browser that has one. */
export interface PromptApi {
  /** Creates a session, and opens the model if none is open. */
  create(options?: CreateOptions): Promise<PromptSession>;
  /** Whether such a session can be created. */
  availability(options?: CreateCoreOptions): Promise<Availability>;
  /** The model's settings. */
  params(): Promise<Params>;
}
