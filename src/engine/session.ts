// A session: one sequence of tokens, its KV blocks, and the generation loop over them.

import { UNDECIDED } from "../backend/ops.ts";
import { RequestError } from "../errors.ts";
import { AnswerText } from "./answer_text.ts";
import type { FinishReason, GenerateOptions, Piece, Session } from "./api.ts";
import { createBans } from "./bans.ts";
import { Evicted } from "./claim.ts";
import { checkLengths, endsOf, promptIds, setOptions } from "./generate_options.ts";
import { maskWhile } from "./mask_while.ts";
import { createSampler, type Sampler } from "./sampler.ts";
import type { Restored, SessionContext } from "./session_context.ts";
import type { Speculation } from "./speculation.ts";
import { Halted, type Stream, Undecided } from "./stream.ts";
import { timings } from "./timings.ts";
import { maxRows, type Work } from "./work.ts";

/**
 * The KV store is made large enough for maxTokens before the first token of an answer, but at most
 * for so many: few answers are longer.
 */
const RESERVED = 4096;

/** A token; with the logits that it was chosen from if the host chose it. */
interface Chosen {
  readonly id: number;
  readonly logits: Float32Array | null;
}

/** Opens a session. Only the session knows how to compute its sequence again. */
export function createSession(model: SessionContext, restored: Restored | null = null): Session {
  const { stepper, room, context, lengths = null } = model;
  const { pool } = room;
  const sequence = restored?.claim ?? room.claim();
  sequence.onEvict = evict;
  /**
   * The tokens. The keys and values of the first sequence.length of them are in the cache: all,
   * unless some were evicted.
   */
  let held: number[] = [...(restored?.tokens ?? [])];
  /** From where on layers with a window have them, although the store keeps all blocks. */
  let seen = pool.windows ? 0 : (restored?.seen ?? 0);
  let evicted = 0; // how many of them had been computed when their blocks were evicted
  let busy = false;
  let closed = false;
  let stream: Stream | null = null; // of the running generation, if the backend chooses its tokens
  let undecided = false; // the host chooses its next token
  let speculation: Speculation | null = null; // of the running generation

  function checkOpen(): void {
    if (closed) throw new RequestError("the session was closed");
  }

  /**
   * Reuses as much of the beginning of `tokens`, without the last one, as this session or another
   * has computed.
   */
  function reuse(tokens: readonly number[]): number {
    let common = 0;
    const limit = Math.min(held.length, tokens.length - 1);
    while (common < limit && held[common] === tokens[common]) common++;
    evicted = Math.min(evicted, common);
    common = Math.min(common, sequence.length);
    if (seen > 0 && common < restored!.tokens.length) common = seen = 0; // a window would begin before it
    const cached = pool.resume(sequence, tokens, common);
    held.length = Math.min(common, cached); // the rest belonged to another text
    for (let i = held.length; i < cached; i++) held.push(tokens[i]!);
    sequence.length = cached;
    return cached;
  }

  /** The text is read as a prompt of n tokens from now on, with new keys if it had others. */
  function readAs(n: number): void {
    if (sequence.readAs(n, lengths)) return;
    pool.shrink(sequence.blocks, 0);
    sequence.length = 0;
  }

  /**
   * Lets other sessions find what this one has computed; `kept`: they may begin here as long as
   * there is room for it; `ends`: a prompt or an answer does, and may be gone on with.
   */
  function publish({ kept = false, ends = false } = {}): void {
    if (restored || closed) return;
    pool.publish(sequence.blocks, held.slice(0, sequence.length), sequence.key);
    pool.checkpoint(sequence, kept);
    if (ends) pool.windows?.keep(sequence.blocks, sequence.length);
  }

  /**
   * The blocks are about to be evicted. Published ones stay in the cache until their
   * place is needed.
   */
  function evict(): void {
    publish({ ends: true });
    evicted = Math.max(evicted, sequence.length);
    stream?.evict();
    speculation?.drop();
  }

  /**
   * Whether to go on after an error: the blocks were evicted and must be requested again, the
   * states must come to the token whose logits the host needs, or tokens are to be drafted.
   */
  async function resumes(error: unknown): Promise<boolean> {
    if (![Evicted, Undecided, Halted].some((kind) => error instanceof kind)) return false;
    undecided = error instanceof Undecided;
    await stream?.stop();
    stream = null;
    return true;
  }

  /** Ends the work, and frees the blocks of a discarded step. */
  function leave(): void {
    pool.shrink(sequence.blocks, sequence.length);
    room.end(sequence);
    if (closed) room.remove(sequence);
  }

  /** Computes the next tokens of the sequence. */
  function step(tokens: readonly number[], wanted: Work["wanted"], signal?: AbortSignal): Promise<Float32Array> {
    const from = sequence.length;
    return stepper.step(sequence, tokens, wanted, signal).then((logits) => {
      computed(from, tokens);
      return logits;
    });
  }

  /** Tokens to compute beside the last one, the only one that is not computed: `most`, or none. */
  function drafts(rest: readonly number[], most: number): readonly number[] {
    if (speculation === null || rest.length > 1 || !stepper.alone()) return [];
    return speculation.draft(Math.min(most, stepper.maxTokens - 1, maxRows(model.vocab) - 1));
  }

  /** The logits [V] after `rest`, with drafted tokens computed along. */
  async function stepWithDraft(rest: readonly number[], drafted: readonly number[], signal?: AbortSignal) {
    const computing = () => step([...rest, ...drafted], drafted.length > 0 ? "all" : "last", signal);
    const logits = await (speculation?.timed(rest, drafted, stepper.alone, computing) ?? computing());
    if (drafted.length > 0) offered(drafted, logits.subarray(model.vocab));
    return logits.subarray(0, model.vocab);
  }

  /**
   * The token that the backend chooses after the last one, with drafted ones computed along, and
   * chosen after as long as they are right. Null: the host has to choose.
   */
  async function chain(rest: readonly number[], drafted: readonly number[], sampler: Sampler, signal?: AbortSignal) {
    const from = sequence.length;
    const tokens = [...rest, ...drafted];
    const choosing = () => stepper.chain(sequence, tokens, sampler, signal);
    const ids = await speculation!.timed(rest, drafted, stepper.alone, choosing);
    sequence.length = from;
    if (ids === null || ids[0] === UNDECIDED) return null;
    sequence.length += tokens.length;
    computed(from, tokens);
    offered(drafted, ids.subarray(1));
    return ids[0]!;
  }

  /** Drafted tokens were computed; they become a part of the text when they are chosen. */
  function offered(drafted: readonly number[], after: Float32Array | Uint32Array): void {
    sequence.length -= drafted.length;
    held.length -= drafted.length;
    speculation?.offer(drafted, after);
  }

  /** Notes that `tokens` were computed at `from`. */
  function computed(from: number, tokens: readonly number[]): void {
    held.push(...tokens);
    room.recomputed(Math.max(0, Math.min(from + tokens.length, evicted) - from));
  }

  /**
   * Computes `tokens`, except for those already in the cache, and leaves the last step to `last`,
   * which must request it at once: at least the last token, because its logits are not kept. Where
   * the blocks are evicted, also while `last` waits, everything is done again. `cached`: tokens
   * that were not computed here.
   */
  async function compute<T>(
    tokens: readonly number[],
    last: (rest: readonly number[], cached: number) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    for (let done = 0; ; ) {
      try {
        if (!sequence.admitted) await room.enter(sequence, tokens, signal);
        checkOpen();
        const at = reuse(tokens); // before every chunk: other sessions compute meanwhile
        const { end, kept } = pool.stepEnd(tokens.length, at, stepper.chunk(at));
        if (end === tokens.length) return await last(tokens.slice(at), Math.max(0, at - done));
        await step(tokens.slice(at, end), "none", signal);
        done += end - at;
        publish({ kept });
      } catch (error) {
        if (!(await resumes(error))) throw error;
      }
    }
  }

  async function* run(prompt: string | readonly number[], options: GenerateOptions): AsyncGenerator<Piece, void> {
    const ids = promptIds(prompt, model);
    const promptTokens = ids.length;
    // The last token's keys and values are not needed.
    const left = Math.min(context, room.capacity + 1) - promptTokens;
    const { most, wantLogprobs, minTokens } = checkLengths(options, left);
    const { constraint } = options;
    const { asked, stops, controls, endIds } = endsOf(options, model);
    const sampler = createSampler({ ...model.sampling, ...setOptions(options) }, model.vocab, ids);
    const text = new AnswerText(model.text, ids, { stops, minTokens, wantLogprobs });
    const started = performance.now();
    let firstAt = started;
    let cachedTokens = 0;
    let reason: FinishReason = "length";
    let stopped: string | null = null;
    let count = 0;
    const ends = (id: number): boolean => endIds.has(id);
    const bans = createBans(options, { vocab: model.vocab, ends: endIds, encode: model.text.plain });
    let streams = stepper.chooses && wantLogprobs === null && !constraint && !bans; // whether the backend chooses
    speculation = model.speculate?.(streams, constraint) ?? null;
    room.begin(sequence, promptTokens + Math.max(0, most - 1));
    readAs(promptTokens);
    /** Tokens that the text may have before it must be read again. */
    const until = (): number => lengths?.until(sequence.anchor) ?? Number.POSITIVE_INFINITY;
    /** Tokens that the next step may have beside the last one of the text. */
    const mostDrafted = (): number => Math.min(most - count - 1, until() - ids.length);
    const expected = promptTokens + Math.min(most, RESERVED) - 1; // without the last token's
    if (options.maxTokens !== undefined) pool.expect(sequence.blocks, expected);

    /** A step that ran ahead took so long. */
    const took = (ms: number): void => {
      if (stepper.alone(stream)) speculation?.took(1, ms);
    };

    /** The next token; the backend makes its choices ahead of time. */
    async function next(): Promise<Chosen> {
      if (count > 0) speculation?.follow(ids); // a long prompt is looked through behind its first token
      const ready = speculation?.take(ids[ids.length - 1]!) ?? null;
      if (ready === UNDECIDED) undecided = true;
      else if (ready !== null) {
        options.signal?.throwIfAborted(); // as a step would
        computed(sequence.length++, ids.slice(-1));
        return typeof ready === "number" ? chosen(ready) : choose(ready, (await constraint?.mask()) ?? null);
      }
      if (stream) {
        if (pool.states && sequence.length % pool.blockSize === 0) publish();
        if (speculation && stepper.alone(stream) && speculation.leads(mostDrafted())) stream.halt();
        try {
          const id = await stream.next();
          held.push(ids[ids.length - 1]!);
          return { id, logits: null };
        } catch (error) {
          if (!(await resumes(error))) throw error;
        }
      }
      // Before compute(), which must request the step at once.
      if (count > 0 && stepper.alone()) await speculation?.propose(ids, mostDrafted(), options.signal);
      return compute(ids, chooseAfter, options.signal);
    }

    /** Computes the last tokens and chooses the next one. */
    async function chooseAfter(rest: readonly number[], cached: number): Promise<Chosen> {
      if (count === 0) cachedTokens = cached;
      const { signal } = options;
      const ahead = Math.min(most - count, until() + 1 - ids.length);
      const drafted = drafts(rest, mostDrafted());
      if (streams && !undecided && drafted.length === 0 && stepper.runsAhead)
        stream = stepper.stream({ sequence, tokens: rest, sampler, most: ahead, ends, took, signal });
      if (stream) {
        const from = sequence.length;
        const id = await stream.next();
        computed(from, rest);
        publish({ ends: true });
        return { id, logits: null };
      }
      streams &&= undecided || drafted.length > 0 || !stepper.runsAhead;
      if (streams && !undecided && drafted.length > 0) {
        const id = await chain(rest, drafted, sampler, signal);
        if (id !== null) return chosen(id);
      }
      undecided = false;
      const begun = stepWithDraft(rest, drafted, signal);
      const mask = constraint ? await maskWhile(begun, constraint, drafted) : null;
      return choose(await begun, mask);
    }

    /** The backend has chosen the token after the last one, of a chain. */
    function chosen(id: number): Chosen {
      if (sequence.length % pool.blockSize === 0) publish();
      sampler.accept(id);
      return { id, logits: null };
    }

    /** Chooses the next token from the logits after the last one. */
    function choose(logits: Float32Array, mask: Int32Array | null): Chosen {
      if (sequence.length % pool.blockSize === 0 || count === 0) publish({ ends: count === 0 });
      const id = sampler.next(logits, bans ? bans.mask(ids.slice(promptTokens), mask) : mask);
      constraint?.accept(id);
      return { id, logits };
    }

    for (; count < most; count++) {
      if (ids.length > until()) {
        await stream?.stop();
        stream = null;
        publish();
        readAs(ids.length);
      }
      sequence.ask();
      const { id, logits } = await next();
      sequence.rest();
      if (count === 0) firstAt = performance.now();
      ids.push(id);
      if (ends(id)) {
        reason = "eos";
        stopped = controls.get(id) ?? null;
        yield text.end(id, logits);
        count++;
        break;
      }
      const { stop, ...piece } = text.push(id, logits);
      yield piece;
      if (stop !== null) {
        reason = "stop";
        stopped = stop;
        count++;
        break;
      }
    }
    const { stop, ...rest } = text.rest(reason === "stop");
    if (stop !== null) [reason, stopped] = ["stop", stop];
    yield {
      ...rest,
      finish: {
        reason,
        ...(stopped !== null && asked.includes(stopped) && { stop: stopped }),
        promptTokens,
        cachedTokens,
        completionTokens: count,
        seed: sampler.seed,
        ...(speculation?.counts.drafted && { speculation: speculation.counts }),
        timings: timings({ started, firstAt, computed: promptTokens - cachedTokens, count }),
      },
    };
  }

  return {
    get tokens() {
      return held;
    },
    async *generate(prompt, options = {}) {
      if (closed) throw new RequestError("the session is closed");
      if (busy)
        throw new RequestError("the session is generating already; use a session for each concurrent generation");
      options.signal?.throwIfAborted();
      busy = true;
      try {
        yield* run(prompt, options);
      } finally {
        pool.expect(sequence.blocks, 0);
        await stream?.stop();
        stream = null;
        speculation?.close();
        speculation = null;
        busy = false;
        publish({ ends: true });
        leave();
      }
    },
    async save() {
      if (closed) throw new RequestError("the session is closed");
      if (busy) throw new RequestError("the session is generating; save it when its answer has ended");
      busy = true;
      const tokens = [...held];
      room.begin(sequence, tokens.length);
      if (sequence.anchor > tokens.length) readAs(tokens.length); // of a prompt that was not read to its end
      try {
        for (;;) {
          // Evicted tokens are computed again, also where states were lost with a step that failed.
          const whole = () => sequence.length === tokens.length && (tokens.length === 0 || sequence.whole);
          if (!whole()) await compute(tokens, (rest) => step(rest, "none"));
          const saved = await stepper.between(async () => (whole() ? await model.save(tokens, sequence, seen) : null));
          if (saved) return saved;
        }
      } finally {
        busy = false;
        leave();
      }
    },
    close() {
      if (closed) return;
      closed = true;
      held = [];
      const error = new RequestError("the session was closed");
      stream?.cancel(error);
      room.leave(sequence, error);
      if (!busy) room.remove(sequence);
      model.onClose();
    },
  };
}
