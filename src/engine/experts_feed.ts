// What a page sees of experts at work, in frames: which experts tokens took, where experts are,
// and what that cost. Memory is bounded however slowly frames are taken.

import type { ExpertStats, TierStats } from "../experts/stats.ts";
import type { RouteStep } from "../experts/trace.ts";

/** What the frames of a model are of. */
export interface ExpertsHead {
  /** L, layers with experts; their numbers among all layers. */
  readonly layers: readonly number[]; // [L]
  /** Experts of each of them; E is the most. */
  readonly experts: readonly number[]; // [L]
  /** K, experts of a token. */
  readonly perToken: number;
  /** The memory in which steps are computed. */
  readonly main: "gpu" | "ram";
  /** Bytes of one expert; null: all experts are in that memory, and none moves. */
  readonly recordBytes: number | null;
  /** Experts of a layer that have a place there; null likewise. */
  readonly slots: number | null;
}

/** What happened since the frame before. Lists of numbers are in base64, little-endian. */
export interface ExpertsFrame {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Steps of the model. */
  readonly steps: number;
  /** Tokens of these steps, of prompts and of answers. */
  readonly tokens: number;
  /** Milliseconds that the steps took. */
  readonly ms: number;
  /** Tokens whose experts `routes` has one by one. */
  readonly shown: number;
  /** u16 [shown, L, K]; 65535: not known, as of a last layer that was not computed. */
  readonly routes: string;
  /** u8 [L, E], at most 255: how many of the other tokens took each expert; null: none. */
  readonly counts: string | null;
  /** Of these other tokens, those of answers, for which the frame had no room. */
  readonly dropped: number;
  /** u8 [L, E]: 0 only on disk, 1 in RAM, 2 on the GPU, 3 no such expert; null: as before. */
  readonly places: string | null;
  /** Experts that steps used, and those that were in the main memory; null: all are. */
  readonly uses: { readonly routed: number; readonly hits: number } | null;
  /** Bytes moved into the main memory, and read from disk; null likewise. */
  readonly bytes: { readonly main: number; readonly disk: number; readonly wasted: number } | null;
  /** Milliseconds, as ExpertStats.ms; null likewise. */
  readonly times: ExpertStats["ms"] | null;
}

/** In routes: not known. */
export const UNKNOWN = 0xffff;
/** Where an expert is. */
export const PLACE = { disk: 0, ram: 1, gpu: 2, none: 3 } as const;

/** Tokens of a frame that are shown one by one. */
const MOST_SHOWN = 64;

/** Collects steps until a frame is taken. */
export class ExpertsFeed {
  /** What the frames are of. */
  readonly head: ExpertsHead;
  readonly #stats: () => ExpertStats | null;
  readonly #now: () => number;
  readonly #width: number; // E
  readonly #routes: Uint16Array; // [MOST_SHOWN, L, K]
  readonly #counts: Uint8Array; // [L, E]
  #counted = false;
  #totals = { steps: 0, tokens: 0, ms: 0, shown: 0, dropped: 0 };
  #places: Uint8Array | null = null; // [L, E] as last told
  #before: ExpertStats | null;

  /** @param now milliseconds since 1970 */
  constructor(head: ExpertsHead, stats: () => ExpertStats | null, now: () => number = Date.now) {
    this.head = head;
    this.#stats = stats;
    this.#now = now;
    this.#width = Math.max(...head.experts);
    this.#routes = new Uint16Array(MOST_SHOWN * head.layers.length * head.perToken);
    this.#counts = new Uint8Array(head.layers.length * this.#width);
    this.#before = stats();
  }

  /** Whether a step came since the last frame. */
  get pending(): boolean {
    return this.#totals.steps > 0;
  }

  /** Takes what Model.watchRoutes() tells. */
  add(step: RouteStep & { readonly ms: number }): void {
    const totals = this.#totals;
    totals.steps++;
    totals.tokens += step.tokens;
    totals.ms += step.ms;
    const answers = step.tokens === step.sequences;
    const shown = answers ? Math.min(step.tokens, MOST_SHOWN - totals.shown) : 0;
    if (shown > 0) this.#show(step, shown);
    if (shown === step.tokens) return;
    this.#count(step, shown);
    if (answers) totals.dropped += step.tokens - shown;
  }

