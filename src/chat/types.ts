// The types of a conversation, independent of the API: messages, tools and tool calls.

export interface SystemMessage {
  readonly role: "system";
  readonly content: string;
}

export interface UserMessage {
  readonly role: "user";
  readonly content: string;
}

export interface AssistantMessage {
  readonly role: "assistant";
  readonly content?: string;
  /** What the model thought before this answer; templates decide whether to show it again. */
  readonly reasoning?: string;
  readonly toolCalls?: readonly ToolCall[];
}

/** The result of one call. */
export interface ToolMessage {
  readonly role: "tool";
  readonly content: string;
  readonly toolCallId: string;
  /** Name of the tool. Default: the name in the call that this result belongs to. */
  readonly name?: string;
}

export type ChatMessage = SystemMessage | UserMessage | AssistantMessage | ToolMessage;

export type JsonSchema = { readonly [key: string]: unknown };

export interface ToolDefinition {
  /** 1 to 128 letters, digits, "_", "-" and ".". */
  readonly name: string;
  readonly description?: string;
  /**
   * JSON schema of the arguments. Without one, or if it is not an object, any
   * arguments are accepted.
   */
  readonly parameters?: JsonSchema;
  /** Whether generated arguments must follow the schema. The model is not told. */
  readonly strict?: boolean;
}

export interface ToolCall {
  readonly id: string;
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
