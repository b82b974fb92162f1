// Timeouts of tests: they only tell a test that hangs from one on a slow or busy machine.

/** Milliseconds after which a test, hook or child process counts as hung. */
export const HUNG = 600_000;

/**
 * The same for what waits within a test and tells what it found before the test's own time ends:
 * expect.poll() by default (vitest.config.ts), vi.waitFor(), and pages (chromium.ts).
 */
export const PATIENT = { timeout: HUNG / 2 };
