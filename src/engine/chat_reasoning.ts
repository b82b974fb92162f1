// The constraint of an answer that may begin with reasoning: nothing binds the reasoning but its
// budget, and what binds the answer applies behind the end mark.

import type { ReasoningMarks, ReasoningOptions, ReasoningStart } from "../chat/conventions.ts";
import { RequestError } from "../errors.ts";
import type { Constraint } from "../grammar/types.ts";
import { spellBytes } from "../tokenizer/byte_alphabet.ts";
import type { Tokenizer } from "../tokenizer/types.ts";

interface Parts {
  readonly tokenizer: Tokenizer;
  /** V */
  readonly vocab: number;
}

/**
 * `answer` behind reasoning, which closes it, also where this throws. As it is where the model does
 * not reason, or where nothing has to be held: neither a budget nor an answer's constraint.
 * @param reasoning how the model marks reasoning, and where the prompt left it
 * @param renew another constraint like `answer`, for one that begins with the same tokens as
 * reasoning
 * @throws RequestError for a budget that is no whole number from 0
 */
export function behindReasoning(
  parts: Parts,
  reasoning: { readonly marks: ReasoningMarks; readonly start: ReasoningStart } | null,
  options: ReasoningOptions,
  answer: Constraint | null,
  renew: () => Promise<Constraint | null> = async () => null,
): Constraint | null {
  let budget: number;
  try {
    budget = budgetOf(options);
  } catch (error) {
    answer?.close();
    throw error;
  }
  if (reasoning === null || (answer === null && budget === Number.POSITIVE_INFINITY)) return answer;
  if (reasoning.start === "closed" && answer === null) return null;
  return new BehindReasoning(parts, reasoning.marks, reasoning.start, budget, answer, renew);
}

/** Reasoning that is off has no tokens, whether or not the template knows how to switch it. */
function budgetOf({ enabled, effort, budget = Number.POSITIVE_INFINITY }: ReasoningOptions): number {
  if (budget !== Number.POSITIVE_INFINITY && !(Number.isSafeInteger(budget) && budget >= 0)) {
    throw new RequestError(`reasoning.budget: expected a number of tokens from 0, found ${String(budget)}`);
  }
  return enabled === false || effort === "none" ? 0 : budget;
}

class BehindReasoning implements Constraint {
  readonly #marks: ReasoningMarks;
  readonly #tokenizer: Tokenizer;
  /** V */
  readonly #vocab: number;
  /** The mark that opens reasoning, as tokens; empty if it is none of the vocabulary. */
  readonly #opening: readonly number[];
  /** The token that models write in front of the opening where its line has not begun; once. */
  #leadId: number | null;
  readonly #closeId: number | null;
  readonly #closing: readonly number[];
  readonly #budget: number;
  readonly #renew: () => Promise<Constraint | null>;
  readonly #bytes = new TextDecoder();
  #answer: Constraint | null;
  /** What `answer` allows; undefined once tokens of the opening were not for it. */
  #allowed: Int32Array | null | undefined = null;
  /** Whether `answer` was given tokens of reasoning, and another has to take its place. */
  #spent = false;
  /**
   * "head": the mark that opens reasoning may come, and `opened` tokens of it have. In a free
   * answer of messages with headers, that is wherever one may begin.
   */
  #state: "head" | "inside" | "answer";
  #opened = 0;
  #used = 0;
  /** How many tokens of `closing` were forced. */
  #forced = 0;
  /** The end of the reasoning's text, in which the end mark is looked for. */
  #tail = "";

