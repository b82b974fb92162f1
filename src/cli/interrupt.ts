// Turns Ctrl-C, SIGTERM and a closed pipe into an AbortSignal, so that a command ends cleanly,
// without a stack trace.

import { HotsetError } from "../errors.ts";

/** A command was ended early; its exit code says why. Not a failure: nothing is printed. */
export class Interrupted extends HotsetError {
  readonly exitCode: number;
  constructor(message: string, exitCode: number) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** The process exits after this time even if a step of a large model is still running. */
const GRACE_MS = 1000;
const INTERRUPTED = 130;
const TERMINATED = 143;

type OnTerminate = () => void;
const atOnce: OnTerminate = () => process.exit(TERMINATED);
let onTerminate = atOnce;
let handling = false;

/**
 * Makes SIGTERM end the process from now on. It does so by default, except in a container where the
 * command is process 1, which gets only the signals that it listens for.
 */
export function handleSigterm(): void {
  if (handling) return;
  handling = true;
  process.on("SIGTERM", () => onTerminate());
}

/** Ends the process after `ms`, whatever still runs. */
export function exitSoon(code: number, ms = GRACE_MS): void {
  setTimeout(() => process.exit(code), ms).unref();
}

/**
 * Runs `work` with a signal that aborts on the first Ctrl-C (exit code 130) or SIGTERM (143), when
 * the reader closes stdout, as in `hotset generate ... | head -c 10` (0), and when stdout cannot be
 * written (1; the listener in program.ts reports it). A second Ctrl-C or SIGTERM ends the process
 * at once.
 * @param drain called on SIGTERM; if it returns true, `work` is not aborted until the next SIGTERM
 * @throws Interrupted if it was aborted, however `work` reacted to the signal
 */
export async function interruptible<T>(
  work: (signal: AbortSignal) => Promise<T>,
  drain: () => boolean = () => false,
): Promise<T> {
  const controller = new AbortController();
  const end = (message: string, code: number): void => {
    if (controller.signal.aborted) process.exit(code);
    controller.abort(new Interrupted(message, code));
    exitSoon(code);
  };
  const onInterrupt = (): void => end("interrupted", INTERRUPTED);
  const onStdoutError = (error: NodeJS.ErrnoException): void => {
    controller.abort(new Interrupted("stdout failed", error.code === "EPIPE" ? 0 : 1));
  };
  handleSigterm();
  process.on("SIGINT", onInterrupt);
  process.stdout.on("error", onStdoutError);
  onTerminate = () => {
    if (!drain()) end("terminated", TERMINATED);
  };
  try {
    return await work(controller.signal);
  } catch (error) {
    throw controller.signal.aborted ? controller.signal.reason : error;
  } finally {
    process.off("SIGINT", onInterrupt);
    process.stdout.off("error", onStdoutError);
    onTerminate = atOnce;
  }
}
