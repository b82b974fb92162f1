// Times prompts and decoding of one sequence in llama.cpp with the lengths, tokens and medians of
// our profile.

import { randomFrom } from "../../src/engine/random.ts";
import { median } from "../peers/compare.ts";
import type { LlamaSequence } from "./llama_addon.ts";

const RUNS = 3;

export interface LlamaCase {
  /** As in a profile. */
  readonly name: string;
  readonly kind: "decode" | "prompt";
  /**
   * Tokens in the cache before the first measured one, computed because llama.cpp cannot skip them.
   */
  readonly context: number;
  /** Tokens of a run: decoded one by one, or the prompt. */
  readonly tokens: number;
  /** Wall time with the choice of the next id: the median of the runs, and each. */
  readonly tokensPerSecond: number;
  readonly samples: readonly number[];
  /** llama_decode alone, as llama-bench counts: median of the runs. */
  readonly evalTokensPerSecond: number;
}

export interface CaseOptions {
  readonly contexts: readonly number[];
  readonly prompts: readonly number[];
  /** Tokens to decode in a run. */
  readonly tokens: number;
  readonly vocab: number;
  /** Starts nothing more after this many milliseconds since `started`. */
  readonly budgetMs: number;
  /** The start, by performance.now(). */
  readonly started: number;
  readonly onCase: (done: LlamaCase) => void;
}

/**
 * Measures everything that fits into the budget; returns the names of the rest, with the reason.
 */
export async function timeCases(sequence: LlamaSequence, options: CaseOptions): Promise<string[]> {
  const { tokens, vocab, onCase } = options;
  const random = randomFrom(1);
  const ids = Array.from({ length: Math.max(1, ...options.prompts, ...options.contexts) }, () =>
    Math.floor(random() * vocab),
  );
  const late = (): boolean => performance.now() - options.started > options.budgetMs;
  const skipped: string[] = [];

  // Short prompts first, then contexts in ascending order: each continues the cache.
  for (const length of options.prompts.toSorted((a, b) => a - b)) {
    const name = `prompt of ${length}`;
    if (late()) {
      skipped.push(`${name}: no time was left`);
      continue;
    }
    const whole = async (count: number): Promise<Run> => {
      sequence.forget(0);
      return timed(() => append(sequence, ids.slice(0, count)));
    };
    await whole(Math.min(length, sequence.batch)); // builds the pipelines
    const runs: Run[] = [];
    for (let i = 0; i < RUNS; i++) runs.push(await whole(length));
    onCase({ name, kind: "prompt", context: 0, tokens: length, ...rates(length, runs) });
  }

  sequence.forget(0);
  let held = 0;
  for (const context of options.contexts.toSorted((a, b) => a - b)) {
    const name = `decode at ${context}`;
    while (held < context && !late()) {
      const piece = ids.slice(held, Math.min(held + sequence.batch, context));
      await sequence.evaluate(piece, held, false);
      held += piece.length;
    }
    if (late()) {
      skipped.push(`${name}: no time was left${held < context ? ` when ${held} tokens were in the cache` : ""}`);
      continue;
    }
    const greedy = async (count: number): Promise<Run> => {
      sequence.forget(context);
      return timed(async () => {
        let id = ids[0]!;
        let evalMs = 0;
        for (let i = 0; i < count; i++) {
          const step = await sequence.evaluate([id], context + i, true);
          evalMs += step.evalMs;
          id = step.next!;
        }
        return evalMs;
      });
    };
    await greedy(2);
    const runs: Run[] = [];
    for (let i = 0; i < RUNS; i++) runs.push(await greedy(tokens));
    sequence.forget(context);
    onCase({ name, kind: "decode", context, tokens, ...rates(tokens, runs) });
  }
  return skipped;
}

/**
 * A prompt in batches into an empty cache; chooses the id after the last; returns the milliseconds
 * of llama_decode.
 */
async function append(sequence: LlamaSequence, ids: readonly number[]): Promise<number> {
  let evalMs = 0;
  for (let at = 0; at < ids.length; at += sequence.batch) {
    const piece = ids.slice(at, at + sequence.batch);
    evalMs += (await sequence.evaluate(piece, at, at + piece.length === ids.length)).evalMs;
  }
  return evalMs;
}

interface Run {
  readonly ms: number;
  readonly evalMs: number;
}

async function timed(work: () => Promise<number>): Promise<Run> {
  const began = performance.now();
  const evalMs = await work();
  return { ms: performance.now() - began, evalMs };
}

function rates(
  count: number,
  runs: readonly Run[],
): Pick<LlamaCase, "tokensPerSecond" | "samples" | "evalTokensPerSecond"> {
  const samples = runs.map(({ ms }) => (count / ms) * 1000);
  const evals = runs.map(({ evalMs }) => (count / evalMs) * 1000);
  return { tokensPerSecond: median(samples)!, samples, evalTokensPerSecond: median(evals)! };
}
