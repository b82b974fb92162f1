// What the server has done, by time, model and key: counters and latencies, nothing of what was
// said. Pure: node_activity.ts keeps it on the disk.

import type { RequestSummary } from "./tracked_request.ts";

/** How often each class of latencies was seen, by its number (classOf). */
type Latencies = Readonly<Record<string, number>>;

/** Counts of one model and key in `width` minutes from `minute` on. */
export interface Entry {
  /** Minutes since 1970. */
  readonly minute: number;
  readonly width: number;
  /** Null: a request that named no model that is here, or one without a key. */
  readonly model: string | null;
  readonly key: string | null;
  readonly requests: number;
  /** By status: 499 where the client left. */
  readonly errors: Readonly<Record<string, number>>;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  /** To the first token; to the end. */
  readonly first: Latencies;
  readonly total: Latencies;
  /** Minutes in which the server ran; such an entry has no model, key or requests. */
  readonly up: number;
}

export const SPANS = {
  hour: { step: 1, steps: 60 },
  day: { step: 15, steps: 96 },
  "30d": { step: 1440, steps: 30 },
} as const;
export type Span = keyof typeof SPANS;

/** Figures of a span, or of a model or a key in it. Times in ms; null: no request had one. */
export interface Figures {
  readonly requests: number;
  readonly errors: Readonly<Record<string, number>>;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly first: Quantiles | null;
  readonly total: Quantiles | null;
}

export interface Quantiles {
  readonly median: number;
  readonly p95: number;
}

/** The answer of GET /hotset/activity. */
export interface Activity {
  readonly span: Span;
  /** Begin of the first step and length of each, in ms. */
  readonly from: number;
  readonly step: number;
  /** Whether it is kept over restarts. */
  readonly kept: boolean;
  /** Of each step, with the part of it in which the server ran, 0 to 1, since it first ran. */
  readonly steps: readonly (Figures & { readonly up: number })[];
  readonly all: Figures & { readonly up: number };
  readonly models: readonly (Figures & { readonly model: string | null })[];
  readonly keys: readonly (Figures & { readonly key: string | null })[];
}

/** Four classes an octave: a class is 19 % wide. */
const AN_OCTAVE = 4;
const MOST_CLASS = 4 * 24; // 4.7 hours
const MINUTE = 60_000;
/** Names are the server's own, but for safety's sake no file grows by a long one. */
const MOST_NAME = 200;
/** Models, and keys, that an answer lists. */
const MOST_LISTED = 64;
/** Entries of a sum that are told apart; more models and keys of a time are one. */
const MOST_ENTRIES = 8192;
const OTHERS = "others";

/** A finished request, at `now` in ms since 1970. */
export function entryOf(request: RequestSummary, now: number): Entry {
  const { status, model, key, firstTokenMs, ms } = request;
  return {
    minute: Math.floor(now / MINUTE),
    width: 1,
    model: model?.slice(0, MOST_NAME) ?? null,
    key,
    requests: 1,
    errors: status >= 400 ? { [status]: 1 } : {},
    promptTokens: request.promptTokens,
    cachedTokens: request.cachedTokens,
    completionTokens: request.completionTokens,
    first: firstTokenMs === null ? {} : { [classOf(firstTokenMs)]: 1 },
    total: status >= 400 ? {} : { [classOf(ms)]: 1 },
    up: 0,
  };
}

/** The server runs at `now`. */
export function upEntry(now: number): Entry {
  const nothing = { requests: 0, errors: {}, promptTokens: 0, cachedTokens: 0, completionTokens: 0 };
  const minute = Math.floor(now / MINUTE);
  return { minute, width: 1, model: null, key: null, ...nothing, first: {}, total: {}, up: 1 };
}

/** Sums of entries by time, model and key. */
export class Sums {
  readonly #entries = new Map<string, Entry>();
  readonly #widthOf: (minute: number) => number;

  /** @param widthOf the width of the entry that a minute belongs to */
  constructor(widthOf: (minute: number) => number = () => 1) {
    this.#widthOf = widthOf;
  }

