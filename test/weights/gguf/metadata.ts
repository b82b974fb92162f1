// Metadata made by hand: JavaScript's values as a GGUF file would hold them.

import type { Files } from "../../../src/weights/files.ts";
import { Metadata, Texts, type Value } from "../../../src/weights/gguf/metadata.ts";
import { smallFiles } from "../../../src/weights/gguf/small_files.ts";
import { memoryFiles } from "../memory_files.ts";

/** The small files of a file with this metadata, all of them made. */
export function folderOf(m: Metadata): Files {
  return memoryFiles(Object.fromEntries([...smallFiles(m)].map(([name, make]) => [name, make()])));
}

export type Plain = string | number | boolean | readonly string[] | Float32Array | Int32Array;

/** Strings are strings, whole numbers u32 (below zero i32), others f32. */
export function metadataOf(entries: Readonly<Record<string, Plain>>): Metadata {
  return new Metadata("model.gguf", new Map(Object.entries(entries).map(([key, value]) => [key, toValue(value)])));
}

function toValue(value: Plain): Value {
  if (typeof value === "string") return { kind: "string", value };
  if (typeof value === "boolean") return { kind: "bool", value };
  if (typeof value === "number") {
    if (!Number.isInteger(value)) return { kind: "f32", value: Math.fround(value) };
    return { kind: value < 0 ? "i32" : "u32", value };
  }
  if (value instanceof Float32Array) return { kind: "array", element: "f32", value };
  if (value instanceof Int32Array) return { kind: "array", element: "i32", value };
  return { kind: "array", element: "string", value: textsOf(value) };
}

function textsOf(list: readonly string[]): Texts {
  const parts = list.map((text) => new TextEncoder().encode(text));
  const ends = new Uint32Array(parts.length);
  let length = 0;
  for (const [i, part] of parts.entries()) {
    length += part.length;
    ends[i] = length;
  }
  const bytes = new Uint8Array(length);
  for (const [i, part] of parts.entries()) bytes.set(part, ends[i]! - part.length);
  return new Texts(bytes, ends);
}
