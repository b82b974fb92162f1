// What the chat tests share: tokenizers, and samples of conversations in the form of hosted APIs.

import { readFileSync } from "node:fs";
import type { ChatMessage, ToolDefinition } from "../../src/chat/types.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { inShared } from "../support/fixtures.ts";
import { TALES_JSON, TALES_MODEL, talesFromModel, tokenizerOf } from "../tokenizer/support.ts";

/** The vocabulary that ships: 4,096 pieces, no control tokens but <s> and </s>. */
export const tales: Tokenizer = talesFromModel;
export const TALES_FILES = { "tokenizer.model": TALES_MODEL };

const CONTROLS =
  "[INST] [/INST] [TOOL_CALLS] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_RESULTS] [/TOOL_RESULTS] <|im_start|> <|im_end|>".split(
    " ",
  );

/** The same vocabulary with Mistral's control tokens (and two of another family) behind it. */
export const CONTROL_FILES = {
  "tokenizer.json": withControls(JSON.parse(TALES_JSON) as { added_tokens: unknown[] }),
  "tokenizer_config.json": { bos_token: "<s>", eos_token: "</s>" },
};
export const controls: Tokenizer = await tokenizerOf(CONTROL_FILES);

function withControls<T extends { added_tokens: unknown[] }>(json: T): T {
  const added = CONTROLS.map((content, i) => ({
    id: 4096 + i,
    content,
    special: true,
    normalized: false,
    lstrip: false,
    rstrip: false,
    single_word: false,
  }));
  return { ...json, added_tokens: [...json.added_tokens, ...added] };
}

/**
 * Ids as the pieces that they stand for; bytes of a character that the vocabulary lacks as that
 * character, but for line ends.
 */
export function piecesOf(tokenizer: Tokenizer, ids: readonly number[]): string {
  const text = ids.map((id) => tokenizer.idToPiece(id)).join("");
  return text.replace(/<0x([2-7].)>/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** The control tokens among ids, by name. */
export function controlsIn(tokenizer: Tokenizer, ids: readonly number[]): string {
  return piecesOf(
    tokenizer,
    ids.filter((id) => tokenizer.isSpecial(id)),
  );
}

/** A vocabulary of Mistral's, where the shared fixtures are. */
export async function mistralTokenizer(name: "mistral-v1" | "mistral-v3"): Promise<Tokenizer> {
  return tokenizerOf({
    "tokenizer.model": new Uint8Array(readFileSync(inShared(`fixtures/tokenizers/${name}/tokenizer.model`).path)),
  });
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
