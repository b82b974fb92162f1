// The constraint of an answer that may begin with reasoning: nothing binds the reasoning but its
// budget, and what binds the answer applies behind the end mark.

import type { ReasoningMarks, ReasoningOptions, ReasoningStart } from "../chat/conventions.ts";
import { RequestError } from "../errors.ts";
import type { Constraint } from "../grammar/types.ts";
import type { Tokenizer } from "../tokenizer/types.ts";

interface Parts {
  readonly tokenizer: Tokenizer;
  /** V */
  readonly vocab: number;
}

/**
 * `answer` behind reasoning. As it is where the model does not reason, or where nothing has to be
 * held: neither a budget nor an answer's constraint.
 * @param reasoning how the model marks reasoning, and where the prompt left it
 * @throws RequestError for a budget that is no whole number from 0
 */
export function behindReasoning(
  parts: Parts,
  reasoning: { readonly marks: ReasoningMarks; readonly start: ReasoningStart } | null,
  options: ReasoningOptions,
  answer: Constraint | null,
): Constraint | null {
  const budget = budgetOf(options);
  if (reasoning === null || (answer === null && budget === Number.POSITIVE_INFINITY)) return answer;
  if (reasoning.start === "closed" && answer === null) return null;
  return new BehindReasoning(parts, reasoning.marks, reasoning.start, budget, answer);
}

/** Reasoning that is off has no tokens, whether or not the template knows how to switch it. */
function budgetOf({ enabled, effort, budget = Number.POSITIVE_INFINITY }: ReasoningOptions): number {
  if (budget !== Number.POSITIVE_INFINITY && !(Number.isSafeInteger(budget) && budget >= 0)) {
    throw new RequestError(`reasoning.budget: expected a number of tokens from 0, found ${String(budget)}`);
  }
  return enabled === false || effort === "none" ? 0 : budget;
}

class BehindReasoning implements Constraint {
  readonly #parts: Parts;
  readonly #marks: ReasoningMarks;
  readonly #openId: number | null;
  readonly #closeId: number | null;
  readonly #closing: readonly number[];
  readonly #budget: number;
  readonly #answer: Constraint | null;
  readonly #bytes = new TextDecoder();
  /** "head": no token yet, which may be the mark that opens reasoning. */
  #state: "head" | "inside" | "answer";
  #used = 0;
  /** How many tokens of `closing` were forced. */
  #forced = 0;
  /** The end of the reasoning's text, in which the end mark is looked for. */
  #tail = "";

  constructor(parts: Parts, marks: ReasoningMarks, start: ReasoningStart, budget: number, answer: Constraint | null) {
    this.#parts = parts;
    this.#marks = marks;
    this.#openId = parts.tokenizer.pieceToId(marks.open);
    this.#closeId = parts.tokenizer.pieceToId(marks.close);
    this.#closing = this.#closeId === null ? parts.tokenizer.encode(marks.close, { addBos: false }) : [this.#closeId];
    this.#budget = budget;
    this.#answer = answer;
    this.#state = start === "open" ? "inside" : start === "none" && this.#openId !== null ? "head" : "answer";
  }

  get ended(): boolean {
    return this.#state === "answer" && (this.#answer?.ended ?? false);
  }

  async mask(): Promise<Int32Array | null> {
    if (this.#state === "inside") {
      if (this.#used < this.#budget) return null;
      return this.#only(this.#closing[this.#forced]!);
    }
    const mask = (await this.#answer?.mask()) ?? null;
    if (this.#state === "answer" || mask === null || this.#budget === 0) return mask;
    const both = mask.slice();
    both[this.#openId! >> 5]! |= 1 << (this.#openId! & 31);
    return both;
  }

  #only(id: number): Int32Array {
    const mask = new Int32Array(Math.ceil(this.#parts.vocab / 32));
    mask[id >> 5] = 1 << (id & 31);
    return mask;
  }

  accept(id: number): void {
    if (this.#state === "head" && id === this.#openId) this.#state = "inside";
    else if (this.#state === "inside") this.#reason(id);
    else {
      this.#state = "answer";
      this.#answer?.accept(id);
    }
  }

  #reason(id: number): void {
    if (this.#used < this.#budget) this.#used++;
    else this.#forced++;
    this.#tail += this.#bytes.decode(this.#parts.tokenizer.tokenBytes(id), { stream: true });
    if (id === this.#closeId || this.#forced === this.#closing.length || this.#tail.includes(this.#marks.close))
      this.#state = "answer";
    this.#tail = this.#tail.slice(-this.#marks.close.length);
  }

  close(): void {
    this.#answer?.close();
  }
}
