// Ctrl-C and a closed pipe as an AbortSignal, so that a command ends cleanly: nothing half-freed, no stack trace.

import { HotsetError } from "../errors.ts";

/** Why a command ended early, and the exit code that says so. It is no failure: nothing is printed. */
export class Interrupted extends HotsetError {
  readonly exitCode: number;
  constructor(message: string, exitCode: number) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** A step of a large model is not cut short by the signal: whoever pressed Ctrl-C does not wait longer than this. */
const GRACE_MS = 1000;

/**
 * Runs `work` with a signal that aborts on the first Ctrl-C (exit code 130), when nobody reads stdout any more, as in
 * `hotset generate ... | head -c 10` (exit code 0), and when stdout cannot be written (1; the listener in main.ts says
 * so). A second Ctrl-C kills the process at once.
 * @throws Interrupted if it was, whatever `work` made of the signal
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const onInterrupt = (): void => {
    controller.abort(new Interrupted("interrupted", 130));
    setTimeout(() => process.exit(130), GRACE_MS).unref();
  };
  const onStdoutError = (error: NodeJS.ErrnoException): void => {
    controller.abort(new Interrupted("stdout failed", error.code === "EPIPE" ? 0 : 1));
  };
  process.once("SIGINT", onInterrupt); // once: the second finds Node's default, which kills
  process.stdout.on("error", onStdoutError);
  try {
    return await work(controller.signal);
  } catch (error) {
    throw controller.signal.aborted ? controller.signal.reason : error;
  } finally {
    process.off("SIGINT", onInterrupt);
    process.stdout.off("error", onStdoutError);
  }
}
