// A draft model: a small model of the same vocabulary, which proposes tokens that follow a text.
// Its session goes back to where the text parts from what it proposed.

import type { Session } from "./api.ts";
import { DraftGate } from "./draft_gate.ts";
import type { Model } from "./model_api.ts";

/**
 * Tokens that a session may have to take in before it proposes: the last proposed one and the one
 * that was chosen after it. More of them would count as the time of a proposal.
 */
const BEHIND = 2;

/** A model that drafts for another one, V tokens of both. */
export class DraftModel {
  /** As the caller named it. */
  readonly name: string;
  readonly model: Model;
  /** Of all generations: what proposals are worth belongs to the two models. */
  readonly gate = new DraftGate();

  constructor(name: string, model: Model) {
    this.name = name;
    this.model = model;
  }
}

/** Proposes tokens for one generation. */
export class Drafter {
  readonly gate: DraftGate;
  readonly #draft: DraftModel;
  readonly #context: number;
  #session: Session | null = null;
  /** It cannot propose any more: it has no room for the text, say. */
  #failed = false;

  constructor(draft: DraftModel) {
    this.gate = draft.gate;
    this.#draft = draft;
    this.#context = draft.model.stats().context;
  }

  /**
   * `count` tokens that the draft model expects behind `text`, or fewer; none where it cannot say.
   * @throws the signal's reason
   */
  async propose(text: readonly number[], count: number, signal?: AbortSignal): Promise<number[]> {
    if (this.#failed || text.length + count > this.#context) return [];
    const ids: number[] = [];
    try {
      this.#session ??= this.#draft.model.session();
      const behind = text.length - this.#session.tokens.length;
      const begun = performance.now();
      const greedy = { temperature: 0, repeatPenalty: 1, ignoreEos: true, seed: 0 } as const;
      const options = { ...greedy, maxTokens: count, ...(signal && { signal }) };
      for await (const piece of this.#session.generate(text, options)) ids.push(...piece.ids);
      if (behind <= BEHIND) this.gate.took(ids.length, performance.now() - begun);
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof Error)) throw error;
      this.#failed = true; // the answer comes without
      return [];
    }
    return ids;
  }

  close(): void {
    this.#session?.close();
    this.#session = null;
    this.#failed = true;
  }
}
