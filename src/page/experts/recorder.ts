// Records frames of experts at work: the last tokens one by one, sums of all, and runs: an answer
// to this page, or what the model wrote for others between two pauses. Memory is bounded.

import { bytesOfBase64 } from "../../base64.ts";
import type { Asked } from "../asked.ts";
import type { ExpertsFrame, ExpertsHead } from "../live.ts";

/** Tokens that can be looked at again. */
export const MOST_TOKENS = 1024;
/** Frames whose figures are kept. */
const MOST_FRAMES = 1024;
/** Maps of places that are kept: with each, the token from which on it holds. */
const MOST_MAPS = 64;
/** Runs that are kept, the present one among them. */
export const MOST_RUNS = 8;
/** Milliseconds without a token after which another run of others begins. */
const PAUSE_MS = 1500;
const UNKNOWN = 0xffff;
/** Of what a token adds to the heat of an expert, what is left after the next one. */
const COOLING = 0.85;
/** Tokens after which nothing is left to see. */
const WARM_TOKENS = 32;

/** Where an expert is, by its number in maps of places. */
export const PLACES = ["only on disk", "in RAM", "on the GPU", "nowhere"] as const;

/** An answer to this page, or what the model wrote for others between two pauses. */
export interface Run {
  readonly number: number;
  /** Null: the page has not asked for it. */
  readonly asked: Asked | null;
  /** Milliseconds since 1970. */
  readonly began: number;
  readonly tokens: number;
  /** How often each expert was used, [L, E]. */
  readonly counts: Float64Array;
}

/** Sums of frames. Bytes and times are null where all experts are in one memory. */
export interface Figures {
  readonly tokens: number;
  readonly ms: number;
  readonly uses: { readonly routed: number; readonly hits: number } | null;
  readonly bytes: { readonly main: number; readonly disk: number } | null;
  readonly times: Readonly<Record<"stall" | "sync" | "upload" | "disk" | "hostCompute", number>> | null;
  readonly dropped: number;
}

export class Recorder {
  readonly head: ExpertsHead;
  /** E: columns of every map. */
  readonly width: number;
  /** L E: cells of every map. */
  readonly size: number;
  /** How often each expert was used since the recording began. */
  readonly counts: Float64Array;
  readonly #routes: Uint16Array; // [MOST_TOKENS, L, K], a ring
  readonly #stride: number; // L K
  readonly #frames: { readonly end: number; readonly frame: ExpertsFrame }[] = [];
  readonly #maps: { readonly from: number; readonly places: Uint8Array }[] = [];
  readonly #runs: (Omit<Run, "tokens"> & { last: number; tokens: number })[] = [];
  readonly #heat: Float32Array;
  /** Uses of a frame's tokens that were not told one by one, as of a prompt. */
  #bulk: { readonly end: number; readonly counts: Uint8Array } | null = null;
  #tokens = 0; // recorded one by one, since the beginning
  #runNumber = 0;

  constructor(head: ExpertsHead) {
    this.head = head;
    this.width = Math.max(...head.experts);
    this.size = head.experts.length * this.width;
    this.counts = new Float64Array(this.size);
    this.#heat = new Float32Array(this.size);
    this.#stride = head.experts.length * head.perToken;
    this.#routes = new Uint16Array(MOST_TOKENS * this.#stride);
  }

  /** Number of the token after the newest one; and the oldest one that can be looked at. */
  get end(): number {
    return this.#tokens;
  }

