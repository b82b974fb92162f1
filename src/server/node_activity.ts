// Keeps the server's activity on the disk: files that only grow, one for each server and day, so
// that servers that share the folder never write to each other's.
//
// What was counted is appended every second; a process that is killed loses no more, and the line
// that it was at is passed over. A file that has grown large is replaced by its sums (written
// beside it, then renamed), and so is one of an earlier day. The oldest files are removed.

import { randomUUID } from "node:crypto";
import { appendFile, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  type Activity,
  activityOf,
  type Entry,
  entryIn,
  entryOf,
  lineOf,
  SPANS,
  type Span,
  Sums,
  upEntry,
} from "./activity.ts";
import type { RequestSummary } from "./tracked_request.ts";

export interface ActivityLog {
  /** Counts a finished request. */
  request(record: RequestSummary): void;
  read(span: Span): Promise<Activity>;
  /** Writes what was counted. */
  close(): Promise<void>;
}

export interface ActivityOptions {
  /** Told once if the folder cannot be written. */
  readonly warn?: (message: string) => void;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** Between two writes. */
  readonly flushMs?: number;
  /** Bytes after which a file is replaced by its sums. */
  readonly compactBytes?: number;
}

const FILE = /^(\d{4}-\d\d-\d\d)\.[\w-]+\.jsonl$/;
const DRAFT = /^\d{4}-\d\d-\d\d\.[\w-]+\.new$/;
const MINUTE = 60_000;
const DAY = 1440; // minutes
/** Days that are kept: those of the longest span, and those around it in other time zones. */
const KEPT_DAYS = 32;
/** Beyond either, the oldest files are removed. */
const MOST_FILES = 1000;
const MOST_BYTES = 64 * 2 ** 20;
/** A file that another version of hotset, or something else, has left is not read beyond this. */
const MOST_READ = 16 * 2 ** 20;
/** Answers of read() are good for so long: pages of many people cost one. */
const FRESH_MS = 1000;

/** @param folder null: nothing is kept over restarts */
export function openActivity(folder: string | null, options: ActivityOptions = {}): ActivityLog {
  const { warn = () => {}, now = Date.now, flushMs = 1000, compactBytes = 2 ** 20 } = options;
  const id = randomUUID();
  let day = dayOf(now());
  let part = 0;
  let waiting = new Sums();
  let dirty = false;
  let own = new Sums(widthAt(now()));
  let bytes = 0; // of the own file
  let limit = compactBytes;
  let torn = false; // the last write failed, perhaps in the middle of a line
  let warned = false;
  let timer: ReturnType<typeof setTimeout> | null = null;
  let work: Promise<void> = Promise.resolve(); // one after the other
  const answers = new Map<Span, { readonly at: number; readonly activity: Promise<Activity> }>();

  const fileName = (): string => `${day}.${id}-${part}.jsonl`;

  function add(entry: Entry): void {
    const today = dayOf(entry.minute * MINUTE);
    if (today !== day) turnTo(today); // also where the clock was set back
    waiting.add(entry);
    own.add(entry);
    dirty = true;
    if (folder !== null) timer ??= setTimeout(() => void flush(), flushMs).unref();
  }

  /** Another day begins: what was counted so far belongs to the file of the day before. */
  function turnTo(today: string): void {
    void flush();
    day = today;
    part++;
    bytes = 0;
    limit = compactBytes;
    if (folder === null) {
      const all = new Sums(widthAt(now()));
      for (const entry of own.entries) if (entry.minute * MINUTE > now() - KEPT_DAYS * DAY * MINUTE) all.add(entry);
      own = all;
    } else {
      own = new Sums(widthAt(now()));
      inTurn(() => tidy(folder, now()));
    }
  }

  function inTurn(then: () => Promise<void>): Promise<void> {
    work = work.then(then).catch((error: unknown) => {
      if (!warned) warn(`activity is not kept: ${(error as Error).message}`);
      warned = true;
    });
    return work;
  }

  function flush(): Promise<void> {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    if (!dirty || folder === null) return work;
    const text = waiting.entries.map((entry) => `${lineOf(entry)}\n`).join("");
    waiting = new Sums();
    dirty = false;
    const path = join(folder, fileName());
    const written = day;
    return inTurn(async () => {
      const whole = torn ? `\n${text}` : text;
      torn = true;
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await appendFile(path, whole, { mode: 0o600 });
      torn = false;
      if (written !== day) return;
      bytes += Buffer.byteLength(whole);
      if (bytes <= limit) return;
      const sums = new Sums(widthAt(now()));
      for (const entry of own.entries) sums.add(entry);
      own = sums;
      bytes = await replace(folder, path, sums.entries);
      limit = Math.max(compactBytes, 2 * bytes);
    });
  }

  async function compute(span: Span): Promise<Activity> {
    await flush();
    const { step, steps } = SPANS[span];
    const since = now() - (step * steps + DAY) * MINUTE;
    let found: readonly Entry[] = [];
    if (folder !== null && !warned)
      await inTurn(async () => {
        found = await entriesOf(folder, fileName(), since);
      });
    return activityOf([...found, ...own.entries], span, now(), folder !== null && !warned);
  }

  const mark = (): void => add(upEntry(now()));
  mark();
  const ticks = setInterval(mark, MINUTE).unref();
  if (folder !== null) inTurn(() => tidy(folder, now()));
  return {
    request: (record) => add(entryOf(record, now())),
    read(span) {
      const known = answers.get(span);
      const at = performance.now();
      if (known && at - known.at < FRESH_MS) return known.activity;
      const activity = compute(span);
      answers.set(span, { at, activity });
      return activity;
    },
    async close() {
      clearInterval(ticks);
      await flush();
    },
  };
}

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

