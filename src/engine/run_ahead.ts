// Steps that follow each other without waiting for their tokens: the backend feeds each token to
// the next step itself.

import type { Batch } from "../backend/ops.ts";
import { turn } from "../turn.ts";
import type { BlockPool } from "./kv.ts";
import type { Stream } from "./stream.ts";
import { toBatch, type Work } from "./work.ts";

/**
 * Positions that a stream gets blocks for in advance, because steps that follow each other share
 * one block table. At 150 tokens a second the batch is begun anew every 1.7 s for it; in the cache
 * of a model with 32 layers of 8 heads they take 32 MiB.
 */
export const AHEAD = 256;

/** What running ahead needs of the stepper. */
export interface RunAheadContext {
  /** Resolves when the step is submitted and the next one may follow; its ids [R] come later. */
  submit(batch: Batch | "next"): Promise<{ readonly ids: Promise<Uint32Array> }>;
  readonly pool: BlockPool;
  /** Whether work that takes no part waits for a step. */
  interrupted(): boolean;
  /** Resolves at the next notify(). */
  event(): Promise<void>;
  notify(): void;
}

/**
 * Computes `works`, whose output rows are those of `streams`, in order, each with a chooser. Then
 * continues with "next" as long as the same streams take part, each within its blocks and at most
 * DEPTH ahead of its consumer. Returns when every id has arrived. Rejects with the error of the
 * first step that fails, after the ids of the steps before it were delivered.
 */
export async function runAhead(
  works: readonly Work[],
  streams: readonly Stream[],
  stepper: RunAheadContext,
): Promise<void> {
  const { pool } = stepper;
  // The step that begins a text clears its states: no "next" is like it.
  const repeats =
    works.length === streams.length &&
    works.every(({ tokens, position, sequence }) => tokens.length === 1 && (position > 0 || sequence.state === null));
  if (repeats) {
    const reach = ({ sequence, position, limit }: Stream) => ({
      blocks: sequence.blocks,
      positions: Math.min(limit, position + AHEAD),
    });
    await pool.extend(streams.map(reach));
  }
  let inFlight = 0;
  let broken = false; // a step could not be submitted: none follows it
  let failure: { readonly error: unknown } | null = null;
  let last: Promise<void> = Promise.resolve();
  /** Where the states of each stream are when all steps so far have ended. */
  const reached = streams.map(({ position, tokens }) => position + tokens.length);

  async function submit(batch: Batch | "next"): Promise<void> {
    if (batch !== "next") for (const { sequence, position } of works) sequence.stepping(position);
    for (const [row, stream] of streams.entries()) {
      if (batch !== "next") continue;
      if (inFlight === 0) stream.sequence.stepping(reached[row]!);
      reached[row]!++;
    }
    inFlight++;
    for (const stream of streams) stream.inFlight++;
    let ids: Promise<Uint32Array>;
    try {
      ids = (await stepper.submit(batch)).ids;
    } catch (error) {
      broken = true;
      ids = Promise.reject(error);
    }
    last = arrive(ids, last);
  }

  /** Delivers a step's ids after those of the steps before it. */
  async function arrive(arriving: Promise<Uint32Array>, earlier: Promise<void>): Promise<void> {
    arriving.catch(() => {}); // reported below, in its turn
    await earlier;
    let ids: Uint32Array | null = null;
    try {
      ids = await arriving;
    } catch (error) {
      failure ??= { error };
    }
    inFlight--;
    for (const [row, stream] of streams.entries()) {
      stream.inFlight--;
      if (!ids || failure !== null) continue;
      if (inFlight === 0) stream.sequence.stepped(reached[row]!);
      stream.arrived(ids[row]!);
    }
    stepper.notify();
  }

  /** Whether another step can follow, apart from how far behind the consumers are. */
  const open = (): boolean =>
    repeats &&
    !broken &&
    failure === null &&
    !stepper.interrupted() &&
    streams.every(
      ({ goesOn, position, inFlight, sequence }) =>
        goesOn && position + inFlight < sequence.blocks.length * pool.blockSize,
    );

  await submit({ ...toBatch(works), choosers: streams.map((stream) => stream.chooser) });
  for (;;) {
    await turn(); // aborts and other sessions are heard between two steps
    const goesOn = open();
    if (goesOn && streams.every((stream) => stream.hasRoom)) await submit("next");
    // Waits for a consumer that is too far behind, unless another one has nothing left to read:
    // that one goes on without it.
    else if (inFlight > 0 || (goesOn && !streams.some((stream) => stream.ready))) await stepper.event();
    else break;
  }
  if (failure !== null) throw (failure as { readonly error: unknown }).error;
}
