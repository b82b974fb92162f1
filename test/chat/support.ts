// What the chat tests share: tokenizers, and samples of conversations in the form of hosted APIs.

import { existsSync, readFileSync } from "node:fs";
import type { ChatMessage, ToolDefinition } from "../../src/chat/types.ts";
import { findTokenizer, type Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import type { Files } from "../../src/weights/files.ts";
import { inRepo } from "../support/fixtures.ts";

/** A folder in memory. */
export function memoryFiles(files: Readonly<Record<string, string | Uint8Array>>, label = "folder"): Files {
  const bytes = new Map(
    Object.entries(files).map(([name, data]) => [
      name,
      typeof data === "string" ? new TextEncoder().encode(data) : data,
    ]),
  );
  return {
    label,
    list: async () => [...bytes.keys()],
    size: async (name) => bytes.get(name)?.length ?? null,
    read: async (name, offset, into) => into.set(bytes.get(name)!.subarray(offset, offset + into.length)),
    close: async () => {},
  };
}

/** The tokenizer of a tokenizer.model, with nothing beside it. */
export async function tokenizerAt(path: string): Promise<Tokenizer | null> {
  if (!existsSync(path)) return null;
  return findTokenizer(memoryFiles({ "tokenizer.model": readFileSync(path) }));
}

/** The tokenizer that ships: 4,096 pieces, no control tokens but <s> and </s>. */
export async function talesTokenizer(): Promise<Tokenizer> {
  return (await tokenizerAt(inRepo("models/tales/tokenizer.model")))!;
}

interface ApiCall {
  readonly id: string;
  readonly function: { readonly name: string; readonly arguments: string };
}
interface ApiMessage {
  readonly role: string;
  readonly content: string | null;
  readonly tool_calls?: readonly ApiCall[] | null;
  readonly tool_call_id?: string;
  readonly name?: string;
}
export interface Sample {
  readonly messages: readonly ApiMessage[];
  readonly tools: readonly { readonly function: ToolDefinition }[];
}

export function messagesOf(sample: Sample): ChatMessage[] {
  return sample.messages.map(({ role, content, tool_calls, tool_call_id, name }) => {
    if (role === "tool") return { role, content: content ?? "", toolCallId: tool_call_id!, ...(name ? { name } : {}) };
    if (role !== "assistant") return { role: role as "user" | "system", content: content ?? "" };
    const toolCalls = tool_calls?.map((call) => ({
      id: call.id,
      name: call.function.name,
      arguments: call.function.arguments,
    }));
    return { role, ...(content === null ? {} : { content }), ...(toolCalls ? { toolCalls } : {}) };
  });
}

export function toolsOf(sample: Sample): ToolDefinition[] {
  return sample.tools.map((tool) => tool.function);
}
