// Tokenizers that the tests share, and the smallest files that make one.

import { readFileSync } from "node:fs";
import { openTokenizer, type Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { inRepo } from "../support/fixtures.ts";
import { memoryFiles } from "../weights/memory_files.ts";

export type Contents = Readonly<Record<string, Uint8Array | string>>;

export const TALES_JSON = readFileSync(inRepo("models/tales/tokenizer.json"), "utf8");
export const TALES_MODEL: Uint8Array = readFileSync(inRepo("models/tales/tokenizer.model"));

/**
 * The tokenizer of a folder that holds these files; values that are no bytes are written as JSON.
 */
export function tokenizerOf(contents: Readonly<Record<string, unknown>>): Promise<Tokenizer> {
  const files = Object.entries(contents).map(([name, content]) => {
    const asItIs = typeof content === "string" || content instanceof Uint8Array;
    return [name, asItIs ? content : JSON.stringify(content)] as const;
  });
  return openTokenizer(memoryFiles(Object.fromEntries(files)));
}

/**
 * models/tales' tokenizer, from either of its files. tokenizer.json does not say which
 * token is EOS.
 */
export const talesFromJson = await tokenizerOf({
  "tokenizer.json": TALES_JSON,
  "tokenizer_config.json": readFileSync(inRepo("models/tales/tokenizer_config.json"), "utf8"),
});
export const talesFromModel = await tokenizerOf({ "tokenizer.model": TALES_MODEL });

export function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(inRepo(path), "utf8")) as T;
}

/**
 * Protobuf fields as bytes: numbers are varints (negative ones as int32 writes them),
 * floats are fixed32.
 */
export function message(...fields: readonly (readonly [number, number | string | Uint8Array | { float: number }])[]) {
  const out: number[] = [];
  const varint = (value: bigint): void => {
    let rest = BigInt.asUintN(64, value);
    for (; rest >= 128n; rest >>= 7n) out.push(Number(rest & 127n) | 128);
    out.push(Number(rest));
  };
  for (const [number, value] of fields) {
    if (typeof value === "number") {
      varint(BigInt(number * 8));
      varint(BigInt(value));
    } else if (typeof value === "object" && "float" in value) {
      varint(BigInt(number * 8 + 5));
      out.push(...new Uint8Array(Float32Array.of(value.float).buffer));
    } else {
      const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
      varint(BigInt(number * 8 + 2));
      varint(BigInt(bytes.length));
      for (const byte of bytes) out.push(byte);
    }
  }
  return Uint8Array.from(out);
}

export const NORMAL = 1;
export const UNKNOWN = 2;
export const CONTROL = 3;
export const USER_DEFINED = 4;
export const UNUSED = 5;
export const BYTE = 6;

export function piece(text: string, score = 0, kind = NORMAL): Uint8Array {
  return message([1, text], [2, { float: score }], [3, kind]);
}

export interface ModelParts {
  readonly pieces?: readonly Uint8Array[];
  readonly trainer?: Uint8Array;
  readonly normalizer?: Uint8Array;
}

/**
 * A SentencePiece model: <unk>, <s>, </s>, then `pieces`; BPE, identity, a space in front, unless
 * told otherwise.
 */
export function sentencePieceModel({ pieces = [piece("▁"), piece("a")], trainer, normalizer }: ModelParts): Uint8Array {
  const special = [piece("<unk>", 0, UNKNOWN), piece("<s>", 0, CONTROL), piece("</s>", 0, CONTROL)];
  return message(
    ...[...special, ...pieces].map((bytes) => [1, bytes] as const),
    [2, trainer ?? message([3, 2])],
    [3, normalizer ?? message([1, "identity"], [3, 1], [4, 0], [5, 1])],
  );
}
