// hotset-checksums.json: the sha256 of every part of a quantized folder's files, and
// what made them.

import { WeightsError } from "../errors.ts";
import { isPlainPath } from "./files.ts";
import type { Part } from "./packed_folder.ts";

export interface SummedPart extends Part {
  /** 64 hexadecimal digits. */
  readonly sha256: string;
}

export interface Checksums {
  /** What made the folder: version, source and format of the weights. */
  readonly made: Readonly<Record<string, string>>;
  /** By file name: parts that cover the whole file. */
  readonly files: Readonly<Record<string, readonly SummedPart[]>>;
}

export function checksumsJson({ made, files }: Checksums): string {
  const lines = Object.entries(files).map(([name, parts]) => {
    const rows = parts.map(({ tensor, begin, end, sha256 }) => `   ${JSON.stringify({ tensor, begin, end, sha256 })}`);
    return `  ${JSON.stringify(name)}: [\n${rows.join(",\n")}\n  ]`;
  });
  return `{"made": ${JSON.stringify(made)},\n "files": {\n${lines.join(",\n")}\n }}\n`;
}

/** Parses the output of checksumsJson(). @throws WeightsError saying what differs */
export function parseChecksums(raw: unknown, where: string): Checksums {
  const fail = (expected: string): never => {
    throw new WeightsError(`${where}: expected ${expected}: the file is damaged; quantize the original again`);
  };
  if (!isObject(raw) || !isObject(raw.files) || !isObject(raw.made)) return fail('objects "made" and "files"');
  const made: Record<string, string> = {};
  for (const [key, value] of Object.entries(raw.made)) made[key] = String(value);
  const files: Record<string, readonly SummedPart[]> = {};
  for (const [name, parts] of Object.entries(raw.files)) {
    if (!isPlainPath(name)) fail(`names of files in this folder, found ${JSON.stringify(name).slice(0, 80)}`);
    if (!Array.isArray(parts)) return fail(`a list of parts of ${name}`);
    let at = 0;
    files[name] = parts.map((part: unknown): SummedPart => {
      if (!isObject(part)) return fail(`a list of parts of ${name}`);
      const { tensor, begin, end, sha256 } = part;
      if (begin !== at || !Number.isSafeInteger(end) || (end as number) < at) fail(`parts of ${name} without a gap`);
      if (tensor !== null && typeof tensor !== "string") return fail(`names of tensors in ${name}`);
      if (typeof sha256 !== "string" || !/^[0-9a-f]{64}$/.test(sha256)) return fail(`sha256 of a part of ${name}`);
      at = end as number;
      return { tensor, begin: begin as number, end: at, sha256 };
    });
  }
  return { made, files };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