  /** The frame of all steps since the last one. */
  take(): ExpertsFrame {
    const { layers, perToken } = this.head;
    const totals = this.#totals;
    const stats = this.#stats();
    const before = this.#before;
    const words = this.#routes.subarray(0, totals.shown * layers.length * perToken);
    const frame: ExpertsFrame = {
      at: this.#now(),
      ...totals,
      ms: toMicroseconds(totals.ms),
      routes: base64(bytesOf(words)),
      counts: this.#counted ? base64(this.#counts) : null,
      places: this.#moved(stats),
      uses: stats && before && minus(usesOf(stats), usesOf(before)),
      bytes: stats && before && minus(movedOf(stats), movedOf(before)),
      times: stats && before && minus(stats.ms, before.ms, toMicroseconds),
    };
    this.#before = stats;
    this.#counts.fill(0);
    this.#counted = false;
    this.#totals = { steps: 0, tokens: 0, ms: 0, shown: 0, dropped: 0 };
    return frame;
  }

  #show({ layers, tokens }: RouteStep, shown: number): void {
    const { perToken } = this.head;
    const L = this.head.layers.length;
    let at = this.#totals.shown * L * perToken;
    for (let token = 0; token < shown; token++) {
      for (let layer = 0; layer < L; layer++, at += perToken) {
        const ids = layers[layer]!;
        const whole = ids.length === tokens * perToken;
        for (let k = 0; k < perToken; k++) this.#routes[at + k] = whole ? ids[token * perToken + k]! : UNKNOWN;
      }
    }
    this.#totals.shown += shown;
  }

  /** Counts the tokens of a step from `first` on. */
  #count({ layers }: RouteStep, first: number): void {
    this.#counted = true;
    for (const [layer, ids] of layers.entries()) {
      const row = layer * this.#width;
      for (let i = first * this.head.perToken; i < ids.length; i++) {
        const at = row + ids[i]!;
        if (this.#counts[at]! < 255) this.#counts[at]!++;
      }
    }
  }

  /** Where all experts are, if that has changed. */
  #moved(stats: ExpertStats | null): string | null {
    const { main, experts } = this.head;
    const now = new Uint8Array(experts.length * this.#width).fill(PLACE.none);
    for (const [layer, count] of experts.entries()) {
      const row = now.subarray(layer * this.#width, layer * this.#width + count);
      row.fill(stats ? PLACE.disk : PLACE[main]);
      for (const expert of stats?.ram?.layers[layer]?.residents ?? []) row[expert] = PLACE.ram;
      for (const expert of stats?.main.layers[layer]?.residents ?? []) row[expert] = PLACE[main];
    }
    const before = this.#places;
    if (before?.every((place, i) => place === now[i])) return null;
    this.#places = now;
    return base64(now);
  }
}

function usesOf({ main }: ExpertStats): { routed: number; hits: number } {
  const total = { routed: 0, hits: 0 };
  for (const { routed, hits } of main.layers) {
    total.routed += routed;
    total.hits += hits;
  }
  return total;
}

function movedOf({ main, ram }: ExpertStats): { main: number; disk: number; wasted: number } {
  const all = ({ bytes }: TierStats): number => bytes.demand + bytes.admission + bytes.prefetch;
  return { main: all(main), disk: all(ram ?? main), wasted: main.bytes.wasted };
}

function minus<T extends { readonly [key in keyof T]: number }>(
  a: T,
  b: T,
  round = (value: number): number => value,
): T {
  const result: Record<string, number> = { ...a };
  for (const [key, value] of Object.entries<number>(b)) result[key] = round(result[key]! - value);
  return result as T;
}

function toMicroseconds(ms: number): number {
  return Math.round(1000 * ms) / 1000;
}

function bytesOf(words: Uint16Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

const PIECE = 0x2000; // arguments of one call

function base64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += PIECE) text += String.fromCharCode(...bytes.subarray(at, at + PIECE));
  return btoa(text);
}
