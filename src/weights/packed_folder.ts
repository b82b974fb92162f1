// The layout of the folder that `hotset quantize` writes, known before any weight is converted.
//
//   config.json                     the original's, and a quantization_config that names the
//                                   matrices' formats (src/model/stored_formats.ts); comes last, by
//                                   a rename: a folder without it is not whole
//   model-00001-of-00033.safetensors, ...   a shard a layer, and one of what is outside of the
//   layers
//   model.safetensors.index.json    which tensor is in which shard
//   hotset-checksums.json           sha256 of every header, tensor and small file
//   tokenizer.json, ...             the small files of the original, as they were
//
// A shard is a safetensors file whose data starts at a multiple of a page (its header is padded
// with spaces) and has no holes. Its experts come first: each is one U8 tensor, a record of whole
// pages (tensor/record.ts), so that every record starts at a multiple of a page of its file. Then
// come matrices in panels of eight rows (U8), then what stays F32. While it is being written, the
// folder also holds a journal (node_journal.ts) and a lock (node_lock.ts).

import { RECORD_ALIGN } from "../tensor/record.ts";

export const INDEX = "model.safetensors.index.json";
export const CHECKSUMS = "hotset-checksums.json";
/** Prefix of the temporary files in a folder that is being written. */
export const WORK_FILES = "hotset-quantize.";
export const JOURNAL = `${WORK_FILES}journal`;
export const LOCK = `${WORK_FILES}lock`;

/** The message for a folder with a journal and without config.json. */
export const HALF_WRITTEN =
  "is half-written by `hotset quantize`; run the same command again and it goes on where it stopped";

export interface ShardTensor {
  readonly name: string;
  readonly dtype: "U8" | "F32";
  readonly shape: readonly number[];
}

/** Bytes [begin, end) of a file. */
export interface Part {
  /** The tensor, or null for a header or a whole small file. */
  readonly tensor: string | null;
  readonly begin: number;
  readonly end: number;
}

export interface Shard {
  readonly file: string;
  /** Bytes of the whole file. */
  readonly bytes: number;
  readonly header: Uint8Array;
  /** The header and then the tensors, in the order of their bytes. */
  readonly parts: readonly Part[];
}

/** Lays out the shards of a folder. @param metadata for each shard's __metadata__ */
export function layOutShards(
  shards: readonly (readonly ShardTensor[])[],
  metadata: Readonly<Record<string, string>>,
): Shard[] {
  const digits = (n: number): string => String(n).padStart(5, "0");
  return shards.map((tensors, i) =>
    layOutShard(`model-${digits(i + 1)}-of-${digits(shards.length)}.safetensors`, tensors, metadata),
  );
}

function layOutShard(file: string, tensors: readonly ShardTensor[], metadata: Readonly<Record<string, string>>): Shard {
  let at = 0;
  const placed = tensors.map(({ name, dtype, shape }) => {
    const begin = at;
    at += shape.reduce((product, size) => product * size, dtype === "F32" ? 4 : 1);
    return { name, begin, end: at, entry: { dtype, shape, data_offsets: [begin, at] } };
  });
  const entries = placed.map(({ name, entry }) => [name, entry] as const);
  const json = new TextEncoder().encode(JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(entries) }));
  const start = Math.ceil((8 + json.length) / RECORD_ALIGN) * RECORD_ALIGN;
  const header = new Uint8Array(start).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(start - 8), true);
  header.set(json, 8);
  const parts: Part[] = [{ tensor: null, begin: 0, end: start }];
  for (const { name, begin, end } of placed) parts.push({ tensor: name, begin: start + begin, end: start + end });
  return { file, bytes: start + at, header, parts };
}

/** model.safetensors.index.json of these shards. */
export function indexJson(shards: readonly Shard[]): string {
  let total = 0;
  const map: [string, string][] = [];
  for (const { file, parts } of shards) {
    for (const { tensor, begin, end } of parts) {
      if (tensor === null) continue;
      total += end - begin;
      map.push([tensor, file]);
    }
  }
  return `${JSON.stringify({ metadata: { total_size: total }, weight_map: Object.fromEntries(map) }, null, 2)}\n`;
}

/** Input files that are not copied: weights, lists of weights, repository files. */
const NOT_COPIED =
  /^\.|\.(safetensors|bin|pt|pth|gguf|ggml|onnx|h5|msgpack|ckpt|npz)$|\.index\.json$|^config\.json$|^hotset-(quantize\.|checksums\.json$)/;
/** Larger than any tokenizer. */
export const SMALL_FILE = 64 * 2 ** 20;

/** Subfolders whose small files are copied too. */
export const COPIED_FOLDERS = ["additional_chat_templates"] as const;

/** Whether a file of the original is copied unchanged. */
export function isSmallFile(name: string, bytes: number): boolean {
  return !NOT_COPIED.test(name) && bytes <= SMALL_FILE;
}
