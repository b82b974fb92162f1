// Another token in place of one of an answer's: what the answer is then, up to there.

import type { TokenChoice, TokenShare } from "../engine.ts";
import type { Node } from "./conversation.ts";

/**
 * The tokens of an answer, if they say all of its text from where they begin; else none. A stop
 * text may have cut the last one.
 */
export function tokensToTheEnd({ message, tokens = [], tokensFrom = 0 }: Node): readonly TokenChoice[] {
  return decoded(tokens) === message.content.slice(tokensFrom) ? tokens : [];
}

/**
 * The beginning of an answer with `choice` as its token number `at`, or null where that is no text:
 * the token is only a part of a character.
 */
export function chosenInstead(node: Node, at: number, choice: TokenShare): Node | null {
  const { tokens = [], tokensFrom = 0, message } = node;
  const place = tokens[at];
  if (place === undefined || message.role !== "assistant") return null;
  const kept: readonly TokenChoice[] = [...tokens.slice(0, at), { ...choice, top: place.top }];
  const text = decoded(kept);
  if (text === null) return null;
  const { end: _, ...rest } = node;
  const content = message.content.slice(0, tokensFrom) + text;
  return { ...rest, message: { ...message, content }, tokens: kept };
}

/**
 * The tokens of a finished text, where the token that ends it may be named as if it were a part:
 * "</s>". It, and alternatives of its name, get no bytes.
 * @param text what all tokens but that one say
 */
export function withoutEndText(tokens: readonly TokenChoice[], text: string): readonly TokenChoice[] {
  const last = tokens.at(-1);
  if (last === undefined || decoded(tokens) === text || decoded(tokens.slice(0, -1)) !== text) return tokens;
  const clear = <T extends TokenShare>(one: T): T => (one.text === last.text ? { ...one, bytes: [] } : one);
  return tokens.map((token) => ({ ...clear(token), top: token.top.map(clear) }));
}

/** The text of tokens; null where they end within a character. */
function decoded(tokens: readonly TokenShare[]): string | null {
  const bytes = Uint8Array.from(tokens.flatMap((token) => token.bytes));
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** A probability in percent, as people read it. */
export function percent(logprob: number): string {
  const share = 100 * Math.exp(logprob);
  return share >= 99.95 ? "100 %" : share >= 0.1 ? `${share.toFixed(1)} %` : share > 0 ? "< 0.1 %" : "0 %";
}

/** The step of the colour scale for a probability: 0, nearly certain, to 5. */
export function stepOf(logprob: number): number {
  const share = Math.exp(logprob);
  const steps = [0.9, 0.6, 0.3, 0.1, 0.02];
  const found = steps.findIndex((least) => share >= least);
  return found < 0 ? steps.length : found;
}

/** A token as it is shown where white space must be seen. */
export function visible(text: string): string {
  if (text === "") return "(end)";
  return text.replaceAll(" ", "\u00B7").replaceAll("\n", "\u21B5").replaceAll("\t", "\u21E5");
}
