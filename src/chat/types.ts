// The types of a conversation, independent of the API: messages, tools and tool calls.

/** Instructions that stand above the conversation. */
export interface SystemMessage {
  /** Tells this message from others. */
  readonly role: "system";
  /** The text. */
  readonly content: string;
}

/** What the user says. */
export interface UserMessage {
  /** Tells this message from others. */
  readonly role: "user";
  /** The text. */
  readonly content: string;
}

/** What the model has answered. */
export interface AssistantMessage {
  /** Tells this message from others. */
  readonly role: "assistant";
  /** The text; absent beside calls. */
  readonly content?: string;
  /** What the model thought before this answer; templates decide whether to show it again. */
  readonly reasoning?: string;
  /** The calls that the answer made. */
  readonly toolCalls?: readonly ToolCall[];
}

/** The result of one call. */
export interface ToolMessage {
  /** Tells this message from others. */
  readonly role: "tool";
  /** What the call returned, as text. */
  readonly content: string;
  /** The id of the call. */
  readonly toolCallId: string;
  /** Name of the tool. Default: the name in the call that this result belongs to. */
  readonly name?: string;
}

/** One message of a conversation. */
export type ChatMessage = SystemMessage | UserMessage | AssistantMessage | ToolMessage;

/** A JSON schema as an object. */
export type JsonSchema = { readonly [key: string]: unknown };

/** A function that the model may call. */
export interface ToolDefinition {
  /** 1 to 128 letters, digits, "_", "-" and ".". */
  readonly name: string;
  /** What it does, for the model. */
  readonly description?: string;
  /**
   * JSON schema of the arguments. Without one, or if it is not an object, any
   * arguments are accepted.
   */
  readonly parameters?: JsonSchema;
  /** Whether generated arguments must follow the schema. The model is not told. */
  readonly strict?: boolean;
}

/** A call of a tool by the model. */
export interface ToolCall {
  /** Names the call, for the message with its result. */
  readonly id: string;
  /** The tool's name. */
  readonly name: string;
  /** A JSON text, as the model wrote it. */
  readonly arguments: string;
}

/** Whether the model may call tools, must not, must call one, or must call this one. */
export type ToolChoice = "auto" | "none" | "required" | { readonly name: string };

/** How much a model is to reason. Where a template knows no switch, a budget of 0 turns it off. */
export interface ReasoningOptions {
  /** Default: as the folder's template does without being told. */
  readonly enabled?: boolean;
  /** "low", "medium", "high" and what else the template knows. "none" is `enabled: false`. */
  readonly effort?: string;
  /** Most tokens of reasoning; the end marker is forced behind them. Default: no limit. */
  readonly budget?: number;
}
