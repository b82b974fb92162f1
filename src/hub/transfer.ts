// Brings the missing bytes of a file over several connections; each range is tried again after a
// failure, from the byte where it broke off.

import { onAbort } from "../abort.ts";
import { abortReason, HubError } from "../errors.ts";
import type { Range } from "./ranges.ts";

/** Where a file comes from and where its bytes go. */
export interface Transfer {
  /** In messages. */
  readonly label: string;
  /** Of the whole file, in bytes. */
  readonly size: number;
  readonly missing: readonly Range[];
  readonly connections: number;
  /** A request for the file with these headers. @throws HubError for every answer but 2xx */
  request(headers: Record<string, string>, signal: AbortSignal): Promise<Response>;
  /** Called with bytes in the order of each range, and of several ranges at once. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  readonly signal: AbortSignal;
  /** How long a connection may send nothing, and the first wait before another try. For tests. */
  readonly stallMs?: number;
  readonly retryMs?: number;
  /** The most bytes of a request. For tests. */
  readonly partBytes?: number;
}

/** A request is for at most this many bytes. */
const PART = 32 * 2 ** 20;
/** Failures in a row, without a byte between them, after which a range is given up. */
const TRIES = 6;
const STALL_MS = 30_000;
const RETRY_MS = 1000;
/** The longest wait that a server's Retry-After can ask for, in seconds. */
const LONGEST_WAIT = 120;

/**
 * Writes every missing byte.
 * @throws HubError if the hub refuses or fails again and again, or sends another file's bytes; what
 * `write` throws; the reason of the signal
 */
export async function transfer(job: Transfer): Promise<void> {
  const parts = job.missing.flatMap(([begin, end]) => split(begin, end, job.partBytes ?? PART));
  const first = parts.shift();
  if (first === undefined) return;
  const failed = new AbortController();
  const signal = AbortSignal.any([job.signal, failed.signal]);
  // The first part alone shows whether the server answers ranges.
  if (!(await bring(job, first, signal))) return;
  const work = async (): Promise<void> => {
    for (let part = parts.shift(); part !== undefined; part = parts.shift()) await bring(job, part, signal);
  };
  try {
    await Promise.all(Array.from({ length: Math.min(job.connections, parts.length) }, work));
  } catch (error) {
    failed.abort(error); // the other connections end
    throw error;
  }
}

function split(begin: number, end: number, size: number): Range[] {
  const parts: Range[] = [];
  for (let at = begin; at < end; at += size) parts.push([at, Math.min(end, at + size)]);
  return parts;
}

/** Brings one range; false if the server sent the whole file instead, to its end. */
async function bring(job: Transfer, [begin, end]: Range, signal: AbortSignal): Promise<boolean> {
  let at = begin;
  for (let failures = 0; ; ) {
    try {
      const answered = await attempt(job, [at, end], signal, (bytes) => {
        at += bytes;
        failures = 0;
      });
      return answered;
    } catch (error) {
      if (signal.aborted) throw abortReason(signal);
      if (!(error instanceof HubError) || !worthTrying(error) || ++failures >= TRIES) throw error;
      const wait = Math.min(LONGEST_WAIT, error.retryAfter ?? 0) * 1000;
      await pause(Math.max(wait, (job.retryMs ?? RETRY_MS) * 2 ** (failures - 1)), signal);
    }
  }
}

/** No answer, or one that may be another in a moment. */
export function worthTrying({ status }: HubError): boolean {
  return status === 0 || status === 408 || status === 429 || status >= 500;
}

/** One request. @returns as bring() */
async function attempt(job: Transfer, range: Range, signal: AbortSignal, onBytes: (bytes: number) => void) {
  const [begin, end] = range;
  const stalled = new AbortController();
  const stallMs = job.stallMs ?? STALL_MS;
  const stop = () => stalled.abort(new HubError(`${job.label}: nothing came for ${stallMs / 1000} s`, 0));
  let timer = setTimeout(stop, stallMs);
  const both = AbortSignal.any([signal, stalled.signal]);
  try {
    const response = await job.request({ range: `bytes=${begin}-${end - 1}` }, both);
    const partial = response.status === 206;
    // Without ranges the whole file comes, of which the front is there already.
    let at = partial ? checkedStart(job, range, response) : 0;
    const until = partial ? end : job.size;
    for await (const chunk of chunksOf(response, both)) {
      clearTimeout(timer);
      timer = setTimeout(stop, stallMs);
      if (at + chunk.length > until) throw tooMuch(job, until, at + chunk.length);
      const fresh = chunk.subarray(Math.max(0, Math.min(chunk.length, begin - at)));
      at += chunk.length;
      if (fresh.length === 0) continue;
      await job.write(at - fresh.length, fresh);
      onBytes(fresh.length);
    }
    if (at < until) throw new HubError(`${job.label}: the connection ended at byte ${at} of ${until}`, 0);
    return partial;
  } catch (error) {
    if (signal.aborted || !stalled.signal.aborted) throw error;
    throw stalled.signal.reason;
  } finally {
    clearTimeout(timer);
  }
}

async function* chunksOf(response: Response, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  if (reader === undefined) return;
  const end = (): void => void reader.cancel().catch(() => {}); // a pending read ends then
  const stay = onAbort(signal, end);
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error: unknown) => {
        if (signal.aborted) throw abortReason(signal);
        throw new HubError(`the connection broke off: ${(error as Error).message}`, 0, { cause: error });
      });
      if (done) return;
      yield value;
    }
  } finally {
    stay();
    end();
  }
}

/** The first byte of a partial answer. @throws HubError for a range that was not asked for */
function checkedStart(job: Transfer, [begin, end]: Range, response: Response): number {
  const found = response.headers.get("content-range");
  const [, from, to, size] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(found ?? "") ?? [];
  if (Number(from) === begin && Number(to) === end - 1 && Number(size) === job.size) return begin;
  throw new HubError(
    `${job.label}: expected bytes ${begin}-${end - 1} of ${job.size}, found ${found ?? "no content-range"}: the server has another file`,
    response.status,
  );
}

function tooMuch(job: Transfer, until: number, found: number): HubError {
  return new HubError(
    `${job.label}: expected ${until} bytes, found at least ${found}: the server has another file`,
    200,
  );
}

/** Resolves after `ms`. @throws the reason of the signal */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stay = onAbort(signal, () => {
      clearTimeout(timer);
      reject(abortReason(signal));
    });
    const timer = setTimeout(() => {
      stay();
      resolve();
    }, ms);
  });
}
