// From logits to the next token: penalties, temperature, filters, a draw; and log probabilities.
//
// The order is that of transformers: constraint, logit bias, repetition / frequency / presence
// penalties, temperature, top-k, top-p, min-p, draw. Temperature 0 takes the largest logit after
// the penalties (of equal ones the lowest id). A token with temperature uses one random number,
// whatever the filters leave.
//
// Biases and penalties are rounded to f32 and applied in f32, one operation at a time, as
// a GPU does.

import type { ChooserSettings } from "../backend/ops.ts";
import { DeviceError, RequestError } from "../errors.ts";
import type { SamplingOptions } from "./api.ts";
import { draw } from "./draw.ts";
import { randomFrom } from "./random.ts";

/**
 * Chooses a token from logits [V], which it does not change, and remembers its choices
 * for the penalties.
 */
export interface Sampler {
  readonly seed: number;
  /** @param mask bit id % 32 of word id >> 5 is set for tokens that may be chosen; null: all may */
  next(logits: Float32Array, mask?: Int32Array | null): number;
  /**
   * Notes a token that a backend chose instead: random numbers and penalties continue
   * as after next().
   */
  accept(id: number): void;
  /** A copy of the state, with which a backend can choose as this sampler would from here on. */
  chooser(): ChooserSettings;
}

interface Settings extends Required<Omit<SamplingOptions, "logitBias" | "seed">> {
  readonly logitBias: ReadonlyMap<number, number>;
}

/** Checks every option. @throws RequestError naming the option, its value and its range */
function settings(o: SamplingOptions, vocab: number): Settings {
  const number = (name: keyof SamplingOptions, fallback: number, min: number, max: number): number => {
    const value = o[name] ?? fallback;
    if (typeof value !== "number" || !(value >= min && value <= max)) {
      throw new RequestError(`${name}: expected a number from ${min} to ${max}, found ${String(value)}`);
    }
    return value;
  };
  const logitBias = new Map<number, number>();
  for (const [key, bias] of Object.entries(o.logitBias ?? {})) {
    const id = Number(key);
    if (!Number.isInteger(id) || id < 0 || id >= vocab || typeof bias !== "number" || !Number.isFinite(bias)) {
      throw new RequestError(
        `logitBias: expected a token id below ${vocab} and a finite number, found ${key}: ${bias}`,
      );
    }
    logitBias.set(id, Math.fround(bias));
  }
  const topK = number("topK", 0, 0, 2 ** 31);
  if (!Number.isInteger(topK)) throw new RequestError(`topK: expected an integer, found ${topK}`);
  return {
    temperature: number("temperature", 0, 0, 1e6),
    topK,
    topP: number("topP", 1, 0, 1),
    minP: number("minP", 0, 0, 1),
    repeatPenalty: Math.fround(number("repeatPenalty", 1, 1e-6, 1e6)),
    frequencyPenalty: Math.fround(number("frequencyPenalty", 0, -1e6, 1e6)),
    presencePenalty: Math.fround(number("presencePenalty", 0, -1e6, 1e6)),
    logitBias,
  };
}

/**
 * A sampler for one generation over a vocabulary of `vocab` tokens.
 * @param prompt tokens that count as seen for the repetition penalty
 * @throws RequestError for an option out of range
 */