  constructor(
    { tokenizer, vocab }: Parts,
    marks: ReasoningMarks,
    start: ReasoningStart,
    budget: number,
    answer: Constraint | null,
    renew: () => Promise<Constraint | null>,
  ) {
    [this.#marks, this.#tokenizer, this.#vocab, this.#budget] = [marks, tokenizer, vocab, budget];
    [this.#answer, this.#renew] = [answer, renew];
    const openId = tokenizer.pieceToId(marks.open);
    const spelled = openId === null ? tokenizer.encode(marks.open, { addBos: false, specialTokens: true }) : [openId];
    this.#opening = openId !== null || spelled.some((id) => tokenizer.isSpecial(id)) ? spelled : [];
    this.#leadId = marks.lead === undefined ? null : pieceOf(marks.lead, tokenizer);
    this.#closeId = tokenizer.pieceToId(marks.close);
    this.#closing = this.#closeId === null ? tokenizer.encode(marks.close, { addBos: false }) : [this.#closeId];
    this.#state = start === "open" ? "inside" : start === "none" && this.#opening.length > 0 ? "head" : "answer";
  }

  get ended(): boolean {
    return this.#state !== "inside" && (this.#answer?.ended ?? false);
  }

  async mask(): Promise<Int32Array | null> {
    if (this.#state === "inside") {
      if (this.#used < this.#budget) return null;
      return this.#only(this.#closing[this.#forced]!);
    }
    if (this.#spent && this.#state === "answer") {
      this.#answer = await this.#renew();
      this.#spent = false;
    }
    const next = this.#opening[this.#opened];
    const mayOpen = this.#state === "head" && next !== undefined;
    if (this.#allowed === undefined && mayOpen) return this.#only(next);
    this.#allowed = (await this.#answer?.mask()) ?? null;
    if (!mayOpen) return this.#allowed;
    if (this.#budget === 0) return this.#allowed ?? (this.#opened > 0 ? this.#without(next) : null);
    if (this.#allowed === null) return null;
    const both = this.#allowed.slice();
    both[next >> 5]! |= 1 << (next & 31);
    const lead = this.#opened === 0 ? this.#leadId : null;
    if (lead !== null) both[lead >> 5]! |= 1 << (lead & 31);
    return both;
  }

  #only(id: number): Int32Array {
    const mask = new Int32Array(Math.ceil(this.#vocab / 32));
    mask[id >> 5] = 1 << (id & 31);
    return mask;
  }

  #without(id: number): Int32Array {
    const mask = new Int32Array(Math.ceil(this.#vocab / 32)).fill(-1);
    if (this.#vocab % 32 > 0) mask[this.#vocab >> 5] = (1 << (this.#vocab % 32)) - 1;
    mask[id >> 5]! &= ~(1 << (id & 31));
    return mask;
  }

  accept(id: number): void {
    if (this.#state === "inside") this.#reason(id);
    else if (this.#state === "answer") this.#answer?.accept(id);
    else if (id === this.#opening[this.#opened]) this.#open(id);
    else if (this.#allowed === null && this.#opened === 0 && this.#isBlank(id)) this.#answer?.accept(id);
    else if (this.#opened === 0 && this.#allowed && !has(this.#allowed, id) && id === this.#leadId) this.#leadId = null;
    else this.#begin(id);
  }

  expect(ids: readonly number[]): void {
    if (this.#state === "answer" && !this.#spent) this.#answer?.expect?.(ids);
  }

  forced(): string {
    return (this.#state === "answer" && !this.#spent && this.#answer?.forced?.()) || "";
  }

  #open(id: number): void {
    this.#opened++;
    if (this.#opened === this.#opening.length) {
      this.#state = "inside";
      this.#forced = 0;
      return;
    }
    // The answer may begin with the same token.
    if (this.#answer === null) return;
    this.#spent = true;
    if (this.#allowed !== undefined && (this.#allowed === null || has(this.#allowed, id))) this.#answer.accept(id);
    else this.#allowed = undefined;
  }

  /** A token that opens no reasoning: with it the answer begins. */
  #begin(id: number): void {
    this.#opened = 0;
    this.#spent = false;
    if (this.#answer !== null || !this.#marks.again) this.#state = "answer";
    this.#answer?.accept(id);
  }

  #isBlank(id: number): boolean {
    return !this.#tokenizer.isSpecial(id) && this.#tokenizer.tokenText(id).trim() === "";
  }

  #reason(id: number): void {
    if (this.#used < this.#budget) this.#used++;
    else this.#forced++;
    this.#tail += this.#bytes.decode(this.#tokenizer.tokenBytes(id), { stream: true });
    if (id === this.#closeId || this.#forced === this.#closing.length || this.#tail.includes(this.#marks.close))
      this.#close();
    this.#tail = this.#tail.slice(-this.#marks.close.length);
  }

  #close(): void {
    this.#state = this.#answer === null && this.#marks.again ? "head" : "answer";
    this.#opened = 0;
    this.#allowed = null;
    if (this.#spent) this.#answer?.close();
  }

  close(): void {
    this.#answer?.close();
  }
}

/** The token that is this text, however the vocabulary spells it. */
function pieceOf(text: string, tokenizer: Tokenizer): number | null {
  const bytes = new TextEncoder().encode(text);
  const hex = bytes[0]!.toString(16).toUpperCase().padStart(2, "0");
  const id = tokenizer.pieceToId(text) ?? tokenizer.pieceToId(spellBytes(bytes));
  return id ?? (bytes.length === 1 ? tokenizer.pieceToId(`<0x${hex}>`) : null);
}

function has(mask: Int32Array, id: number): boolean {
  return ((mask[id >> 5] ?? 0) & (1 << (id & 31))) !== 0;
}
