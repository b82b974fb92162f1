// Collects the tokens that end a text. Every file that names one counts, because published folders
// contradict themselves.

import { SPACE_MARK } from "./characters.ts";
import type { FolderConfig } from "./folder_config.ts";
import type { TokenizerSpec } from "./types.ts";

/**
 * Names that published models give to ends of texts, turns and
 * messages (llama.cpp, src/llama-vocab.cpp).
 */
const ENDS = [
  "<|eot_id|>",
  "<|eom_id|>",
  "<|im_end|>",
  "<|end|>",
  "<|return|>",
  "<|call|>",
  "<|calls|>",
  "<|flush|>",
  "<end_of_turn>",
  "<|endoftext|>",
  "<|end_of_text|>",
  "<end_of_utterance>",
  "<EOT>",
  "_<EOT>",
  "[EOT]",
  "[EOS]",
  "<eos>",
  "<turn|>",
  // "<", full-width bars and low lines, as in DeepSeek's vocabularies
  `<${String.fromCharCode(0xff5c)}end${SPACE_MARK}of${SPACE_MARK}sentence${String.fromCharCode(0xff5c)}>`,
] as const;

/**
 * If the vocabulary has all of `with`, `name` ends a part of an answer, not the
 * answer (harmony, Solar).
 */
const PARTS = [
  { name: "<|end|>", with: ["<|return|>", "<|call|>"] },
  { name: "<|end|>", with: ["<|calls|>", "<|flush|>"] },
] as const;

/** The ids that end a text according to the tokenizer's own files, EOS first. */
export function endsOfText(spec: TokenizerSpec, config: FolderConfig): readonly number[] {
  const added = new Map(spec.added.map((token) => [token.content, token.id]));
  const parts = PARTS.filter((part) => part.with.every((name) => added.has(name))).map(({ name }) => name as string);
  const named = config.endTokens.flatMap((name) => added.get(name) ?? spec.pieces.indexOf(name));
  const known = ENDS.filter((name) => !parts.includes(name)).flatMap((name) => added.get(name) ?? []);
  return [...new Set([...spec.eosIds, ...named, ...known])].filter((id) => id >= 0);
}
