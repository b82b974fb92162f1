// A session: one timeline of tokens, its KV blocks, and the generation loop over them.

import { RequestError } from "../errors.ts";
import type { Constraint } from "../grammar/types.ts";
import { turn } from "../turn.ts";
import type { FinishReason, GenerateOptions, Piece, SamplingOptions, Session, TokenLogprob } from "./api.ts";
import { createBans } from "./bans.ts";
import { type Claim, Evicted } from "./claim.ts";
import type { Room } from "./room.ts";
import { createSampler, logProbabilities } from "./sampler.ts";
import type { Stepper } from "./stepper.ts";
import { createStopFilter } from "./stop.ts";
import type { Stream } from "./stream.ts";
import type { TextCodec } from "./text.ts";
import { TokenTexts } from "./token_texts.ts";

/** The KV store is made large enough for an answer of maxTokens before its first token, or for so many: few are longer. */
const RESERVED = 4096;

/** What a session needs of the model it belongs to. */
export interface SessionHost {
  readonly stepper: Stepper;
  readonly room: Room;
  readonly text: TextCodec;
  /** V */
  readonly vocab: number;
  /** Positions a session may hold, prompt and answer together. */
  readonly context: number;
  /** Tokens that end a text. */
  readonly eos: ReadonlySet<number>;
  /** Texts that end every answer, as the model's folder names them. */
  readonly stops?: readonly string[];
  /** Sampling that the model's folder recommends. */
  readonly sampling: SamplingOptions;
  /** The bytes of a session that holds `tokens` in `blocks`: between steps. */
  readonly save: (tokens: readonly number[], blocks: readonly number[]) => Promise<Uint8Array>;
  readonly onClose: () => void;
}

/** What a session begins with that comes from outside: others are never given it, because nobody here computed it. */
export interface Restored {
  readonly tokens: readonly number[];
  /** Holds them. */
  readonly claim: Claim;
}

