// Finds the files of a tokenizer that a user names: a folder, a GGUF file, or a tokenizer file.

import { WeightsError } from "../errors.ts";
import type { Files, Opened } from "../weights/files.ts";
import { isGguf, smallFilesOf } from "../weights/folder.ts";

/** Files that are read of every folder, whether they exist or not. */
export const TOKENIZER_FILES: readonly string[] = [
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "tokenizer.json",
];

/** Files that are a tokenizer each, the one that is read first in front. */
const TOKENIZERS: readonly string[] = ["tokenizer.json", "tokenizer.model"];

/** What the path of a tokenizer leads to, in words. */
export const TOKENIZER_PLACES = "a folder with tokenizer.json or tokenizer.model, one of these files, or a GGUF file";

/**
 * The folder to read a tokenizer and chat templates from; closing it closes the files.
 * @throws WeightsError for a file that holds no tokenizer. The files are closed then.
 */
export async function tokenizerFiles({ files, file }: Opened): Promise<Files> {
  const kind = file === null ? null : /\.(json|model)$/.exec(file)?.[0];
  if (file !== null && kind) return alone(files, file, `tokenizer${kind}`);
  if (file === null) for (const name of TOKENIZERS) if ((await files.size(name)) !== null) return files;
  if (file !== null && !(await isGguf(files, file))) {
    await files.close();
    throw new WeightsError(`${files.label}/${file}: expected ${TOKENIZER_PLACES}; found another file`);
  }
  return smallFilesOf({ files, file });
}

/** The folder around `file` as if that were its only tokenizer, named `name` as readers expect. */
function alone(files: Files, file: string, name: string): Files {
  const stored = (asked: string): string | null => {
    if (asked === name) return file;
    return TOKENIZERS.includes(asked) ? null : asked;
  };
  return {
    // messages name the file that readers expect: this says which one it was
    label: file === name ? files.label : `${files.label} (${file})`,
    list: (subfolder) => files.list(subfolder),
    size: async (asked) => {
      const found = stored(asked);
      return found === null ? null : files.size(found);
    },
    read: async (asked, offset, into) => {
      const found = stored(asked);
      if (found === null) throw new WeightsError(`${files.label}: ${asked} is missing`);
      await files.read(found, offset, into);
    },
    close: () => files.close(),
  };
}
