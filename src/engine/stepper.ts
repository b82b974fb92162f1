// The one place that runs steps: collects the work of waiting sequences into ragged batches.
//
// A prompt arrives as chunks, a decoding session as one token at a time. All work that waits when a
// step ends shares the next one: sessions join and leave between steps, and a long prompt delays
// the others by one chunk at most.
//
// Where the backend chooses tokens, decoding sessions are streams: their steps follow each other
// without waiting for the ids (run_ahead.ts), until a session joins or leaves. Then what is in
// flight arrives, and the next batch is put together here, from ids that are known.

import { onAbort } from "../abort.ts";
import type { Batch, Chooser, ChooserSettings } from "../backend/ops.ts";
import { abortReason, RequestError } from "../errors.ts";
import { turn } from "../turn.ts";
import type { Claim } from "./claim.ts";
import { Job, Pause } from "./jobs.ts";
import type { Room } from "./room.ts";
import { runAhead } from "./run_ahead.ts";
import type { Sampler } from "./sampler.ts";
import { Stream, type StreamOptions } from "./stream.ts";
import { maxRows, rowsOf, toBatch, type Work } from "./work.ts";

/** Computes the steps. */
export interface Runner {
  /** Prompt tokens of a step from `position` on; `alone`: no others wait. Absent: all that fit. */
  chunk?(position: number, alone: boolean): number;
  /** Logits [R, V] of the batch's output rows, row-major. */
  logits(batch: Batch): Promise<Float32Array>;
  /** Present where the backend chooses tokens: see Choosing in backend/ops.ts. */
  readonly choosing?: {
    /** Whether steps may follow each other before ids have arrived; else it chooses in chains. */
    readonly ahead: boolean;
    create(settings: ChooserSettings): Chooser | null;
    /** Resolves when the step is submitted and "next" may follow; `ids` [R] come later. */
    submit(batch: Batch | "next"): Promise<{ readonly ids: Promise<Uint32Array> }>;
  };
}

