// Verifies every byte of a packed folder against its checksums (Node only).

import { createHash } from "node:crypto";
import { WeightsError } from "../errors.ts";
import { parseChecksums } from "./checksums.ts";
import { type Files, readJson } from "./files.ts";
import { CHECKSUMS, HALF_WRITTEN, JOURNAL } from "./packed_folder.ts";

const PIECE = 8 * 2 ** 20;
const CHECKSUMS_LIMIT = 64 * 2 ** 20;

/** The sha256 of bytes [begin, end) of a file, in hexadecimal digits. */
export async function sha256Of(
  files: Files,
  file: string,
  begin: number,
  end: number,
  onBytes: (bytes: number) => void = () => {},
  signal?: AbortSignal,
): Promise<string> {
  const hash = createHash("sha256");
  const buffer = new Uint8Array(Math.min(PIECE, end - begin));
  for (let at = begin; at < end; at += buffer.length) {
    signal?.throwIfAborted();
    const piece = buffer.subarray(0, Math.min(buffer.length, end - at));
    await files.read(file, at, piece);
    hash.update(piece);
    onBytes(piece.length);
  }
  return hash.digest("hex");
}

/**
 * Checks every byte that a packed folder's checksums cover.
 * @returns the number of those bytes
 * @throws WeightsError naming the file, tensor and bytes of the first part that differs
 */
export async function verifyFolder(
  files: Files,
  onProgress: (done: number, total: number) => void = () => {},
  signal?: AbortSignal,
): Promise<number> {
  const { label } = files;
  const raw = await readJson(files, CHECKSUMS, CHECKSUMS_LIMIT);
  const unfinished = (await files.size(JOURNAL)) !== null && (await files.size("config.json")) === null;
  if (unfinished) throw new WeightsError(`${label} ${HALF_WRITTEN}`);
  if (raw === undefined)
    throw new WeightsError(`${label}: ${CHECKSUMS} is missing: this is not a folder that \`hotset quantize\` wrote`);
  const list = Object.entries(parseChecksums(raw, `${label}: ${CHECKSUMS}`).files);
  const total = list.reduce((sum, [, parts]) => sum + (parts.at(-1)?.end ?? 0), 0);
  let done = 0;
  for (const [file, parts] of list) {
    const wanted = parts.at(-1)?.end ?? 0;
    const size = await files.size(file);
    if (size !== wanted)
      throw new WeightsError(
        `${label}: ${file}: expected ${wanted} bytes, found ${size ?? "no such file"}; quantize the original again`,
      );
    for (const { tensor, begin, end, sha256 } of parts) {
      const count = (bytes: number): void => {
        done += bytes;
        onProgress(done, total);
      };
      if ((await sha256Of(files, file, begin, end, count, signal)) === sha256) continue;
      const what = tensor === null ? (parts.length > 1 ? "the header" : "the file") : `tensor ${tensor}`;
      throw new WeightsError(
        `${label}: ${file}: ${what} (bytes ${begin} to ${end}) is not as it was written: its sha256 differs from that in ${CHECKSUMS}; quantize the original again`,
      );
    }
  }
  return total;
}
