// Timeouts of tests: they only tell a test that hangs from one on a slow or busy machine.

/** Milliseconds after which a test, hook or child process counts as hung. */
export const HUNG = 600_000;

/** The same for expect.poll(), which tells what it found before the test's own time ends. */
export const PATIENT = { timeout: HUNG / 2 };
