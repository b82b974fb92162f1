// How much the tests run, and how patient they are.

/**
 * Everything: every adapter, browser and form, as CI runs it, within 25 minutes on two cores. Otherwise (a plain `npm test`)
 * every part once, on one adapter, within five.
 */
export const EVERYTHING = process.env.CI === "true" || process.env.HOTSET_ALL_TESTS === "1";

/** Why a test is skipped where not everything runs. */
export const LEFT_TO_CI = "skipped: CI=true runs it";

/** The same for tests that repeat what others have shown on fewer cases: null where they run. */
export const leftToCi: string | null = EVERYTHING ? null : LEFT_TO_CI;
