// Speculation: a step computes, beside the last token, drafted ones that may follow it. As long as
// the tokens that are chosen are the drafted ones, the logits after them are there already.
//
// Nothing is accepted that would not have been chosen: the sampler sees the same logits in the same
// order. So it needs a backend that gives a row the same logits beside a few others
// (Ops.rowsAgree). Where drafts are seldom right, or a step of several tokens costs too much, no
// draft is computed; whether they would be right is observed all the same, at no cost.

import { UNDECIDED } from "../backend/ops.ts";
import type { SpeculationCounts } from "./api.ts";
import { DEPTH } from "./depth.ts";
import type { Drafter } from "./drafter.ts";
import { ForcedShares } from "./forced_tokens.ts";
import { isCopy, MatchShares } from "./match_shares.ts";
import { mostGain } from "./most_gain.ts";
import type { Spelling } from "./spelling.ts";
import type { StepCosts } from "./step_costs.ts";
import { TextLookup, type TextMatch } from "./text_lookup.ts";

/** Drafted tokens that a step may have; products take rows by four. */
const DRAFTS = [1, 2, 3, 5, 7, 11, 15] as const;

const NONE: readonly number[] = [];

type Counts = { -readonly [K in keyof SpeculationCounts]: number };

/** Proposes what may follow a text: see drafter.ts. */
type Proposing = Pick<Drafter, "gate" | "propose" | "close">;

export interface SpeculationParts {
  /** Most rows of a step; default: any. */
  readonly rows?: number;
  /** Whether tokens may be drafted now; default: always. */
  readonly wanted?: () => boolean;
  /** Of this generation, which closes it; null: there is no draft model. */
  readonly drafter?: Proposing | null;
  /**
   * Counts of all generations, which this one adds to: drafts count once it is known whether they
   * are chosen, so that those which were not never become fewer.
   */
  readonly totals?: Counts;
  /** The tokens' bytes; null: they have no text. */
  readonly spelling?: Spelling | null;
  /** Tokens that a constraint leaves hardly a choice about; default: none. */
  readonly forced?: () => readonly number[];
  /** How often those are right, as earlier generations found; this one adds to it. */
  readonly forcedRight?: ForcedShares;
}

/** Tokens that a step drafted. */
interface Open {
  readonly ids: readonly number[];
  /** After each of them: logits [n, V], or the tokens [n] that the backend has chosen. */
  readonly after: Float32Array | Uint32Array;
  /** How many were chosen. */
  next: number;
  /** Whether the draft model proposed them. */
  readonly proposed: boolean;
}

/** Drafts for one text. */
export class Speculation {
  readonly #lookup: TextLookup;
  readonly #spelling: Spelling | null;
  readonly #costs: StepCosts;
  readonly #vocab: number;
  readonly #rows: number;
  readonly #wanted: () => boolean;
  readonly #drafter: Proposing | null;
  readonly #totals: Counts | null;
  readonly #right = new MatchShares();
  #match: TextMatch | null = null;
  /** Tokens that the last step drafted and that are still open, and the logits after each. */
  #open: Open | null = null;
  /** How many tokens the draft model is to propose, where leads() has found that; 0: it has not. */
  #toPropose = 0;
  /** What the draft model proposed for the next step. */
  #proposed: readonly number[] = [];
  /** Whether the last draft was that. */
  #offersProposed = false;
  readonly #forced: () => readonly number[];
  readonly #forcedRight: ForcedShares;
  /** Tokens that were forced when the last step began, whether or not it drafted them. */
  #awaited: readonly number[] = [];
  readonly #counts = { drafted: 0, accepted: 0 };

  /** @param vocab V */
  constructor(vocab: number, costs: StepCosts, parts: SpeculationParts = {}) {
    const { rows = Number.POSITIVE_INFINITY, wanted = () => true, drafter, totals, spelling = null } = parts;
    this.#forced = parts.forced ?? (() => NONE);
    this.#forcedRight = parts.forcedRight ?? new ForcedShares();
    this.#rows = rows;
    this.#lookup = new TextLookup(vocab, spelling);
    this.#spelling = spelling;
    this.#costs = costs;
    this.#vocab = vocab;
    this.#wanted = wanted;
    this.#drafter = drafter ?? null;
    this.#totals = totals ?? null;
  }

