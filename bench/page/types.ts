// What the page, its worker and a result's reader share.

import type { PackableName } from "../../kernels/formats/index.ts";
import type { CaseReport } from "../../test/support/runner.ts";
import type { ProfileReport } from "../profile.ts";

/** What a worker is told to do, once. */
export type Order =
  | { readonly kind: "conformance"; readonly pattern: string }
  | {
      readonly kind: "profile";
      readonly model: string;
      readonly weights: PackableName;
      /** As parseCases() takes them. */
      readonly cases: string;
      readonly tokens: number;
      readonly budgetMs: number;
    };

/** What a worker tells meanwhile. */
export type News =
  | { readonly kind: "declared"; readonly cases: number }
  | { readonly kind: "case"; readonly report: CaseReport }
  | { readonly kind: "progress"; readonly text: string }
  | { readonly kind: "profile"; readonly report: ProfileReport }
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly error: string; readonly memory: boolean };

/** How the conformance suite went. */
export interface Conformance {
  readonly declared: number;
  readonly passed: number;
  readonly skipped: number;
  readonly failed: readonly { readonly name: string; readonly reason: string | null }[];
}

/** One stage of a run. */
export interface StageResult {
  readonly name: string;
  readonly state: "running" | "done" | "failed" | "stopped" | "out of time";
  readonly ms: number;
  /** Why it failed, and what was tried again. */
  readonly notes: readonly string[];
  readonly conformance?: Conformance;
  readonly profile?: ProfileReport;
}

/** The JSON that is sent: schema 1. */
export interface PageResult {
  readonly schema: 1;
  readonly kind: "page";
  readonly date: string;
  /** Of the source that the page was built from; null outside of a checkout. */
  readonly commit: string | null;
  readonly browser: { readonly userAgent: string; readonly cores: number; readonly memoryGb: number | null };
  readonly adapter: AdapterFacts;
  readonly plan: Plan;
  readonly stages: readonly StageResult[];
}

export interface AdapterFacts {
  readonly name: string;
  readonly software: boolean;
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly subgroups: readonly [min: number, max: number] | null;
  readonly limits: Readonly<Record<string, number>>;
  readonly features: readonly string[];
  readonly language: readonly string[];
}

/** What a run does. */
export interface Plan {
  /** A synthetic model; LAYERS stands for the number of layers. */
  readonly model: string;
  readonly layers: number;
  readonly weights: readonly PackableName[];
  readonly cases: string;
  readonly tokens: number;
  /** Conformance cases that are run: a regular expression of their names; empty: none. */
  readonly conformance: string;
  readonly minutes: number;
}
