// How many drafted tokens a step should have: those that promise the most tokens in a time.

/**
 * What drafted tokens must be expected to gain. A step of one token that follows takes longer than
 * others, as caches have other experts then (models/tales in f32 on two cores: by an eighth).
 */
const MARGIN = 1.1;

/**
 * @param counts of drafted tokens that a step may have, ascending
 * @param chance of the nth drafted token to be chosen if all before it are, n from 1
 * @param cost of a step with n drafted tokens, their drafting included, in terms of one with none
 * @returns one of the counts, or 0
 */
export function mostGain(
  counts: readonly number[],
  chance: (n: number) => number,
  cost: (n: number) => number,
): number {
  let best = 0;
  let value = MARGIN;
  let expected = 1; // tokens of a step
  let all = 1; // the chance of all tokens so far
  let n = 0;
  for (const count of counts) {
    while (n < count) {
      all *= chance(++n);
      expected += all;
    }
    const gain = expected / cost(count);
    if (gain > value) [best, value] = [count, gain];
  }
  return best;
}