  /** Of this generation, drafts that are still open among them. */
  get counts(): SpeculationCounts {
    return { ...this.#counts };
  }

  /** Takes in what it has not seen of the text: the prompt, then each token that was chosen. */
  follow(text: readonly number[]): void {
    const seen = this.#lookup.length;
    if (seen === text.length) return;
    this.#proposed = []; // for a step that had no drafts, because others shared it
    if (this.#match) {
      const expected = this.#lookup.after(this.#match, 0);
      this.#right.note(this.#match, expected, this.#size(expected), expected === text[seen]);
    }
    if (this.#awaited.length > 0) this.#noteForced(text[seen]!);
    for (let i = seen; i < text.length; i++) this.#lookup.push(text[i]!);
    this.#match = this.#lookup.find();
  }

  #noteForced(id: number): void {
    const [awaited, ...later] = this.#awaited;
    this.#forcedRight.note(later.length === 0, awaited === id);
    this.#awaited = awaited === id ? later : NONE;
  }

  /**
   * Whether tokens should be drafted, `most` of them, while steps run ahead: those in flight come
   * first. To be asked once for a token that is computed without.
   */
  leads(most: number): boolean {
    const limit = Math.min(most, this.#rows - 1);
    if (limit < 1 || !this.#wanted()) return false;
    if (this.#expected(limit, DEPTH) > 0) return true;
    if (this.#toPropose === 0) this.#toPropose = this.#drafter?.gate.wanted(this.#costs, limit) ?? 0;
    return this.#toPropose > 0;
  }

  /**
   * Has up to `most` tokens drafted by the draft model, for the next draft(), where the text itself
   * does not say what may follow. `text`: all of it.
   * @throws the signal's reason
   */
  async propose(text: readonly number[], most: number, signal?: AbortSignal): Promise<void> {
    this.#proposed = [];
    const limit = Math.min(most, this.#rows - 1);
    if (this.#drafter === null || limit < 1 || !this.#wanted() || this.#expected(limit) > 0) return;
    if (this.#mostForced(this.#forced(), limit).length > 0) return;
    const count = Math.min(limit, this.#toPropose || this.#drafter.gate.wanted(this.#costs, limit));
    this.#toPropose = 0;
    if (count === 0) return;
    const ids = await this.#drafter.propose(text, count, signal);
    const foreign = ids.findIndex((id) => id >= this.#vocab); // its vocabulary may be padded further
    this.#proposed = foreign < 0 ? ids : ids.slice(0, foreign);
  }

  /** Tokens to compute beside the last one of the text, at most `most`, perhaps none. */
  draft(most: number): readonly number[] {
    const limit = Math.min(most, this.#rows - 1);
    const proposed = this.#proposed.slice(0, Math.max(0, limit));
    this.#proposed = [];
    this.#offersProposed = proposed.length > 0;
    if (!this.#wanted()) return [];
    const found = this.#found(limit);
    const likely = proposed.length > 0 ? proposed : found;
    // How a copy is spelled says more than how the tokenizer would spell it.
    const awaited = this.#match && isCopy(this.#match) ? NONE : this.#forced();
    if (awaited.length === 0) {
      this.#awaited = awaited;
      return likely;
    }
    this.#awaited = awaited.filter((id) => id < this.#vocab);
    const forced = this.#mostForced(this.#awaited, limit);
    if (forced.every((id, i) => id === likely[i])) return likely;
    const ofMatch = this.#promise(found.length, (n) => this.#chance(this.#match!, n));
    if (proposed.length === 0 && ofMatch > this.#promise(forced.length, this.#chanceOf(this.#awaited))) return found;
    this.#offersProposed = false;
    return forced;
  }

  /** Those behind the match that promise the most. */
  #found(limit: number): readonly number[] {
    const match = this.#match;
    const count = this.#expected(limit);
    return match === null || count === 0 ? NONE : Array.from({ length: count }, (_, i) => this.#lookup.after(match, i));
  }

  /** Tokens that a step with so many drafts promises in the time of one without. */
  #promise(drafts: number, chance: (n: number) => number): number {
    let [tokens, all] = [1, 1];
    for (let n = 1; n <= drafts; n++) tokens += all *= chance(n);
    return tokens / this.#costs.relative(drafts + 1)!;
  }

  #chanceOf(forced: readonly number[]): (n: number) => number {
    return (n) => this.#forcedRight.chance(n === forced.length);
  }

  /** So many of forced tokens that they promise the most. */
  #mostForced(ids: readonly number[], limit: number): readonly number[] {
    if (this.#costs.one === null) return [];
    const count = mostGain(
      DRAFTS.filter((n) => n <= Math.min(limit, ids.length)),
      this.#chanceOf(ids),
      (n) => this.#costs.relative(n + 1)!,
    );
    return ids.slice(0, count);
  }

  /**
   * A step computed `drafted` behind the last token. `after` each of them: logits [n, V], or the
   * tokens [n] that the backend has chosen.
   */
  offer(drafted: readonly number[], after: Float32Array | Uint32Array): void {
    this.#counts.drafted += drafted.length;
    this.#open = { ids: drafted, after, next: 0, proposed: this.#offersProposed };
  }

  /**
   * What comes after `id`, which was chosen, if it was drafted: logits [V], or the token that the
   * backend has chosen. Else, and where that is UNDECIDED, drops the rest.
   */
  take(id: number): Float32Array | number | null {
    const open = this.#open;
    if (open === null) return null;
    if (open.ids[open.next] !== id) {
      if (open.proposed) this.#drafter?.gate.observed(open.ids.length, open.next);
      this.drop();
      return null;
    }
    const at = open.next;
    const after = open.after instanceof Uint32Array ? open.after[at]! : null;
    if (after === UNDECIDED) {
      this.drop(); // the host computes this token again
      return after;
    }
    open.next++;
    this.#counts.accepted++;
    if (this.#totals) {
      this.#totals.drafted++;
      this.#totals.accepted++;
    }
    return after ?? (open.after as Float32Array).subarray(at * this.#vocab, (at + 1) * this.#vocab);
  }

  /** Open drafts are of no use any more: another token was chosen, or their keys are gone. */
  drop(): void {
    if (this.#open && this.#totals) this.#totals.drafted += this.#open.ids.length - this.#open.next;
    this.#open = null;
  }

  /** A step of so many tokens took so long. */
  took(tokens: number, ms: number): void {
    this.#costs.note(tokens, ms);
  }

  /**
   * Takes the time of a step of the last token and of drafted ones, if no work shares it, and if
   * there was one: a chain that the backend cannot choose gives null.
   */
  async timed<T>(
    rest: readonly number[],
    drafted: readonly number[],
    alone: () => boolean,
    step: () => Promise<T>,
  ): Promise<T> {
    const counts = rest.length === 1 && alone();
    const begun = performance.now();
    const result = await step();
    if (result !== null && counts && alone()) this.took(1 + drafted.length, performance.now() - begun);
    return result;
  }

  /** The generation is over. */
  close(): void {
    this.drop();
    this.#drafter?.close();
  }

  /**
   * How many tokens behind the match promise the most, at most `most`. Where `ahead` steps are in
   * flight, a draft behind them is of use only if their tokens are those that the match has too,
   * and waiting for them costs what a step with a draft takes longer than one that ran ahead.
   */
  #expected(most: number, ahead = 0): number {
    const match = this.#match;
    if (match === null || this.#costs.one === null) return 0;
    const chance = (n: number): number => this.#chance(match, n);
    const more = (drafts: number): number => this.#costs.relative(drafts + 1)! - 1;
    const waits = ahead > 0 ? more(1) : 0;
    let stays = 1;
    for (let n = 1; n <= ahead; n++) stays *= chance(n);
    return mostGain(
      DRAFTS.filter((n) => n <= most),
      (n) => chance(ahead + n) * (n === 1 ? stays : 1),
      (n) => 1 + stays * more(n) + waits,
    );
  }

  /** Of the nth token behind a match. */
  #chance(match: TextMatch, n: number): number {
    const id = this.#lookup.after(match, n - 1);
    return this.#right.chance(match, n, id, this.#size(id));
  }

  /** Bytes of a token; 0: it has no text. */
  #size(id: number): number {
    return this.#spelling?.bytes(id).length ?? 0;
  }
}
