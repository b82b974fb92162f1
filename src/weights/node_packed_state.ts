// Checks what an output folder contains: nothing, part of the same job, all of it, or something
// else (Node only).

import { readdir, stat, statfs, unlink } from "node:fs/promises";
import { join } from "node:path";
import { WeightsError } from "../errors.ts";
import { type Checksums, parseChecksums } from "./checksums.ts";
import { readJson } from "./files.ts";
import { nodeFiles } from "./node_files.ts";
import { type Job, Journal, type JournalEntry } from "./node_journal.ts";
import { sha256Of } from "./node_verify.ts";
import { CHECKSUMS, JOURNAL, LOCK, type Part, type Shard, WORK_FILES } from "./packed_folder.ts";

/** How many of the journal's last parts are verified before a run is resumed. */
const RECHECKED = 4;
export const CONFIG = "config.json";
const CHECKSUMS_LIMIT = 64 * 2 ** 20;

/** All parts in writing order. */
export function partsOf(shards: readonly Shard[]): { readonly shard: Shard; readonly part: Part }[] {
  return shards.flatMap((shard) => shard.parts.map((part) => ({ shard, part })));
}

/**
 * @throws WeightsError unless the folder is empty, incomplete or complete: anything else is not
 * ours
 */
export async function refuseForeign(folder: string, job: Job): Promise<"whole" | "to be written"> {
  const names = (await readdir(folder)).filter((name) => name !== LOCK);
  if (names.includes(JOURNAL)) {
    if (!names.includes(CONFIG)) return "to be written";
    await Journal.read(folder, job); // killed after the last rename: rejects another job
    await clear(folder);
    return "whole";
  }
  const other = names.find((name) => !name.startsWith(WORK_FILES));
  if (other === undefined) return "to be written";
  if (!names.includes(CHECKSUMS) || !names.includes(CONFIG))
    throw new WeightsError(
      `${folder} is not empty (it holds ${other}) and not half-written by \`hotset quantize\`; name a folder that does not exist yet`,
    );
  const { made } = await readChecksums(folder);
  const same = (["hotset", "format", "source", "weights"] as const).every((key) => made[key] === job[key]);
  if (same) return "whole";
  throw new WeightsError(
    `${folder} holds ${made.weights} weights of ${made.source} already, by hotset ${made.hotset}; remove it to write ${job.weights} weights of ${job.source} there`,
  );
}

async function readChecksums(folder: string): Promise<Checksums> {
  const files = await nodeFiles(folder);
  try {
    return parseChecksums(await readJson(files, CHECKSUMS, CHECKSUMS_LIMIT), `${folder}: ${CHECKSUMS}`);
  } finally {
    await files.close();
  }
}

/** The journal's parts that belong to the job; the last ones are compared with the files. */
export async function stillThere(
  folder: string,
  entries: readonly JournalEntry[],
  shards: readonly Shard[],
): Promise<JournalEntry[]> {
  const parts = partsOf(shards);
  const other = entries.findIndex(({ file, tensor, begin, end }, i) => {
    const wanted = parts[i];
    return (
      !wanted ||
      wanted.shard.file !== file ||
      wanted.part.tensor !== tensor ||
      wanted.part.begin !== begin ||
      wanted.part.end !== end
    );
  });
  const good = entries.slice(0, other < 0 ? entries.length : other);
  const sizes = new Map<string, number>();
  for (const file of new Set(good.map(({ file }) => file)))
    sizes.set(file, (await stat(join(folder, file)).catch(() => null))?.size ?? 0);
  const cut = good.findIndex(({ file, end }) => end > sizes.get(file)!);
  if (cut >= 0) good.length = cut;
  if (good.length === 0) return good;
  const files = await nodeFiles(folder);
  try {
    for (let checked = good.length - 1, known = 0; checked >= 0 && known < RECHECKED; checked--, known++) {
      const { file, begin, end, sha256 } = good[checked]!;
      if ((await sha256Of(files, file, begin, end)) === sha256) continue;
      good.length = checked;
      known = -1; // verify the parts before it again
    }
  } finally {
    await files.close();
  }
  return good;
}

/** @throws WeightsError if the remaining parts do not fit on the disk (if its size is known) */
export async function refuseFull(folder: string, shards: readonly Shard[]): Promise<void> {
  let missing = 0;
  for (const { file, bytes } of shards) {
    const found = await stat(join(folder, file)).catch(() => null);
    missing += Math.max(0, bytes - (found?.size ?? 0));
  }
  const { blocks, bavail, bsize } = await statfs(folder);
  if (blocks > 0 && missing > bavail * bsize)
    throw new WeightsError(
      `${folder}: ${gigabytes(missing)} are still to be written and its disk has ${gigabytes(bavail * bsize)} free; make room, or name a folder on another disk`,
    );
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(2)} GB`;
}

/** Removes a folder's temporary files. The lock is released by its holder. */
export async function clear(folder: string): Promise<void> {
  const names = await readdir(folder);
  // The journal last: while it exists, a later run cleans up.
  const work = names.filter((name) => name.startsWith(WORK_FILES) && name !== LOCK && name !== JOURNAL);
  for (const name of [...work, JOURNAL]) await unlink(join(folder, name)).catch(() => {});
}
