// What drafts gain of an answer that is known, at costs of steps that are given: the decisions of
// prompt lookup alone, without the noise of timing.

import { Speculation } from "../../src/engine/speculation.ts";
import type { Spelling } from "../../src/engine/spelling.ts";
import { StepCosts } from "../../src/engine/step_costs.ts";
import { type Answer, foreseen } from "./oracle.ts";

/** By tokens of a step, its cost of one of one: models/tales in f32 on two cores of an EPYC. */
const MEASURED = Object.entries({ 1: 1, 2: 1.33, 3: 1.62, 4: 1.8, 6: 2.3, 8: 2.6, 12: 3.2, 16: 4.5 }).map(
  ([tokens, cost]) => [Number(tokens), cost] as const,
);
/** Most tokens of a step. */
const MOST = 16;

/** A step's cost of one of one token, between sizes that were measured in proportion. */
export function measuredCost(tokens: number): number {
  const at = Math.max(
    1,
    MEASURED.findIndex(([size]) => size >= tokens),
  );
  const [below, from] = MEASURED[at - 1]!;
  const [above, to] = MEASURED[at]!;
  return from + ((to - from) * (tokens - below)) / (above - below);
}

/** Steps of so many tokens cost so much of a step of one, whatever they take here. */
export class GivenCosts extends StepCosts {
  override readonly relative: (tokens: number) => number;

  constructor(relative: (tokens: number) => number) {
    super();
    this.relative = relative;
  }

  override get one(): number {
    return 1;
  }

  override note(): void {}
}

export interface Replayed {
  /** What steps of one token cost, of what they cost with drafts. */
  readonly gain: number;
  /** The same where exactly those are drafted that the lookup has right, as far as they pay. */
  readonly known: number;
  readonly drafted: number;
  readonly accepted: number;
}

/** The steps of an answer after its first token. */
export function replayed(answer: Answer, spelling: Spelling, vocab: number, cost = measuredCost): Replayed {
  const { prompt, ids } = answer;
  const speculation = new Speculation(vocab, new GivenCosts(cost), { spelling });
  const text = [...prompt];
  let [spent, drafted, accepted] = [0, 0, 0];
  for (let at = 0; at < ids.length - 1; at++) {
    text.push(ids[at]!);
    speculation.follow(text);
    if (speculation.take(ids[at]!) !== null) {
      accepted++;
      continue;
    }
    const drafts = speculation.draft(Math.min(ids.length - at - 2, MOST - 1));
    spent += cost(1 + drafts.length);
    drafted += drafts.length;
    if (drafts.length > 0) speculation.offer(drafts, new Float32Array(0));
  }
  const known = knownCost(foreseen(answer, vocab, spelling).slice(prompt.length), cost);
  return { gain: (ids.length - 1) / spent, known: (ids.length - 1) / known, drafted, accepted };
}

/** What the steps cost where the drafts that are known to be right come as often as they pay. */
function knownCost(right: readonly boolean[], cost: (tokens: number) => number): number {
  let spent = 0;
  for (let at = 1; at < right.length; ) {
    let best = 1;
    for (let n = 2; n <= MOST && right[at + n - 1]; n++) if (n / cost(n) > best / cost(best)) best = n;
    spent += cost(best);
    at += best;
  }
  return spent;
}