export interface Stepper {
  readonly maxTokens: number;
  /** Whether the backend can choose tokens. */
  readonly chooses: boolean;
  /** Whether stream() may give one. */
  readonly runsAhead: boolean;
  /** Whether no other work shares its steps, or waits for one; `own`: work of the caller's. */
  alone(own?: Stream | null): boolean;
  /** Tokens of a prompt that should be one step() from `position` on: at most maxTokens. */
  chunk(position: number): number;
  /**
   * Appends `tokens` (1..maxTokens of them) to the sequence and returns logits [n, V]: of the last
   * token, of all (at most `maxRows(V)`), or of none (n = 0). One call at a time for a sequence,
   * which must have been admitted (room.ts). Rejects with the signal's reason as soon as it is
   * aborted (a running step goes on for other sequences, and is cut if there are none), and with
   * Evicted where the sequence has lost its blocks.
   */
  step(
    sequence: Claim,
    tokens: readonly number[],
    wanted: "last" | "all" | "none",
    signal?: AbortSignal,
  ): Promise<Float32Array>;
  /**
   * The same, but resolves with the ids that the backend chooses with this sampler, which does not
   * learn of it: after each token as long as the one chosen is the next of `tokens`, else
   * UNDECIDED. Null where only the host can choose.
   */
  chain(
    sequence: Claim,
    tokens: readonly number[],
    sampler: Sampler,
    signal?: AbortSignal,
  ): Promise<Uint32Array | null>;
  /**
   * Appends tokens and continues with those that the backend chooses. Null where only the host can
   * choose. The sequence belongs to the stream until its stop() has resolved.
   * @throws MemoryError where the backend has no memory for a chooser
   */
  stream(options: Omit<StreamOptions, "edge">): Stream | null;
  /**
   * Runs `work` between two steps: in its turn, and the next step waits for it. Rejects as step()
   * does, but `work` must stop by itself when `cut` is aborted.
   */
  between<T>(work: (cut: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T>;
  /**
   * Waits for blocks for all of `tokens` and takes them: they cannot be evicted until
   * the work ends. With windows, the panes are those that a step at `position` needs.
   * @throws as room.enter() and between()
   */
  hold(sequence: Claim, tokens: readonly number[], position: number, signal?: AbortSignal): Promise<void>;
  /** Rejects waiting work and cuts the running step; resolves when no step runs any more. */
  close(): Promise<void>;
}

export function createStepper(runner: Runner, room: Room, maxTokens: number, vocab: number): Stepper {
  const { pool } = room;
  let waiting: (Job | Stream | Pause)[] = [];
  const streams = new Set<Stream>();
  let running: Promise<void> | null = null;
  let closed = false;
  let shared = false; // whether the last step had several works
  /** The work that runs now, and the signal that ends it early. */
  let present: { readonly works: readonly (Job | Stream | Pause)[]; readonly cut: AbortController } | null = null;
  let wake: () => void = () => {};

  /** Resolves at the next notify(). */
  const event = (): Promise<void> =>
    new Promise((resolve) => {
      wake = resolve;
    });

  const alone = (own: Stream | null = null): boolean =>
    !shared && present === null && [...waiting, ...streams].every((work) => work === own);

  /** Queues the streams that should join the next step. */
  function enqueue(): void {
    waiting = waiting.filter((work) => !(work instanceof Stream) || !work.over);
    for (const stream of streams) {
      if (!stream.wantsStep) continue;
      stream.queue();
      waiting.push(stream);
    }
  }

  /** Whether work outside the present step should have the next one. */
  function interrupted(): boolean {
    enqueue();
    return waiting.length > 0;
  }

  /**
   * Takes work that fits in one step: what has waited longest, whatever its size, so that nothing
   * starves; then single tokens, so that decoding waits for a prompt chunk at most every other
   * step; then what else fits.
   */
  function take(): (Job | Stream)[] {
    enqueue();
    let room = maxTokens;
    let rows = maxRows(vocab);
    const batch = new Set<Job | Stream>();
    const all = waiting.filter(computes);
    const works = all[0] && chains(all[0]) ? [all[0]] : all.filter((work) => !chains(work));
    const single = (work: Work): boolean => work.tokens.length === 1;
    for (const work of [...works.slice(0, 1), ...works.filter(single), ...works]) {
      if (batch.has(work) || work.tokens.length > room || rowsOf(work) > rows) continue;
      room -= work.tokens.length;
      rows -= rowsOf(work);
      batch.add(work);
    }
    const taken = works.filter((work) => batch.has(work));
    waiting = waiting.filter((work) => !computes(work) || !batch.has(work));
    for (const work of taken) if (work instanceof Stream) work.join();
    return taken;
  }

  /**
   * Gives every sequence its blocks, the oldest first, and streams their choosers. A
   * sequence whose blocks an older one took is evicted; one that can have neither blocks nor
   * a chooser fails alone.
   */
  async function admit(works: readonly (Job | Stream)[]): Promise<(Job | Stream)[]> {
    const attempt = async (work: Job | Stream, what: () => void | Promise<void>): Promise<boolean> => {
      try {
        await what();
        return true;
      } catch (error) {
        work.fail(error);
        return false;
      }
    };
    const placed = new Set<Job | Stream>();
    for (const work of [...works].sort((a, b) => a.sequence.order! - b.sequence.order!)) {
      const grown = await attempt(work, async () => {
        if (work instanceof Job && work.signal?.aborted) throw abortReason(work.signal);
        await room.place(work.sequence, work.position + work.tokens.length);
      });
      if (grown) placed.add(work);
    }
    const here = works.filter((work) => placed.has(work) && work.sequence.admitted);
    for (const work of placed) if (!work.sequence.admitted) work.evict();
    if (here.some(needsLogits)) return here;
    const admitted: (Job | Stream)[] = [];
    for (const work of here) {
      const equipped = await attempt(work, () => {
        if (work instanceof Stream) work.equip((settings) => runner.choosing?.create(settings) ?? null);
      });
      if (equipped) admitted.push(work);
    }
    return admitted;
  }

  /** One step, or as many as can follow it while the same streams take part. */
  async function compute(taken: readonly (Job | Stream)[]): Promise<void> {
    let works = taken;
    shared = taken.length > 1;
    try {
      works = (await admit(taken)).filter(stays);
      if (works.length === 0) return;
      if (chains(works[0]!)) {
        await choose(works[0]);
        return;
      }
      const members = works.filter((work) => work instanceof Stream);
      if (runner.choosing && members.length > 0 && !works.some(needsLogits)) {
        await runAhead(works, members, { submit: runner.choosing.submit, pool, interrupted, event, notify });
        for (const work of works) if (work instanceof Job) work.done(new Float32Array(0));
        return;
      }
      for (const { sequence, position } of works) sequence.stepping(position);
      const logits = await cuttable(works, (cut) => runner.logits(toBatch(works, cut)));
      let row = 0;
      for (const work of works) {
        const rows = rowsOf(work);
        const all = works.length === 1; // of several rows a copy takes long, and its memory must be collected
        work.done(all ? logits : logits.slice(row * vocab, (row + rows) * vocab));
        row += rows;
      }
    } catch (error) {
      for (const work of works) work.fail(error);
    } finally {
      for (const work of taken) if (work instanceof Stream) settle(work);
    }
  }

  /** Computes the tokens of a chain, and has the backend choose after them. */
  async function choose(job: Job): Promise<void> {
    const chooser = runner.choosing?.create(job.sampler!.chooser());
    if (!chooser) {
      job.leave();
      return;
    }
    try {
      job.sequence.stepping(job.position);
      const choosers = job.tokens.map(() => chooser);
      const submit = (cut: AbortSignal) => runner.choosing!.submit({ ...toBatch([job], cut), choosers, chain: true });
      job.ids = await cuttable([job], async (cut) => (await submit(cut)).ids);
      job.done(new Float32Array(0));
    } finally {
      chooser.close();
    }
  }

  /** Runs `work`, which computes `works`, with a signal that can end it early. */
  async function cuttable<T>(
    works: readonly (Job | Stream | Pause)[],
    work: (cut: AbortSignal) => Promise<T>,
  ): Promise<T> {
    if (closed) throw new RequestError("the model was closed");
    present = { works, cut: new AbortController() };
    try {
      return await work(present.cut.signal);
    } finally {
      present = null;
    }
  }

  /** A stream has left a step: frees its blocks for further steps, and at its end all else. */
  function settle(stream: Stream): void {
    stream.leave();
    if (stream.over) stream.release();
    pool.shrink(stream.sequence.blocks, stream.stopped ? stream.sequence.length : stream.position);
    if (!stream.stopped) return;
    streams.delete(stream);
    stream.gone();
  }

  async function loop(): Promise<void> {
    await turn();
    for (enqueue(); waiting.length > 0; enqueue()) {
      const first = waiting[0]!;
      if (computes(first)) await compute(take());
      else {
        waiting.shift();
        await cuttable([first], (cut) => first.run(cut));
      }
      // Callers that were just answered ask for their next token now: then they share a step.
      await turn();
    }
    running = null; // in the same turn as the check above, so that no work waits without a loop
  }

  /** Queues work; if it is aborted before its turn, it leaves at once. */
  function line<T>(work: (Job | Pause) & { readonly answer: Promise<T> }, signal?: AbortSignal): Promise<T> {
    if (closed) return Promise.reject(new RequestError("the model is closed"));
    if (signal?.aborted) return Promise.reject(abortReason(signal));
    waiting.push(work);
    if (signal) {
      const leave = (): void => {
        const error = abortReason(signal);
        const runs = present?.works.includes(work) ?? false;
        const waits = waiting.includes(work);
        waiting = waiting.filter((other) => other !== work);
        // A pause that runs ends by itself: its work must not go on after the rejection.
        if (waits || (runs && work instanceof Job)) work.fail(error);
        if (runs && present?.works.every((other) => other === work || (computes(other) && other.over)))
          present.cut.abort(error);
      };
      const stay = onAbort(signal, leave);
      work.answer.then(stay, stay);
    }
    notify();
    return work.answer;
  }

  /** Something happened that may be a reason to compute, or to stop. */
  function notify(): void {
    wake();
    if (!closed) running ??= loop();
  }

  function between<T>(work: (cut: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return line(new Pause(work), signal);
  }

  return {
    maxTokens,
    chooses: runner.choosing !== undefined,
    runsAhead: runner.choosing?.ahead ?? false,
    alone,
    chunk: (position) => Math.min(maxTokens, runner.chunk?.(position, alone()) ?? maxTokens),
    step(sequence, tokens, wanted, signal) {
      return line(new Job(sequence, tokens, wanted, signal), signal);
    },
    async chain(sequence, tokens, sampler, signal) {
      const job = new Job(sequence, tokens, "all", signal, sampler);
      await line(job, signal);
      return job.ids;
    },
    between,
    async hold(sequence, tokens, position, signal) {
      const span = { from: position, to: Math.min(tokens.length, position + maxTokens) };
      while (!sequence.pinned) {
        await room.enter(sequence, tokens, signal);
        await between(async () => {
          pool.windows?.pledge(sequence.blocks);
          sequence.pinned = await room.place(sequence, tokens.length, span);
        }, signal);
      }
    },
    stream(options) {
      if (closed) throw new RequestError("the model is closed");
      const chooser = runner.choosing?.ahead ? runner.choosing.create(options.sampler.chooser()) : null;
      if (chooser === null) return null;
      const edge = pool.states ? pool.blockSize : undefined;
      const stream = new Stream({ ...options, edge }, chooser, () => {
        if (stream.over && !stream.stepping) settle(stream);
        notify();
      });
      streams.add(stream);
      notify();
      return stream;
    },
    async close() {
      closed = true;
      const refused = waiting;
      waiting = [];
      for (const work of refused) work.fail(new RequestError("the model was closed"));
      for (const stream of streams) stream.cancel(new RequestError("the model was closed"));
      room.close();
      present?.cut.abort(new RequestError("the model was closed"));
      wake();
      await running;
    },
  };
}

function computes(work: Job | Stream | Pause): work is Job | Stream {
  return !(work instanceof Pause);
}

/** Whether the backend chooses after each token of the work, which has its step to itself. */
function chains(work: Job | Stream): work is Job {
  return work instanceof Job && work.sampler !== null;
}

/** Whether the host needs the logits of this work. */
function needsLogits(work: Job | Stream): boolean {
  return work instanceof Stream ? work.needsLogits : work.wanted !== "none";
}

/** Whether its result is still wanted. A job aborted while it got its blocks rejects here. */
function stays(work: Job | Stream): boolean {
  if (work instanceof Stream) return !work.over;
  if (!work.signal?.aborted) return true;
  work.fail(abortReason(work.signal));
  return false;
}
