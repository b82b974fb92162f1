// The request that a branch of a conversation makes.

import type { ChatRequest, CompletionRequest, Message } from "../engine.ts";
import type { Conversation, Node } from "./conversation.ts";
import { formatOf, type Settings, toolsOf } from "./settings.ts";

/** Likeliest tokens that are asked for at each place. */
const ALTERNATIVES = 8;
/** The legacy API would write 16 tokens. */
const TEXT_TOKENS = 256;

export type Request =
  | { readonly kind: "chat"; readonly request: ChatRequest }
  | { readonly kind: "text"; readonly request: CompletionRequest };

/**
 * @param branch the messages to answer; a last one of the assistant is continued
 * @throws SettingsError
 */
export function requestOf(
  { kind, settings }: Pick<Conversation, "kind" | "settings">,
  branch: readonly Node[],
  model: string,
): Request {
  const format = formatOf(settings);
  const common = {
    model,
    sampling: { ...settings.sampling, ...(settings.stop.length > 0 && { stop: settings.stop }) },
    ...(format !== null && { format }),
    ...(settings.probabilities && { alternatives: ALTERNATIVES }),
  };
  if (kind === "text") {
    const prompt = branch.map(({ message }) => message.content).join("");
    const sampling = { max_tokens: TEXT_TOKENS, ...common.sampling };
    return { kind, request: { ...common, sampling, prompt } };
  }
  const tools = toolsOf(settings);
  const messages = [...systemMessage(settings), ...branch.map(({ message }) => message)];
  return { kind, request: { ...common, messages, ...(tools.length > 0 && { tools }) } };
}

function systemMessage({ system }: Settings): readonly Message[] {
  return system.trim() === "" ? [] : [{ role: "system", content: system }];
}
