// A session: one timeline of tokens, its KV blocks, and the generation loop over them.

import { RequestError } from "../errors.ts";
import type { Constraint } from "../grammar/types.ts";
import { turn } from "../turn.ts";
import type { FinishReason, GenerateOptions, Piece, SamplingOptions, Session, TokenLogprob } from "./api.ts";
import type { BlockPool } from "./kv.ts";
import { createSampler, logProbabilities } from "./sampler.ts";
import type { Stepper } from "./stepper.ts";
import { createStopFilter } from "./stop.ts";
import type { Stream } from "./stream.ts";
import type { TextCodec } from "./text.ts";
import type { Sequence } from "./work.ts";

/** The KV store is made large enough for an answer of maxTokens before its first token, or for so many: few are longer. */
const RESERVED = 4096;

/** What a session needs of the model it belongs to. */
export interface SessionHost {
  readonly stepper: Stepper;
  readonly pool: BlockPool;
  readonly text: TextCodec;
  /** V */
  readonly vocab: number;
  /** Positions a session may hold, prompt and answer together. */
  readonly context: number;
  /** Tokens that end a text. */
  readonly eos: ReadonlySet<number>;
  /** Sampling that the model's folder recommends. */
  readonly sampling: SamplingOptions;
  /** The bytes of a session that holds `tokens` in `blocks`. */
  readonly save: (tokens: readonly number[], blocks: readonly number[]) => Promise<Uint8Array>;
  readonly onClose: () => void;
}

/** What a session begins with that comes from outside: others are never given it, because nobody here computed it. */
export interface Restored {
  readonly tokens: readonly number[];
  readonly blocks: number[];
}

/** Opens a session; what `session.sync` keeps of earlier prompts is in `tokens`. */
export function createSession(host: SessionHost, restored: Restored | null = null): Session {
  const { stepper, pool, context } = host;
  const sequence: Sequence = { blocks: restored?.blocks ?? [], length: restored?.tokens.length ?? 0 };
  let held: number[] = [...(restored?.tokens ?? [])]; // tokens whose keys and values are in the cache, one for each of sequence.length
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
    const cached = pool.adopt(sequence.blocks, tokens, common);
    held.length = Math.min(common, cached); // what is held beyond that was another text's
    for (let i = held.length; i < cached; i++) held.push(tokens[i]!);
    sequence.length = cached;
    return cached;
  }

  /** Lets other sessions find what this one has computed. */
  function publish(): void {
    if (!restored && !closed && held.length === sequence.length) pool.publish(sequence.blocks, held);
  }

  /**
   * Makes the cache hold the beginning of `tokens`, computing only what is not in it, and returns the end that is left for a
   * step of its own. The last token is always left: its logits are not kept.
   */
  async function prefill(
    tokens: readonly number[],
    signal?: AbortSignal,
  ): Promise<{ rest: readonly number[]; cached: number }> {
    let computed = 0;
    for (;;) {
      checkOpen();
      const at = reuse(tokens); // before every chunk: others compute beside us
      if (tokens.length - at <= stepper.maxTokens) return { rest: tokens.slice(at), cached: at - computed };
      const chunk = tokens.slice(at, at + stepper.maxTokens);
      await stepper.step(sequence, chunk, "none", signal);
      held.push(...chunk);
      computed += chunk.length;
      publish();
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
    return ids;
  }

  async function* run(prompt: string | readonly number[], options: GenerateOptions): AsyncGenerator<Piece, void> {
    const ids = [...promptIds(prompt)];
    const promptTokens = ids.length;
    const most = Math.min(checkCount("maxTokens", options.maxTokens ?? context), context - promptTokens);
    const wantLogprobs = options.logprobs === undefined ? null : checkCount("logprobs", options.logprobs, 20);
    const stops = checkStops(options.stop ?? []);
    const { constraint } = options;
    if (constraint && options.ignoreEos)
      throw new RequestError("ignoreEos: has no meaning with a constraint, which may end");
    const sampler = createSampler({ ...host.sampling, ...defined(options) }, host.vocab, ids);
    const filter = createStopFilter(stops);
    const decoder = host.text.stream(ids);
    const started = performance.now();
    let firstAt = started;
    let cachedTokens = 0;
    let reason: FinishReason = "length";
    let stopped: string | null = null;
    let count = 0;
    const ends = (id: number): boolean => host.eos.has(id) && !options.ignoreEos;
    if (options.maxTokens !== undefined) {
      pool.expect(sequence.blocks, promptTokens + Math.min(most, RESERVED) - 1); // the last token's keys are not needed
    }

    /** The next token, with its logits if the host chose it: the backend's own choices are made ahead of us. */
    async function next(): Promise<{ id: number; logits: Float32Array | null }> {
      if (stream) {
        const id = await stream.next();
        held.push(ids[ids.length - 1]!);
        return { id, logits: null };
      }
      const { rest, cached } = await prefill(ids, options.signal);
      if (count === 0) cachedTokens = cached;
      if (count === 0 && wantLogprobs === null && !constraint) {
        stream = stepper.stream({ sequence, tokens: rest, sampler, most, ends, signal: options.signal });
      }
      if (stream) {
        const id = await stream.next();
        held.push(...rest);
        publish();
        return { id, logits: null };
      }
      const step = stepper.step(sequence, rest, "last", options.signal);
      const mask = constraint ? await maskWhile(step, constraint) : null;
      const logits = await step;
      held.push(...rest);
      if (sequence.length % pool.blockSize === 0 || count === 0) publish();
      const id = sampler.next(logits, mask);
      constraint?.accept(id);
      return { id, logits };
    }

    for (; count < most; count++) {
      const { id, logits } = await next();
      if (count === 0) firstAt = performance.now();
      ids.push(id);
      const logprobs = wantLogprobs === null || !logits ? undefined : [tokenLogprob(logits, id, wantLogprobs)];
      const extra = logprobs === undefined ? {} : { logprobs };
      if (ends(id)) {
        reason = "eos";
        yield { text: "", ids: [id], ...extra };
        count++;
        break;
      }
      const { text, stop } = filter.push(decoder.push(id));
      yield { text, ids: [id], ...extra };
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
      stopped = stop;
    }
    const ended = performance.now();
    const decoded = Math.max(0, count - 1);
    yield {
      text: rest,
      ids: [],
      finish: {
        reason,
        ...(stopped !== null && { stop: stopped }),
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

  function tokenLogprob(logits: Float32Array, id: number, top: number): TokenLogprob {
    const found = logProbabilities(logits, id, top);
    return {
      id,
      text: host.text.piece(id),
      logprob: found.logprob,
      top: found.top.map((t) => ({ ...t, text: host.text.piece(t.id) })),
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
        if (closed) pool.shrink(sequence.blocks, 0);
      }
    },
    async save() {
      if (closed) throw new RequestError("the session is closed");
      if (busy) throw new RequestError("the session is generating; save it when its answer has ended");
      busy = true;
      try {
        return await host.save([...held], sequence.blocks);
      } finally {
        busy = false;
        if (closed) pool.shrink(sequence.blocks, 0);
      }
    },
    close() {
      if (closed) return;
      closed = true;
      held = [];
      stream?.cancel(new RequestError("the session was closed"));
      if (!busy) pool.shrink(sequence.blocks, 0);
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
