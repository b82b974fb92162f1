// How long a test may take: limits tell a test that hangs from one on a slow or busy machine, and
// nothing else.

/** Milliseconds after which a test, a hook or a process that a test waits for counts as hung. */
export const HUNG = 600_000;

/** The same for expect.poll(). */
export const PATIENT = { timeout: HUNG };
