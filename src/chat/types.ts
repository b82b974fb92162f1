// What a conversation is, whatever protocol it came by: messages, tools, calls, and what must stand at the answer's start.

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
  readonly toolCalls?: readonly ToolCall[];
}

/** The result of one call. */
export interface ToolMessage {
  readonly role: "tool";
  readonly content: string;
  readonly toolCallId: string;
  /** Name of the tool; default: that of the call that is answered. */
  readonly name?: string;
}

export type ChatMessage = SystemMessage | UserMessage | AssistantMessage | ToolMessage;

export type JsonSchema = { readonly [key: string]: unknown };

export interface ToolDefinition {
  /** 1 to 128 letters, digits, "_", "-" and ".". */
  readonly name: string;
  readonly description?: string;
  /** JSON schema of the arguments; default, and where it is no object: any object. */
  readonly parameters?: JsonSchema;
  /** Whether arguments must be held to the schema while they are generated. No part of any prompt. */
  readonly strict?: boolean;
}

export interface ToolCall {
  readonly id: string;
  readonly name: string;
  /** JSON text, as the model wrote it. */
  readonly arguments: string;
}

/** Whether the model may call tools, must, must not, or must call this one. */
export type ToolChoice = "auto" | "none" | "required" | { readonly name: string };

/**
 * How a model writes its calls. "mistral-v2" and "mistral-v3": the control token [TOOL_CALLS] and a JSON list; "json": one object
 * {"tool_calls": [...]} in place of text, for models that were not trained for tools (src/chat/protocol.ts).
 */
export type ToolFormat = "mistral-v2" | "mistral-v3" | "json";
