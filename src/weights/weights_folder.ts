// An open model's weights: the type that every kind of folder and file is opened as.

import type { WeightSource } from "../tensor/types.ts";
import type { Files } from "./files.ts";
import type { TensorEntry } from "./safetensors.ts";

/** What a file of weights holds. */
export interface FileHeader {
  /** File name. */
  readonly file: string;
  /** Size of the whole file in bytes. */
  readonly bytes: number;
  /** By the file's own names, in the order of their bytes. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
}

/**
 * An open folder, or a GGUF model seen as one. Only config.json, generation_config.json, the index
 * and the headers have been read.
 */
export interface WeightsFolder {
  /** The path of the folder or file, for messages. */
  readonly label: string;
  /** For the other files: readText(folder.files, "tokenizer.json", limit). */
  readonly files: Files;
  /** config.json as parsed; nothing in it has been checked. */
  readonly config: unknown;
  /** generation_config.json as parsed, or undefined if it does not exist. */
  readonly generationConfig: unknown;
  /** The files of weights. */
  readonly headers: readonly FileHeader[];
  readonly source: WeightSource;
  /** A sentence about a vocabulary that may be read otherwise than it was meant. */
  readonly tokenizerNote?: string | null;
  close(): Promise<void>;
}
