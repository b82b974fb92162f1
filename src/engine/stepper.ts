// The one place that runs steps: gathers what waiting sequences want computed into ragged batches.
//
// A prompt arrives as chunks, a decoding session as one token at a time; whoever waits when a step ends shares the next
// one. So sessions join and leave between steps, and a long prompt delays the others by one chunk at most.

import type { Batch } from "../backend/ops.ts";
import { abortReason, RequestError } from "../errors.ts";
import { turn } from "../turn.ts";
import type { BlockPool } from "./kv.ts";

/** One timeline's place in the KV cache. */
export interface Sequence {
  readonly blocks: number[];
  /** Positions whose keys and values are in the cache. */
  length: number;
}

interface Job {
  readonly sequence: Sequence;
  readonly tokens: readonly number[];
  readonly wanted: "last" | "all" | "none";
  readonly signal: AbortSignal | undefined;
  readonly resolve: (logits: Float32Array) => void;
  readonly reject: (error: unknown) => void;
}

/** Most logits that one step computes: 64 MiB, so that they fit every device's buffers whatever the vocabulary. */
const MAX_LOGITS = 2 ** 24;

/** Rows of logits [R, V] that one step computes at most. */
export function maxRows(vocab: number): number {
  return Math.max(1, Math.floor(MAX_LOGITS / vocab));
}

export interface Stepper {
  readonly maxTokens: number;
  /**
   * Appends `tokens` (1..maxTokens of them) to the sequence and returns logits [n, V]: of the last token, of all (at
   * most `maxRows(V)`), or of none (n = 0). One call at a time a sequence. Rejects with the signal's reason if it is
   * aborted before the step.
   */
  step(
    sequence: Sequence,
    tokens: readonly number[],
    wanted: "last" | "all" | "none",
    signal?: AbortSignal,
  ): Promise<Float32Array>;
  /** Rejects what waits; resolves when no step runs any more. */
  close(): Promise<void>;
}

/** @param run computes one batch: logits [R, V], row-major */
export function createStepper(
  run: (batch: Batch) => Promise<Float32Array>,
  pool: BlockPool,
  maxTokens: number,
  vocab: number,
): Stepper {
  let waiting: Job[] = [];
  let running: Promise<void> | null = null;
  let closed = false;

  /**
   * Takes jobs that fit in one step: the one that has waited longest, whatever its size, so that nobody starves; then
   * single tokens, so that decoding waits for a prompt chunk at most every other step; then what else fits.
   */
  function take(): Job[] {
    let room = maxTokens;
    let rows = maxRows(vocab);
    const batch = new Set<Job>();
    const single = (job: Job): boolean => job.tokens.length === 1;
    for (const job of [...waiting.slice(0, 1), ...waiting.filter(single), ...waiting]) {
      if (batch.has(job) || job.tokens.length > room || rowsOf(job) > rows) continue;
      room -= job.tokens.length;
      rows -= rowsOf(job);
      batch.add(job);
    }
    const rest = waiting.filter((job) => !batch.has(job));
    const jobs = waiting.filter((job) => batch.has(job));
    waiting = rest;
    return jobs;
  }

  /** Gives every job its blocks; a job that cannot have them fails alone. */
  async function admit(jobs: readonly Job[]): Promise<Job[]> {
    const admitted: Job[] = [];
    for (const job of jobs) {
      try {
        if (job.signal?.aborted) throw abortReason(job.signal);
        await pool.grow(job.sequence.blocks, job.sequence.length + job.tokens.length);
        admitted.push(job);
      } catch (error) {
        job.reject(error);
      }
    }
    return admitted;
  }

  async function loop(): Promise<void> {
    await turn();
    while (waiting.length > 0) {
      const jobs = await admit(take());
      if (jobs.length === 0) continue;
      try {
        const logits = await run(toBatch(jobs));
        let row = 0;
        for (const job of jobs) {
          const rows = rowsOf(job);
          job.sequence.length += job.tokens.length;
          job.resolve(logits.slice(row * vocab, (row + rows) * vocab));
          row += rows;
        }
      } catch (error) {
        for (const job of jobs) job.reject(error);
      }
      // Those who were just answered ask for their next token now: let them, so that they share a step.
      await turn();
    }
    running = null; // in the same turn as the check above, so that no job is left waiting without a loop
  }

  return {
    maxTokens,
    step(sequence, tokens, wanted, signal) {
      if (closed) return Promise.reject(new RequestError("the model is closed"));
      return new Promise((resolve, reject) => {
        waiting.push({ sequence, tokens, wanted, signal, resolve, reject });
        running ??= loop();
      });
    },
    async close() {
      closed = true;
      const refused = waiting;
      waiting = [];
      for (const job of refused) job.reject(new RequestError("the model was closed"));
      await running;
    },
  };
}

/** Rows of logits that a job asks for. */
function rowsOf(job: Job): number {
  return job.wanted === "all" ? job.tokens.length : job.wanted === "last" ? 1 : 0;
}

/** Jobs side by side as one flat batch. */
function toBatch(jobs: readonly Job[]): Batch {
  const total = jobs.reduce((sum, job) => sum + job.tokens.length, 0);
  const tokens = new Uint32Array(total);
  const positions = new Uint32Array(total);
  const sequence = new Uint32Array(total);
  const outputs: number[] = [];
  let at = 0;
  for (const [index, job] of jobs.entries()) {
    for (const [i, token] of job.tokens.entries()) {
      tokens[at] = token;
      positions[at] = job.sequence.length + i;
      sequence[at] = index;
      if (job.wanted === "all" || (job.wanted === "last" && i === job.tokens.length - 1)) outputs.push(at);
      at++;
    }
  }
  const tables = jobs.map((job) => Uint32Array.from(job.sequence.blocks));
  return { tokens, positions, sequence, tables, outputs: Uint32Array.from(outputs) };
}