  get start(): number {
    return Math.max(0, this.#tokens - MOST_TOKENS);
  }

  /** The newest run first. */
  get runs(): readonly Run[] {
    return this.#runs.toReversed();
  }

  /**
   * Takes a frame; one that does not fit the head is passed over.
   * @param asked whose tokens they are; null: not this page's
   */
  add(frame: ExpertsFrame, asked: Asked | null = null): void {
    const routes = wordsOf(frame.routes);
    const whole = Math.min(frame.shown, Math.floor(routes.length / this.#stride));
    const counts = frame.counts === null ? null : bytesOf(frame.counts);
    const places = frame.places === null ? null : bytesOf(frame.places);
    const run = frame.tokens > 0 ? this.#runOf(frame.at, asked) : null;
    for (let token = 0; token < whole; token++) {
      const row = routes.subarray(token * this.#stride, (token + 1) * this.#stride);
      this.#routes.set(row, (this.#tokens % MOST_TOKENS) * this.#stride);
      this.#tokens++;
      this.#each(row, (cell) => {
        this.counts[cell]!++;
        if (run) run.counts[cell]!++;
      });
    }
    if (counts?.length === this.size) {
      this.#bulk = { end: this.#tokens, counts };
      for (let cell = 0; cell < this.size; cell++) {
        this.counts[cell]! += counts[cell]!;
        if (run) run.counts[cell]! += counts[cell]!;
      }
    }
    if (run) {
      run.tokens += frame.tokens;
      run.last = frame.at;
    }
    if (places?.length === this.size) keep(this.#maps, { from: this.#tokens, places }, MOST_MAPS);
    const { routes: _, counts: __, places: ___, ...figures } = frame;
    keep(
      this.#frames,
      { end: this.#tokens, frame: { ...figures, routes: "", counts: null, places: null } },
      MOST_FRAMES,
    );
  }

  /** Where every expert was when the token before `end` was computed, [L, E]; null: not known. */
  placesAt(end: number): Uint8Array | null {
    const found = this.#maps.findLast(({ from }) => from <= end) ?? this.#maps[0];
    return found?.places ?? null;
  }

  /**
   * How recently each expert was used, [L, E]: 1 by the token before `end`, less by those before
   * it. The array is used again by the next call.
   */
  heatAt(end: number): Float32Array {
    const heat = this.#heat.fill(0);
    const last = Math.min(end, this.#tokens);
    for (let token = Math.max(this.start, last - WARM_TOKENS); token < last; token++) {
      const left = COOLING ** (last - 1 - token);
      const at = (token % MOST_TOKENS) * this.#stride;
      this.#each(this.#routes.subarray(at, at + this.#stride), (cell) => {
        heat[cell] = Math.max(heat[cell]!, left);
      });
    }
    const bulk = this.#bulk?.end === last ? this.#bulk.counts : null;
    const most = bulk?.reduce((a, b) => Math.max(a, b), 1) ?? 1;
    for (let cell = 0; bulk && cell < this.size; cell++)
      if (bulk[cell]! > 0) heat[cell] = Math.max(heat[cell]!, 0.3 + (0.7 * bulk[cell]!) / most);
    return heat;
  }

  /** Sums of the frames that ended with the tokens before `end`, of about `tokens` tokens. */
  figuresAt(end: number, tokens: number): Figures {
    let sum: Figures = { tokens: 0, ms: 0, uses: null, bytes: null, times: null, dropped: 0 };
    for (let i = this.#frames.length - 1; i >= 0 && sum.tokens < tokens; i--) {
      const one = this.#frames[i]!;
      if (one.end > end) continue;
      const { uses, bytes, times, tokens: some, ms, dropped } = one.frame;
      sum = {
        tokens: sum.tokens + some,
        ms: sum.ms + ms,
        uses: plus(sum.uses, uses),
        bytes: plus(sum.bytes, bytes && { main: bytes.main, disk: bytes.disk }),
        times: plus(sum.times, times),
        dropped: sum.dropped + dropped,
      };
    }
    return sum;
  }

  /** Tokens since the expert of a cell was last used, before `end`; null: not in those recorded. */
  sinceUse(cell: number, end: number): number | null {
    const [layer, expert] = [Math.floor(cell / this.width), cell % this.width];
    const { perToken } = this.head;
    for (let token = Math.min(end, this.#tokens) - 1; token >= this.start; token--) {
      const at = (token % MOST_TOKENS) * this.#stride + layer * perToken;
      if (this.#routes.subarray(at, at + perToken).includes(expert)) return end - 1 - token;
    }
    return null;
  }

  #runOf(at: number, asked: Asked | null) {
    const present = this.#runs.at(-1);
    if (present && present.asked?.number === asked?.number && (asked || at - present.last <= PAUSE_MS)) return present;
    const number = ++this.#runNumber;
    const run = { number, asked, began: at, last: at, tokens: 0, counts: new Float64Array(this.size) };
    keep(this.#runs, run, MOST_RUNS);
    return run;
  }

  /** The cells of a token's experts [L, K]. */
  #each(row: Uint16Array, take: (cell: number) => void): void {
    const { perToken, experts } = this.head;
    for (let i = 0; i < row.length; i++) {
      const layer = Math.floor(i / perToken);
      const expert = row[i]!;
      if (expert !== UNKNOWN && expert < experts[layer]!) take(layer * this.width + expert);
    }
  }
}

/** How two runs differ. */
export interface Comparison {
  /**
   * [L, E], -1 to 1: an expert's share of its layer's uses in `b` less that in `a`, of the largest
   * such difference.
   */
  readonly map: Float32Array;
  /** That difference. */
  readonly largest: number;
  /** The part of uses that both have in common, 0 to 1: of each layer, and of all. */
  readonly layers: readonly number[];
  readonly common: number;
}

export function compare(head: ExpertsHead, a: Run, b: Run): Comparison {
  const width = Math.max(...head.experts);
  const map = new Float32Array(a.counts.length);
  const layers = head.experts.map((count, layer) => {
    const at = layer * width;
    const [x, y] = [a, b].map(({ counts }) => shares(counts.subarray(at, at + count)));
    let common = 0;
    for (let expert = 0; expert < count; expert++) {
      map[at + expert] = y![expert]! - x![expert]!;
      common += Math.min(x![expert]!, y![expert]!);
    }
    return common;
  });
  const largest = map.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  if (largest > 0) for (let cell = 0; cell < map.length; cell++) map[cell]! /= largest;
  return { map, largest, layers, common: layers.reduce((sum, one) => sum + one, 0) / layers.length };
}

function shares(counts: Float64Array): Float64Array {
  const sum = counts.reduce((total, count) => total + count, 0);
  return counts.map((count) => (sum > 0 ? count / sum : 0));
}

function keep<T>(all: T[], one: T, most: number): void {
  all.push(one);
  if (all.length > most) all.shift();
}

function plus<T extends { readonly [key in keyof T]: number }>(sum: T | null, one: T | null): T | null {
  if (sum === null || one === null) return sum ?? one;
  const result: Record<string, number> = { ...sum };
  for (const [key, value] of Object.entries<number>(one)) result[key] = (result[key] ?? 0) + value;
  return result as T;
}

function bytesOf(base64: string): Uint8Array {
  try {
    return bytesOfBase64(base64);
  } catch {
    return new Uint8Array(0);
  }
}

function wordsOf(base64: string): Uint16Array {
  const bytes = bytesOf(base64);
  return new Uint16Array(bytes.buffer, 0, bytes.length >> 1);
}
