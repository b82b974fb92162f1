// Models that are split into several GGUF files, <base>-00001-of-00003.gguf.

import { WeightsError } from "../../errors.ts";
import type { Files } from "../files.ts";
import { type GgufHeader, readGgufHeader } from "./container.ts";
import { MAX_PARTS } from "./limits.ts";

const NAME = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/;

export function isGgufName(name: string): boolean {
  return /\.gguf$/i.test(name);
}

/** The name of part `no` (from 0) of `count`. */
function partName(base: string, no: number, count: number): string {
  const digits = (n: number): string => String(n).padStart(5, "0");
  return `${base}-${digits(no + 1)}-of-${digits(count)}.gguf`;
}

/**
 * Which of these files are models: a single file, or the first of several parts, whose other parts
 * are not listed.
 */
export function modelNames(names: readonly string[]): string[] {
  return names
    .filter(isGgufName)
    .filter((name) => {
      const found = NAME.exec(name);
      return found === null || Number(found[2]) === 1 || !names.includes(partName(found[1]!, 0, Number(found[3])));
    })
    .sort();
}

/** The files of a model by the name of any of them: itself, or all parts in order. */
export function partsOf(name: string): readonly string[] {
  const [, base, , of] = NAME.exec(name) ?? [];
  if (base === undefined || Number(of) < 1 || Number(of) > MAX_PARTS) return [name];
  return Array.from({ length: Number(of) }, (_, no) => partName(base, no, Number(of)));
}

/**
 * Reads the fronts of a model's files; `name` may be any of them.
 * @throws WeightsError for a part that is missing, or that belongs to another model
 */
export async function readParts(files: Files, name: string): Promise<readonly GgufHeader[]> {
  const given = await readGgufHeader(files, name);
  const count = given.metadata.integer("split.count", 1);
  if (count <= 1) return [given];
  if (count > MAX_PARTS) throw given.metadata.error("split.count", `expected at most ${MAX_PARTS}, found ${count}`);
  const [, base, , of] = NAME.exec(name) ?? [];
  if (base === undefined || Number(of) !== count)
    throw new WeightsError(
      `${files.label}: ${name} is one of ${count} parts of a model; their names must end in -00001-of-${String(count).padStart(5, "0")}.gguf and so on, as they were published`,
    );
  const names = partsOf(name);
  const missing: string[] = [];
  for (const part of names) if (part !== name && (await files.size(part)) === null) missing.push(part);
  if (missing.length > 0)
    throw new WeightsError(
      `${files.label}: ${name} is one of ${count} parts, and ${missing.slice(0, 20).join(", ")}${missing.length > 20 ? " and others" : ""} ${missing.length === 1 ? "is" : "are"} missing; download all parts into one folder`,
    );
  const headers: GgufHeader[] = [];
  for (const part of names) headers.push(part === name ? given : await readGgufHeader(files, part));
  checkParts(files.label, headers);
  return headers;
}

function checkParts(label: string, headers: readonly GgufHeader[]): void {
  const seen = new Map<string, string>();
  for (const [no, { file, metadata, tensors }] of headers.entries()) {
    const expect = (key: string, value: number): void => {
      const found = metadata.integer(key);
      if (found !== value)
        throw metadata.error(key, `expected ${value}, found ${found}: the file is a part of another model, or renamed`);
    };
    expect("split.no", no);
    expect("split.count", headers.length);
    for (const name of tensors.keys()) {
      const other = seen.get(name);
      if (other !== undefined)
        throw new WeightsError(
          `${label}: tensor ${name} is both in ${other} and in ${file}; one of the parts is of another model`,
        );
      seen.set(name, file);
    }
  }
  const total = headers[0]!.metadata.integer("split.tensors.count", seen.size);
  if (total !== seen.size)
    throw headers[0]!.metadata.error(
      "split.tensors.count",
      `expected ${seen.size} tensors, as the parts hold, found ${total}: one of the parts is of another model`,
    );
}