/** Minutes of the last two hours stay apart, then quarters of the last two days, then hours. */
function widthAt(now: number): (minute: number) => number {
  const present = Math.floor(now / MINUTE);
  return (minute) => (minute > present - 120 ? 1 : minute > present - 2 * DAY ? 15 : 60);
}

/** Replaces a file as a whole; returns its bytes. */
async function replace(folder: string, path: string, entries: readonly Entry[]): Promise<number> {
  const text = entries.map((entry) => `${lineOf(entry)}\n`).join("");
  const draft = join(folder, `${dayOf(Date.now())}.${randomUUID()}.new`);
  try {
    await writeFile(draft, text, { flush: true, mode: 0o600 });
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
  return Buffer.byteLength(text);
}

/** Whole lines of a file; none of one that was removed meanwhile. */
async function linesOf(path: string): Promise<Entry[]> {
  try {
    if ((await stat(path)).size > MOST_READ) return [];
    const text = await readFile(path, "utf8");
    return text.split("\n").flatMap((line) => (line === "" ? [] : (entryIn(line) ?? [])));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** Names of files, the oldest day first. */
async function filesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).filter((name) => FILE.test(name)).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** Entries of all files but one that may have some after `since`. */
async function entriesOf(folder: string, except: string, since: number): Promise<Entry[]> {
  const first = dayOf(since);
  const all: Entry[] = [];
  for (const name of await filesIn(folder)) {
    if (name === except || name.slice(0, first.length) < first) continue;
    for (const entry of await linesOf(join(folder, name))) all.push(entry);
  }
  return all;
}

/** Removes what is too old or too much, and what a killed server left; sums up earlier days. */
async function tidy(folder: string, now: number): Promise<void> {
  const oldest = dayOf(now - KEPT_DAYS * DAY * MINUTE);
  const hourly = dayOf(now - 3 * DAY * MINUTE);
  const names = await filesIn(folder);
  let room = MOST_BYTES;
  for (const [i, name] of names.toReversed().entries()) {
    const path = join(folder, name);
    const size = (await stat(path).catch(() => null))?.size ?? 0;
    room -= size;
    if (name < oldest || i >= MOST_FILES || room < 0) await rm(path, { force: true });
    else if (name < hourly) await sumUp(folder, path);
  }
  for (const name of await readdir(folder).catch(() => []))
    if (DRAFT.test(name) && name < dayOf(now - DAY * MINUTE)) await rm(join(folder, name), { force: true });
}

/** Servers that do this at once write the same. */
async function sumUp(folder: string, path: string): Promise<void> {
  const entries = await linesOf(path);
  if (entries.every(({ width }) => width >= 60)) return;
  const sums = new Sums(() => 60);
  for (const entry of entries) sums.add(entry);
  await replace(folder, path, sums.entries);
}
