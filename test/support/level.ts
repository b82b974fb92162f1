// How much the tests run: everything, or every part once.

/** Absent in a page, where the cases to run are chosen by the test that opens it. */
const env = (globalThis as { process?: { env: Record<string, string | undefined> } }).process?.env;

/**
 * Everything: every adapter, browser and form, as CI runs it, within 25 minutes on two cores.
 * Otherwise (a plain `npm test`) every part once, on one adapter, within five.
 */
export const EVERYTHING = env === undefined || env.CI === "true" || env.HOTSET_ALL_TESTS === "1";

/**
 * Why a test that repeats on other cases what one has shown is skipped where not everything runs;
 * null where it is not.
 */
export const leftToCi: string | null = EVERYTHING ? null : "skipped: more of the same, which CI=true runs";
