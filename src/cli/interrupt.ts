// Ctrl-C, SIGTERM and a closed pipe as an AbortSignal, so that a command ends cleanly: nothing half-freed, no stack trace.

import { HotsetError } from "../errors.ts";

/** Why a command ended early, and the exit code that says so. It is no failure: nothing is printed. */
export class Interrupted extends HotsetError {
  readonly exitCode: number;
  constructor(message: string, exitCode: number) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** A step of a large model is not cut short by a signal: the process is gone after so long all the same. */
const GRACE_MS = 1000;
const INTERRUPTED = 130;
const TERMINATED = 143;

type OnTerminate = () => void;
const atOnce: OnTerminate = () => process.exit(TERMINATED);
let onTerminate = atOnce;
let heeding = false;

/**
 * Makes SIGTERM end the process, from now on. It does by default, but not in a container, where the command is the first
 * process: that one gets only the signals that it listens for.
 */
export function heedTermination(): void {
  if (heeding) return;
  heeding = true;
  process.on("SIGTERM", () => onTerminate());
}

/** Ends the process in a moment, whatever still runs. */
export function exitSoon(code: number, ms = GRACE_MS): void {
  setTimeout(() => process.exit(code), ms).unref();
}

/**
 * Runs `work` with a signal that aborts on the first Ctrl-C (exit code 130) or SIGTERM (143), when nobody reads stdout any
 * more, as in `hotset generate ... | head -c 10` (0), and when stdout cannot be written (1; the listener in program.ts says
 * so). A second Ctrl-C or SIGTERM ends the process at once.
 * @param drain what a SIGTERM begins instead, if it can: true, and the next one ends `work`
 * @throws Interrupted if it was, whatever `work` made of the signal
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
  heedTermination();
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