export function createSampler(options: SamplingOptions, vocab: number, prompt: readonly number[]): Sampler {
  const s = settings(options, vocab);
  const seed = options.seed ?? Math.floor(Math.random() * 2 ** 32);
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new RequestError(`seed: expected an integer from 0 to 2^53 - 1, found ${String(seed)}`);
  }
  const random = randomFrom(seed);
  const seen = new Set(prompt);
  const counts = new Map<number, number>();
  const work = new Float32Array(vocab);

  const reward = Math.fround(1 / s.repeatPenalty);

  /** Applies bias and penalties. */
  function adjust(logits: Float32Array): void {
    for (const [id, bias] of s.logitBias) logits[id]! += bias;
    if (s.repeatPenalty !== 1) {
      for (const id of seen) logits[id]! *= logits[id]! > 0 ? reward : s.repeatPenalty;
    }
    if (s.frequencyPenalty !== 0 || s.presencePenalty !== 0) {
      for (const [id, count] of counts) {
        logits[id]! -= Math.fround(Math.fround(s.frequencyPenalty * count) + s.presencePenalty);
      }
    }
  }

  function note(id: number): void {
    seen.add(id);
    counts.set(id, (counts.get(id) ?? 0) + 1);
  }

  return {
    seed,
    next(logits, mask = null) {
      if (mask === null) work.set(logits);
      else permit(logits, mask, work);
      adjust(work);
      const best = mask === null ? argMax(work) : argMaxOf(work);
      const id = s.temperature === 0 ? best : draw(work, work[best]!, s, random());
      note(id);
      return id;
    },
    accept(id) {
      if (s.temperature > 0) random();
      note(id);
    },
    chooser: () => ({ ...s, vocab, seen: [...seen], counts: new Map(counts), random: random.state.slice() }),
  };
}

/**
 * Copies the logits of tokens with a bit in the mask; those of the others become -Infinity. Most
 * masks have few bits, or all of them.
 * @throws RequestError if no token has one
 */
function permit(logits: Float32Array, mask: Int32Array, out: Float32Array): void {
  out.fill(Number.NEGATIVE_INFINITY);
  let any = false;
  for (let first = 0; first < logits.length; first += 32) {
    const bits = mask[first >> 5] ?? 0;
    if (bits === 0) continue;
    const end = Math.min(first + 32, logits.length);
    for (let id = first; id < end; id++) {
      if ((bits & (1 << (id & 31))) === 0) continue;
      out[id] = logits[id]!;
      any = true;
    }
  }
  if (!any) throw new RequestError("the constraint allows no token: no text of the vocabulary can follow");
}

/**
 * Index of the largest value, the lowest of equal ones.
 * @throws DeviceError if any value is NaN or none is finite
 */
export function argMax(x: Float32Array): number {
  let best = 0;
  let sum = 0;
  for (let i = 0; i < x.length; i++) {
    if (x[i]! > x[best]!) best = i;
    sum += x[i]! * 0; // 0, or NaN once a value is NaN or infinite: one check for the whole row
  }
  return sum === 0 ? best : argMaxOf(x);
}

/**
 * The same where some logits are -Infinity: those of banned tokens. Anything else that is not
 * finite is a broken computation.
 */
function argMaxOf(x: Float32Array): number {
  let best = -1;
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < x.length; i++) {
    const value = x[i]!;
    if (!(value < Number.POSITIVE_INFINITY)) {
      throw new DeviceError(
        `logit ${i} is ${value}, not a number to choose from: the weights or the device overflowed`,
      );
    }
    if (value > most) {
      best = i;
      most = value;
    }
  }
  if (best < 0) throw new DeviceError("every logit is -Infinity: no token can follow");
  return best;
}

/**
 * Natural log probabilities of `id` and of the `count` most likely tokens under softmax(logits).
 */
export function logProbabilities(
  logits: Float32Array,
  id: number,
  count: number,
): { logprob: number; top: { id: number; logprob: number }[] } {
  const max = logits[argMax(logits)]!;
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i]! - max);
  const norm = max + Math.log(sum);
  const top: number[] = []; // ids, most likely first
  for (let i = 0; i < logits.length && count > 0; i++) {
    if (top.length === count && logits[i]! <= logits[top[count - 1]!]!) continue;
    let at = top.length;
    while (at > 0 && logits[top[at - 1]!]! < logits[i]!) at--;
    top.splice(at, 0, i);
    if (top.length > count) top.pop();
  }
  return { logprob: logits[id]! - norm, top: top.map((t) => ({ id: t, logprob: logits[t]! - norm })) };
}
