// Which tokens end a text by the tokenizer's files: each that names one counts, since published folders contradict themselves.

import type { FolderConfig } from "./folder_config.ts";
import type { TokenizerSpec } from "./types.ts";

/** Ends of texts, turns and messages by the names that published models give them (llama.cpp, src/llama-vocab.cpp). */
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
] as const;

/** Where all of `with` are there, `name` ends a part of an answer and not the answer (harmony, Solar). */
const PARTS = [
  { name: "<|end|>", with: ["<|return|>", "<|call|>"] },
  { name: "<|end|>", with: ["<|calls|>", "<|flush|>"] },
] as const;

/** The ids that end a text by the tokenizer's own files, the one that they call EOS first. */
export function endsOfText(spec: TokenizerSpec, config: FolderConfig): readonly number[] {
  const added = new Map(spec.added.map((token) => [token.content, token.id]));
  const parts = PARTS.filter((part) => part.with.every((name) => added.has(name))).map(({ name }) => name as string);
  const named = config.endTokens.flatMap((name) => added.get(name) ?? spec.pieces.indexOf(name));
  const known = ENDS.filter((name) => !parts.includes(name)).flatMap((name) => added.get(name) ?? []);
  return [...new Set([...spec.eosIds, ...named, ...known])].filter((id) => id >= 0);
}
