// What the page watches: the experts of a model at work, and the server's activity.

import type { ExpertsFrame, ExpertsHead } from "../browser.ts";

export type { ExpertsFrame, ExpertsHead } from "../browser.ts";

/** What is heard of a model's experts. */
export type ExpertsEvent =
  /** The model is, or is not, there to be watched. */
  | { readonly type: "state"; readonly state: string }
  /** What the frames that follow are of. */
  | { readonly type: "head"; readonly head: ExpertsHead }
  | { readonly type: "frame"; readonly frame: ExpertsFrame };

export const SPANS = ["hour", "day", "30d"] as const;
export type Span = (typeof SPANS)[number];

/** Milliseconds. */
export interface Latency {
  readonly median: number;
  readonly p95: number;
}

/** Counts of a time, a model or a key. */
export interface Figures {
  readonly requests: number;
  /** By status. */
  readonly errors: Readonly<Record<string, number>>;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  /** To the first token, and to the end; null where no answer had one. */
  readonly first: Latency | null;
  readonly total: Latency | null;
}

/** What a server has done. */
export interface Activity {
  readonly span: Span;
  /** Begin of the first step and length of each, in ms. */
  readonly from: number;
  readonly step: number;
  /** Whether it is kept over restarts. */
  readonly kept: boolean;
  /** `up`: the part of the time in which the server ran, 0 to 1. */
  readonly steps: readonly (Figures & { readonly up: number })[];
  readonly all: Figures & { readonly up: number };
  readonly models: readonly (Figures & { readonly name: string | null })[];
  readonly keys: readonly (Figures & { readonly name: string | null })[];
}
