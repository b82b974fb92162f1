// Tables of cases of which not every run takes all.

import { it } from "vitest";
import { EVERYTHING, leftToAll, leftToCi } from "./level.ts";

/** Names how many cases are left out. */
function leaveOut(count: number, why: string): void {
  if (count > 0) it.skip(`${count} more such cases [${why}]`, () => {});
}

/**
 * The cases of a table. Where not everything runs, `count` of them, spread over it, and a skipped
 * test says how many are left out: call it where the tests are declared.
 */
export function some<T>(cases: readonly T[], count: number): readonly T[] {
  if (EVERYTHING || cases.length <= count) return cases;
  leaveOut(cases.length - count, leftToCi!);
  return Array.from({ length: count }, (_, i) => cases[Math.floor((i * cases.length) / count)]!);
}

/**
 * The cases of a table; where not everything runs those that `isNew` chooses, called with each in
 * turn. As some(), it declares a skipped test.
 */
export function firsts<T>(cases: readonly T[], isNew: (one: T) => boolean): readonly T[] {
  if (EVERYTHING) return cases;
  const kept = cases.filter(isNew);
  leaveOut(cases.length - kept.length, leftToCi!);
  return kept;
}

/**
 * The cases of a table of which those that `show` chooses prove as much as all of them, which only
 * HOTSET_ALL_TESTS=1 runs. As some(), it declares a skipped test.
 */
export function shown<T>(cases: readonly T[], show: (one: T) => boolean): readonly T[] {
  const kept = leftToAll === null ? cases : cases.filter(show);
  leaveOut(cases.length - kept.length, leftToAll ?? "");
  return kept;
}