/** Opens a session; it is the one that knows how to compute its sequence again. */
export function createSession(host: SessionHost, restored: Restored | null = null): Session {
  const { stepper, room, context } = host;
  const { pool } = room;
  const sequence = restored?.claim ?? room.claim();
  sequence.onEvict = evict;
  /** The timeline: the first sequence.length tokens have their keys and values in the cache, all unless they were given up. */
  let held: number[] = [...(restored?.tokens ?? [])];
  let evicted = 0; // tokens of it that had been computed when their blocks were given up
  let busy = false;
  let closed = false;
  let stream: Stream | null = null; // of the generation that runs, if the backend chooses its tokens

  function checkOpen(): void {
    if (closed) throw new RequestError("the session was closed");
  }

  /** Makes the cache hold as much of the beginning of `tokens` as this session or another has computed, the last one left. */
  function reuse(tokens: readonly number[]): number {
    let common = 0;
    const limit = Math.min(held.length, tokens.length - 1);
    while (common < limit && held[common] === tokens[common]) common++;
    evicted = Math.min(evicted, common);
    common = Math.min(common, sequence.length);
    const cached = pool.adopt(sequence.blocks, tokens, common);
    held.length = Math.min(common, cached); // what is held beyond that was another text's
    for (let i = held.length; i < cached; i++) held.push(tokens[i]!);
    sequence.length = cached;
    return cached;
  }

  /** Lets other sessions find what this one has computed. */
  function publish(): void {
    if (!restored && !closed) pool.publish(sequence.blocks, held.slice(0, sequence.length));
  }

  /** Others need the blocks more: they keep what is published until they do. */
  function evict(): void {
    publish();
    evicted = Math.max(evicted, sequence.length);
    stream?.evict();
  }

  /** Whether the work goes on after an error: its blocks were taken away, and are asked for again. */
  async function resumes(error: unknown): Promise<boolean> {
    if (!(error instanceof Evicted)) return false;
    await stream?.stop();
    stream = null;
    return true;
  }

  /** The work has ended; blocks for a step that was thrown away go back. */
  function leave(): void {
    pool.shrink(sequence.blocks, sequence.length);
    room.end(sequence);
    if (closed) room.remove(sequence);
  }

  /** Computes the next tokens behind the sequence. */
  function step(tokens: readonly number[], wanted: "last" | "none", signal?: AbortSignal): Promise<Float32Array> {
    const from = sequence.length;
    return stepper.step(sequence, tokens, wanted, signal).then((logits) => {
      computed(from, tokens);
      return logits;
    });
  }

  /** Notes that `tokens` were computed at `from`. */
  function computed(from: number, tokens: readonly number[]): void {
    held.push(...tokens);
    room.recomputed(Math.max(0, Math.min(from + tokens.length, evicted) - from));
  }

  /**
   * Makes the cache hold the beginning of `tokens`, computing only what is not in it, and leaves the end to `last`, which asks
   * for a step of it at once. The last token is always left: its logits are not kept. Where the blocks are taken away, also
   * while `last` waits, all of it is done again. `cached`: tokens that were not computed here.
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
        const at = reuse(tokens); // before every chunk: others compute beside us
        if (tokens.length - at <= stepper.maxTokens) return await last(tokens.slice(at), Math.max(0, at - done));
        const chunk = tokens.slice(at, at + stepper.maxTokens);
        await step(chunk, "none", signal);
        done += chunk.length;
        publish();
      } catch (error) {
        if (!(await resumes(error))) throw error;
      }
    }
  }

  /** Checks a prompt. @throws RequestError for an empty one, an id outside the vocabulary, or too long a one */
  function promptIds(prompt: string | readonly number[]): readonly number[] {
    if (typeof prompt !== "string" && typeof prompt?.[Symbol.iterator] !== "function")
      throw new RequestError(`prompt: expected a text or token ids, found ${String(prompt)}`);
    const ids = typeof prompt === "string" ? host.text.encode(prompt) : [...prompt];
    if (ids.length === 0) throw new RequestError("prompt: expected at least one token, found none");
    for (const [i, id] of ids.entries()) {
      if (!Number.isInteger(id) || id < 0 || id >= host.vocab) {
        throw new RequestError(`prompt: token ${i}: expected an id from 0 to ${host.vocab - 1}, found ${id}`);
      }
    }
    if (ids.length > context) {
      throw new RequestError(
        `prompt: ${ids.length} tokens do not fit in the context of ${context}; shorten the prompt or open the model with a larger context`,
        { code: "context_length_exceeded", overflow: { tokens: ids.length, context } },
      );
    }
    room.check(ids.length);
    return ids;
  }

  async function* run(prompt: string | readonly number[], options: GenerateOptions): AsyncGenerator<Piece, void> {
    const ids = [...promptIds(prompt)];
    const promptTokens = ids.length;
    // The last token's keys and values are not needed.
    const left = Math.min(context, room.capacity + 1) - promptTokens;
    const most = Math.min(checkCount("maxTokens", options.maxTokens ?? context), left);
    const wantLogprobs = options.logprobs === undefined ? null : checkCount("logprobs", options.logprobs, 20);
    const asked = checkStops(options.stop ?? []);
    const stops = options.ignoreEos ? asked : [...asked, ...(host.stops ?? [])];
    const { constraint } = options;
    const minTokens = checkCount("minTokens", options.minTokens ?? 0);
    if (options.maxTokens !== undefined && minTokens > options.maxTokens)
      throw new RequestError(`minTokens: expected at most maxTokens, ${options.maxTokens}, found ${minTokens}`);
    if (constraint && options.ignoreEos)
      throw new RequestError("ignoreEos: has no meaning with a constraint, which may end");
    const sampler = createSampler({ ...host.sampling, ...defined(options) }, host.vocab, ids);
    const filter = createStopFilter(stops);
    const decoder = host.text.stream(ids);
    const tokens = wantLogprobs === null ? null : new TokenTexts();
    const started = performance.now();
    let firstAt = started;
    let cachedTokens = 0;
    let reason: FinishReason = "length";
    let stopped: string | null = null;
    let count = 0;
    // Control tokens have no text that a stop text could be found in.
    const controls = new Map(
      stops.flatMap((stop) => {
        const id = host.text.control(stop);
        return id === null ? [] : [[id, stop] as const];
      }),
    );
    const endIds = new Set([...(options.ignoreEos ? [] : host.eos), ...(options.stopIds ?? []), ...controls.keys()]);
    const ends = (id: number): boolean => endIds.has(id);
    const bans = createBans(options, { vocab: host.vocab, ends: endIds, encode: host.text.plain });
    let streams = wantLogprobs === null && !constraint && !bans; // whether the backend may choose
    room.begin(sequence, promptTokens + Math.max(0, most - 1));
    if (options.maxTokens !== undefined) {
      pool.expect(sequence.blocks, promptTokens + Math.min(most, RESERVED) - 1); // the last token's keys are not needed
    }

    /** The next token, with its logits if the host chose it: the backend's own choices are made ahead of us. */
    async function next(): Promise<{ id: number; logits: Float32Array | null }> {
      if (stream) {
        try {
          const id = await stream.next();
          held.push(ids[ids.length - 1]!);
          return { id, logits: null };
        } catch (error) {
          if (!(await resumes(error))) throw error;
        }
      }
      return compute(ids, chooseAfter, options.signal);
    }

    /** Computes the last tokens there are and chooses the next one. */
    async function chooseAfter(
      rest: readonly number[],
      cached: number,
    ): Promise<{ id: number; logits: Float32Array | null }> {
      if (count === 0) cachedTokens = cached;
      const { signal } = options;
      if (streams) stream = stepper.stream({ sequence, tokens: rest, sampler, most: most - count, ends, signal });
      if (stream) {
        const from = sequence.length;
        const id = await stream.next();
        computed(from, rest);
        publish();
        return { id, logits: null };
      }
      streams = false;
      const begun = step(rest, "last", signal);
      const mask = constraint ? await maskWhile(begun, constraint) : null;
      const logits = await begun;
      if (sequence.length % pool.blockSize === 0 || count === 0) publish();
      const id = sampler.next(logits, bans ? bans.mask(ids.slice(promptTokens), mask) : mask);
      constraint?.accept(id);
      return { id, logits };
    }

    for (; count < most; count++) {
      sequence.ask();
      const { id, logits } = await next();
      sequence.rest();
      if (count === 0) firstAt = performance.now();
      ids.push(id);
      const found = wantLogprobs === null || !logits ? null : tokenLogprob(logits, id, wantLogprobs);
      if (ends(id)) {
        reason = "eos";
        stopped = controls.get(id) ?? null;
        // An end token has no bytes; a stop token of the caller's may have, which are no part of the text.
        if (found?.bytes.length === 0) tokens?.push(found, "");
        yield { text: "", ids: [id] };
        count++;
        break;
      }
      const decoded = decoder.push(id);
      if (found) tokens?.push(found, decoded);
      // A stop text that is there too early ends nothing.
      const { text, stop } = count < minTokens ? { text: decoded, stop: null } : filter.push(decoded);
      yield { text, ids: [id], ...(tokens && { logprobs: tokens.release(text.length) }) };
      if (stop !== null) {
        reason = "stop";
        stopped = stop;
        count++;
        break;
      }
    }
    let rest = "";
    if (reason !== "stop") {
      // What the detokenizer still held may complete a stop string after all.
      const { text, stop } = filter.push(decoder.end());
      rest = stop === null ? text + filter.flush() : text;
      if (stop !== null) reason = "stop";
      stopped = stop ?? stopped;
    }
    const ended = performance.now();
    const decoded = Math.max(0, count - 1);
    yield {
      text: rest,
      ids: [],
      ...(tokens && { logprobs: reason === "stop" ? tokens.release(rest.length) : tokens.rest() }),
      finish: {
        reason,
        ...(stopped !== null && asked.includes(stopped) && { stop: stopped }),
        promptTokens,
        cachedTokens,
        completionTokens: count,
        seed: sampler.seed,
        timings: {
          promptMs: firstAt - started,
          promptTps: rate(promptTokens - cachedTokens, firstAt - started),
          decodeMs: count === 0 ? 0 : ended - firstAt,
          decodeTps: rate(decoded, ended - firstAt),
        },
      },
    };
  }

  function tokenLogprob(logits: Float32Array, id: number, top: number): Omit<TokenLogprob, "offset"> {
    const found = logProbabilities(logits, id, top);
    return {
      id,
      ...host.text.piece(id),
      logprob: found.logprob,
      top: found.top.map((t) => ({ ...t, ...host.text.piece(t.id) })),
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
        busy = false;
        publish();
        leave();
      }
    },
    async save() {
      if (closed) throw new RequestError("the session is closed");
      if (busy) throw new RequestError("the session is generating; save it when its answer has ended");
      busy = true;
      const tokens = [...held];
      room.begin(sequence, tokens.length);
      try {
        for (;;) {
          // What others have taken away is computed again.
          if (sequence.length < tokens.length) await compute(tokens, (rest) => step(rest, "none"));
          const saved = await stepper.between(async () =>
            sequence.length < tokens.length ? null : await host.save(tokens, sequence.blocks),
          );
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
      host.onClose();
    },
  };
}

/** The mask of the next token, computed once the step is on its way: a device then works meanwhile. */
async function maskWhile(step: Promise<unknown>, constraint: Constraint): Promise<Int32Array | null> {
  step.catch(() => {}); // thrown by who waits for it
  await turn();
  return constraint.mask();
}

/** Tokens a second; 0 for nothing at all. */
function rate(tokens: number, ms: number): number {
  return tokens > 0 && ms > 0 ? (tokens / ms) * 1000 : 0;
}

/** The options that are set: an explicit undefined must not hide the folder's default. */
function defined(options: SamplingOptions): SamplingOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function checkCount(name: string, value: number, max = Number.MAX_SAFE_INTEGER): number {
  if (Number.isInteger(value) && value >= 0 && value <= max) return value;
  throw new RequestError(`${name}: expected an integer from 0 to ${max}, found ${String(value)}`);
}

function checkStops(stops: readonly string[]): readonly string[] {
  if (!Array.isArray(stops)) throw new RequestError(`stop: expected a list of texts, found ${typeof stops}`);
  for (const stop of stops) {
    if (typeof stop !== "string" || stop === "") throw new RequestError("stop: expected texts that are not empty");
  }
  return stops;
}