  get entries(): readonly Entry[] {
    return [...this.#entries.values()];
  }

  add(entry: Entry): void {
    const width = Math.max(entry.width, this.#widthOf(entry.minute));
    const minute = Math.floor(entry.minute / width) * width;
    const full = this.#entries.size >= MOST_ENTRIES;
    const named = full && entry.up === 0 ? { ...entry, model: OTHERS, key: null } : entry;
    const name = JSON.stringify([minute, width, named.model, named.key, named.up > 0]);
    const before = this.#entries.get(name);
    const up = before ? Math.min(width, before.up + (width === 1 ? 0 : entry.up)) : entry.up;
    this.#entries.set(name, before ? { ...plus(before, named), up } : { ...named, minute, width, up });
  }
}

function plus(a: Entry, b: Entry): Entry {
  return {
    ...a,
    requests: a.requests + b.requests,
    errors: together(a.errors, b.errors),
    promptTokens: a.promptTokens + b.promptTokens,
    cachedTokens: a.cachedTokens + b.cachedTokens,
    completionTokens: a.completionTokens + b.completionTokens,
    first: together(a.first, b.first),
    total: together(a.total, b.total),
  };
}

function together(a: Readonly<Record<string, number>>, b: Readonly<Record<string, number>>): Record<string, number> {
  const sum: Record<string, number> = { ...a };
  for (const [key, count] of Object.entries(b)) sum[key] = (sum[key] ?? 0) + count;
  return sum;
}

function classOf(ms: number): number {
  return Math.min(MOST_CLASS, Math.max(0, Math.floor(AN_OCTAVE * Math.log2(Math.max(1, ms)))));
}

/** The middle of the class in which the share `part` of the latencies is reached. */
function quantile(seen: Latencies, part: number): number {
  const classes = Object.entries(seen).map(([name, count]) => [Number(name), count] as const);
  classes.sort(([a], [b]) => a - b);
  let left = part * classes.reduce((sum, [, count]) => sum + count, 0);
  for (const [number, count] of classes) {
    left -= count;
    if (left <= 0) return Math.round(2 ** ((number + 0.5) / AN_OCTAVE));
  }
  return 0;
}

function quantilesOf(seen: Latencies): Quantiles | null {
  if (Object.keys(seen).length === 0) return null;
  return { median: quantile(seen, 0.5), p95: quantile(seen, 0.95) };
}

function figuresOf(entries: readonly Entry[]): Figures {
  const none = upEntry(0);
  const { first, total, requests, errors, promptTokens, cachedTokens, completionTokens } = entries.reduce(plus, none);
  const tokens = { promptTokens, cachedTokens, completionTokens };
  return { requests, errors, ...tokens, first: quantilesOf(first), total: quantilesOf(total) };
}

/** What happened in the span that ends with the step of `now`. Steps are whole in UTC. */
export function activityOf(all: readonly Entry[], span: Span, now: number, kept: boolean): Activity {
  const { step, steps } = SPANS[span];
  const first = (Math.floor(now / MINUTE / step) - steps + 1) * step;
  const inSpan = all.filter(({ minute }) => minute >= first && minute < first + step * steps);
  const byStep: Entry[][] = Array.from({ length: steps }, () => []);
  for (const entry of inSpan) byStep[Math.floor((entry.minute - first) / step)]!.push(entry);
  // Before the first server that is known of, and after now, none could run.
  const known = all.reduce((least, { minute }) => Math.min(least, minute), Math.floor(now / MINUTE));
  const minutesIn = (from: number, to: number): number =>
    Math.max(0, Math.min(to, Math.floor(now / MINUTE) + 1) - Math.max(from, known));
  const ups = byStep.map(upOf);
  const share = (up: number, minutes: number): number => (minutes === 0 ? 0 : Math.min(1, up / minutes));
  const counted = inSpan.filter(({ requests }) => requests > 0);
  return {
    span,
    from: first * MINUTE,
    step: step * MINUTE,
    kept,
    steps: byStep.map((entries, i) => ({
      ...figuresOf(entries),
      up: share(ups[i]!, minutesIn(first + i * step, first + (i + 1) * step)),
    })),
    all: {
      ...figuresOf(counted),
      up: share(
        ups.reduce((sum, up) => sum + up, 0),
        minutesIn(first, first + step * steps),
      ),
    },
    models: grouped(counted, ({ model }) => model).map(([model, own]) => ({ model, ...figuresOf(own) })),
    keys: grouped(counted, ({ key }) => key).map(([key, own]) => ({ key, ...figuresOf(own) })),
  };
}

/** Minutes in which a server ran, of those of several that run at once. */
function upOf(entries: readonly Entry[]): number {
  const minutes = new Map<string, number>();
  for (const { minute, width, up } of entries) {
    const name = `${minute} ${width}`;
    minutes.set(name, Math.max(minutes.get(name) ?? 0, up));
  }
  return [...minutes.values()].reduce((sum, up) => sum + up, 0);
}

/** Groups, that of the most requests first. */
function grouped(entries: readonly Entry[], by: (entry: Entry) => string | null): [string | null, Entry[]][] {
  const groups = new Map<string | null, Entry[]>();
  for (const entry of entries) groups.set(by(entry), [...(groups.get(by(entry)) ?? []), entry]);
  const count = (own: readonly Entry[]): number => own.reduce((sum, { requests }) => sum + requests, 0);
  return [...groups].sort(([, a], [, b]) => count(b) - count(a)).slice(0, MOST_LISTED);
}

/** An entry as a line of a file, without its newline. */
export function lineOf(entry: Entry): string {
  const { minute: t, width: w, model: m, key: k, requests: n, errors: e } = entry;
  const { promptTokens: p, cachedTokens: c, completionTokens: g, first: f, total: d, up: u } = entry;
  return JSON.stringify(u > 0 ? { t, w, u } : { t, w, m, k, n, e, p, c, g, f, d });
}

/** The entry of a line; null for one that was cut short or changed. */
export function entryIn(line: string): Entry | null {
  let found: Partial<Record<"t" | "w" | "m" | "k" | "n" | "e" | "p" | "c" | "g" | "f" | "d" | "u", unknown>>;
  try {
    found = JSON.parse(line);
  } catch {
    return null;
  }
  if (typeof found !== "object" || found === null) return null;
  const { t, w, m = null, k = null, n = 0, e = {}, p = 0, c = 0, g = 0, f = {}, d = {}, u = 0 } = found;
  const name = (value: unknown): value is string | null =>
    value === null || (typeof value === "string" && value.length <= MOST_NAME);
  if (!isCount(t) || !isCount(w) || w < 1 || !name(m) || !name(k)) return null;
  if (!isCount(n) || !isCount(p) || !isCount(c) || !isCount(g) || !isCount(u)) return null;
  if (!isCounts(e) || !isCounts(f) || !isCounts(d)) return null;
  const tokens = { promptTokens: p, cachedTokens: c, completionTokens: g };
  return { minute: t, width: w, model: m, key: k, requests: n, errors: e, ...tokens, first: f, total: d, up: u };
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isCounts(value: unknown): value is Record<string, number> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return Object.entries(value).every(([key, count]) => /^\d{1,3}$/.test(key) && isCount(count));
}
