// Tables of cases of which a plain `npm test` runs a few.

import { it } from "vitest";
import { EVERYTHING, leftToCi } from "./level.ts";

/**
 * The cases of a table. Where not everything runs, `count` of them, spread over it, and a skipped
 * test says how many are left out: call it where the tests are declared.
 */
export function some<T>(cases: readonly T[], count: number): readonly T[] {
  if (EVERYTHING || cases.length <= count) return cases;
  it.skip(`${cases.length - count} more such cases [${leftToCi}]`, () => {});
  return Array.from({ length: count }, (_, i) => cases[Math.floor((i * cases.length) / count)]!);
}
