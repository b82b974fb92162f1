// How much the tests run: everything, or every part once.

/** Absent in a page, where the test that opens it chooses the cases. */
const env = (globalThis as { process?: { env: Record<string, string | undefined> } }).process?.env;

/** Whether to run also what repeats something else, on more formats or where it is slow. */
export const ALL = env?.HOTSET_ALL_TESTS === "1";

/**
 * Whether to run everything: every adapter, browser and kernel variant, as CI does, within 25
 * minutes on two cores. Otherwise (a plain `npm test`) every part once, on one adapter,
 * within five minutes.
 */
export const EVERYTHING = env === undefined || env.CI === "true" || ALL;

/**
 * Why a test is skipped that repeats another one on more cases; null if everything runs.
 */
export const leftToCi: string | null = EVERYTHING ? null : "skipped: more of the same, which CI=true runs";
