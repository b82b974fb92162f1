// Speculation: a step computes, beside the last token, drafted ones that may follow it. As long as
// the tokens that are chosen are the drafted ones, the logits after them are there already.
//
// Nothing is accepted that would not have been chosen: the sampler sees the same logits in the same
// order. So it needs a backend that gives a row the same logits whatever rows are beside it
// (Ops.rowsAgree). Where drafts are seldom right, or a step of several tokens costs too much, no
// draft is computed; whether they would be right is observed all the same, at no cost.

import { type Match, PromptLookup } from "./prompt_lookup.ts";
import { Share } from "./share.ts";
import type { StepCosts } from "./step_costs.ts";

/** Drafted tokens that a step may have; products take rows by four. */
const DRAFTS = [1, 2, 3, 5, 7, 11, 15] as const;
/** What a draft must be expected to gain. */
const MARGIN = 1.05;
/**
 * Classes of matches: the length below which each ends, and the share of right drafts that is
 * expected before there are observations.
 */
const CLASSES = [
  { below: 3, expected: 0.3 },
  { below: 4, expected: 0.4 },
  { below: 6, expected: 0.5 },
  { below: 10, expected: 0.7 },
  { below: 18, expected: 0.8 },
  { below: Number.POSITIVE_INFINITY, expected: 0.9 },
] as const;

/** What became of the drafts of a generation. */
export interface SpeculationCounts {
  /** Tokens that were drafted and computed. */
  readonly drafted: number;
  /** Those of them that were chosen, each of which saved a step. */
  readonly accepted: number;
}

/** Drafts for one text. */
export class Speculation {
  readonly #lookup: PromptLookup;
  readonly #costs: StepCosts;
  readonly #vocab: number;
  readonly #wanted: () => boolean;
  /** By class of match: how often the token after it is the one that followed there. */
  readonly #right = CLASSES.map(({ expected }) => new Share(expected));
  #match: Match | null = null;
  /** Tokens that the last step drafted and that are still open, and the logits after each. */
  #open: { readonly ids: readonly number[]; readonly logits: Float32Array; next: number } | null = null;
  #drafted = 0;
  #accepted = 0;

  /**
   * @param vocab V
   * @param wanted whether tokens may be drafted now
   */
  constructor(vocab: number, costs: StepCosts, wanted = () => true) {
    this.#lookup = new PromptLookup(vocab);
    this.#costs = costs;
    this.#vocab = vocab;
    this.#wanted = wanted;
  }

  get counts(): SpeculationCounts {
    return { drafted: this.#drafted, accepted: this.#accepted };
  }

  /** Takes in what it has not seen of the text: the prompt, then each token that was chosen. */
  follow(text: readonly number[]): void {
    const seen = this.#lookup.length;
    if (seen === text.length) return;
    if (this.#match) this.#right[classOf(this.#match.length)]!.note(this.#lookup.after(this.#match, 0) === text[seen]);
    for (let i = seen; i < text.length; i++) this.#lookup.push(text[i]!);
    this.#match = this.#lookup.find();
  }

  /**
   * Tokens to compute beside the last one of the text, at most `most`: as many as promise the most
   * tokens in a time, perhaps none.
   */
  draft(most: number): number[] {
    const match = this.#match;
    const plain = this.#costs.relative(1);
    if (match === null || plain === null || !this.#wanted()) return [];
    let best = 0;
    let value = MARGIN;
    let expected = 1; // tokens of a step
    let chance = 1; // that all tokens so far are right
    for (let n = 1; n <= Math.min(most, DRAFTS.at(-1)!); n++) {
      chance *= this.#right[classOf(match.length + n - 1)]!.value;
      expected += chance;
      if (!(DRAFTS as readonly number[]).includes(n)) continue;
      const gain = expected / this.#costs.relative(n + 1)!;
      if (gain > value) [best, value] = [n, gain];
    }
    return Array.from({ length: best }, (_, i) => this.#lookup.after(match, i));
  }

  /** A step computed `drafted` behind the last token: logits [n, V] after each of them. */
  offer(drafted: readonly number[], logits: Float32Array): void {
    this.#drafted += drafted.length;
    this.#open = { ids: drafted, logits, next: 0 };
  }

  /** The logits [V] after `id`, which was chosen, if it was drafted; else drops the rest. */
  take(id: number): Float32Array | null {
    const open = this.#open;
    if (open === null || open.ids[open.next] !== id) {
      this.#open = null;
      return null;
    }
    const at = open.next++ * this.#vocab;
    this.#accepted++;
    return open.logits.subarray(at, at + this.#vocab);
  }

  /** The drafts are of no use any more: their keys and values are gone. */
  drop(): void {
    this.#open = null;
  }

  /** A step of the last token and of drafted ones took so long. */
  took(tokens: number, ms: number): void {
    this.#costs.note(tokens, ms);
  }
}

function classOf(length: number): number {
  return CLASSES.findIndex(({ below }) => length < below);
}
