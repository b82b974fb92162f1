// The journal of a packed folder that is being written, so that a killed run can be resumed.
//
// Lines of JSON: first the job, then every part (a shard's header, a tensor) with its sha256, in
// writing order. A part's line is written when its bytes are on the disk. A truncated line has no
// newline and does not count.

import { type FileHandle, open, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { WeightsError } from "../errors.ts";
import type { SummedPart } from "./checksums.ts";
import { JOURNAL } from "./packed_folder.ts";

/** Source and settings. Two runs with the same job write the same bytes. */
export interface Job {
  readonly hotset: string;
  readonly format: string;
  readonly source: string;
  readonly weights: string;
  /** A hash of the names, sizes and times of the input files. */
  readonly input: string;
}

export interface JournalEntry extends SummedPart {
  readonly file: string;
}

export class Journal {
  readonly #handle: FileHandle;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /**
   * The parts in the folder's journal; null without one.
   * @throws WeightsError if it is another job's
   */
  static async read(folder: string, job: Job): Promise<JournalEntry[] | null> {
    let text: string;
    try {
      text = await readFile(join(folder, JOURNAL), "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
    const lines = text.split("\n").slice(0, -1);
    const begun = parse(lines[0] ?? "") as { job?: Partial<Job> } | null;
    if (begun?.job === undefined)
      throw new WeightsError(`${folder}: ${JOURNAL} is damaged; remove the folder and quantize again`);
    refuseOther(folder, begun.job, job);
    const entries: JournalEntry[] = [];
    for (const line of lines.slice(1)) {
      const entry = parse(line) as JournalEntry | null;
      if (entry === null) break;
      entries.push(entry);
    }
    return entries;
  }

  /** Replaces the journal by one with `entries`. */
  static async begin(folder: string, job: Job, entries: readonly JournalEntry[]): Promise<Journal> {
    const path = join(folder, JOURNAL);
    await writeFile(`${path}.new`, lines([{ job }, ...entries]), { flush: true });
    await rename(`${path}.new`, path);
    return new Journal(await open(path, "a"));
  }

  /** Adds parts whose bytes are synced to the disk. */
  async append(entries: readonly JournalEntry[]): Promise<void> {
    await this.#handle.appendFile(lines(entries));
    await this.#handle.datasync();
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

function lines(values: readonly object[]): string {
  return values.map((value) => `${JSON.stringify(value)}\n`).join("");
}

function parse(line: string): unknown {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}

function refuseOther(folder: string, begun: Partial<Job>, job: Job): void {
  const field = (Object.keys(job) as (keyof Job)[]).find((key) => begun[key] !== job[key]);
  if (field === undefined) return;
  const what = {
    hotset: `by hotset ${begun.hotset}; this is hotset ${job.hotset}`,
    format: `in format ${begun.format}; this hotset writes format ${job.format}`,
    source: `of ${begun.source}; this command names ${job.source}`,
    weights: `with ${begun.weights} weights; this command asks for ${job.weights}`,
    input: `of ${begun.source} when its files were others: their sizes or times have changed since`,
  }[field];
  throw new WeightsError(
    `${folder} is half-written by \`hotset quantize\` ${what}; run the command that it was begun with, or remove the folder`,
  );
}
