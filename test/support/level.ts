// How much the tests run: everything, or every part once.

/** Absent in a page, where the test that opens it chooses the cases. */
const env = (globalThis as { process?: { env: Record<string, string | undefined> } }).process?.env;

/** Whether to run also what repeats something else: every value of every axis with all others. */
export const ALL = env?.HOTSET_ALL_TESTS === "1";

/**
 * Whether to run all that there is: every adapter, browser and kernel variant, as CI does.
 * Otherwise (a plain `npm test`) every part once, on one adapter, in a quarter of the time.
 */
export const EVERYTHING = env === undefined || env.CI === "true" || ALL;

/**
 * Why a test is skipped that repeats another one on more cases; null if everything runs.
 */
export const leftToCi: string | null = EVERYTHING ? null : "skipped: more of the same, which CI=true runs";

/** Why a test is skipped that proves nothing new in CI either; null if everything runs. */
export const leftToAll: string | null = ALL ? null : "skipped: more of the same, which HOTSET_ALL_TESTS=1 runs";
