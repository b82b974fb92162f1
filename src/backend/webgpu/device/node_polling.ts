// Makes Dawn look less often for what a software adapter has finished. Node only.
//
// While anything is under way, Dawn's package for Node looks in every turn of the event loop
// (github.com/dawn-gpu/node-webgpu/issues/17), which keeps a processor busy that a software adapter
// computes and compiles with. It asks for the next turn through globalThis.setImmediate.

/** Turns that it looks in without a pause: what takes microseconds is not held up. */
const TURNS = 32;
/** Milliseconds from one look to the next after that. */
const PAUSE_MS = 1;
/** Looks that an end waits for at most: a destroyed device has nothing under way by then. */
const LAST_LOOKS = 20;

interface Installed {
  readonly original: typeof setImmediate;
  readonly paused: typeof setImmediate;
  /** Looks that are waiting for their timer. */
  readonly waiting: Set<Promise<void>>;
  users: number;
}

// On globalThis, so that two copies of this module share it.
const INSTALLED = Symbol.for("hotset.webgpu.polling");
const shared = globalThis as { [INSTALLED]?: Installed | undefined };

/** Whether `callback` may be Dawn's: a native function without a name and parameters. */
function isNative(callback: unknown): callback is () => void {
  if (typeof callback !== "function" || callback.name !== "" || callback.length > 0) return false;
  return Function.prototype.toString.call(callback).includes("[native code]");
}

/** Stands for `original`; only what may be Dawn's waits, and only after `TURNS` in a row. */
function paused(original: typeof setImmediate, waiting: Set<Promise<void>>): typeof setImmediate {
  let [turns, last] = [0, 0];
  const schedule = (callback: (...args: unknown[]) => void, ...args: unknown[]): NodeJS.Immediate => {
    if (args.length > 0 || !isNative(callback)) return original(callback, ...args);
    const now = performance.now();
    // A pause is longer in a loop that has other work: only much longer ones are a new wait.
    turns = now - last > 50 * PAUSE_MS ? 0 : turns + 1;
    last = now;
    if (turns < TURNS) return original(callback);
    const look = new Promise<void>((resolve) => {
      setTimeout(() => {
        waiting.delete(look);
        callback();
        resolve();
      }, PAUSE_MS);
    });
    waiting.add(look);
    return undefined as unknown as NodeJS.Immediate; // Dawn keeps none
  };
  // promisify(setImmediate) goes on as it was.
  return Object.defineProperties(schedule, Object.getOwnPropertyDescriptors(original)) as typeof setImmediate;
}

/**
 * Begins; returns what ends it, once. Those that overlap share one. The end resolves when no look
 * waits any more: until then Dawn must be kept, or it is called after it has gone.
 */
export function pausePolling(): () => Promise<void> {
  const { setImmediate: present } = globalThis;
  if (!shared[INSTALLED]) {
    const waiting = new Set<Promise<void>>();
    shared[INSTALLED] = { original: present, paused: paused(present, waiting), waiting, users: 0 };
  }
  const installed = shared[INSTALLED];
  installed.users++;
  globalThis.setImmediate = installed.paused;
  let ended = false;
  return async () => {
    if (!ended) {
      ended = true;
      installed.users--;
      if (installed.users === 0) {
        shared[INSTALLED] = undefined;
        // Another package may have put its own in this place since.
        if (globalThis.setImmediate === installed.paused) globalThis.setImmediate = installed.original;
      }
    }
    // Looks follow each other until all is finished. Those of another adapter may go on.
    for (let round = 0; round < LAST_LOOKS && installed.waiting.size > 0; round++) await Promise.all(installed.waiting);
  };
}
