// The small files that a GGUF file stands for (tokenizer, templates, generation_config.json), made
// from its metadata when they are read.

import type { Metadata } from "./metadata.ts";

/** By path in the folder; a file whose maker returns null is not there. */
export function smallFiles(_metadata: Metadata): ReadonlyMap<string, () => Uint8Array | null> {
  return new Map();
}
