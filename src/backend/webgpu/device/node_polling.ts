// Makes Dawn look less often for what a software adapter has finished. Node only.
//
// While anything is under way, Dawn's package for Node looks in every turn of the event loop
// (github.com/dawn-gpu/node-webgpu/issues/17), which keeps a processor busy that a software adapter
// computes and compiles with. It asks for the next turn through globalThis.setImmediate.

/** Turns that it looks in without a pause: what takes microseconds is not held up. */
const TURNS = 32;
/** Milliseconds from one look to the next after that. */
const PAUSE_MS = 1;

interface Installed {
  readonly original: typeof setImmediate;
  readonly paused: typeof setImmediate;
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
function paused(original: typeof setImmediate): typeof setImmediate {
  let [turns, last] = [0, 0];
  const schedule = (callback: (...args: unknown[]) => void, ...args: unknown[]): NodeJS.Immediate => {
    if (args.length > 0 || !isNative(callback)) return original(callback, ...args);
    const now = performance.now();
    // A pause is longer in a loop that has other work: only much longer ones are a new wait.
    turns = now - last > 50 * PAUSE_MS ? 0 : turns + 1;
    last = now;
    if (turns < TURNS) return original(callback);
    setTimeout(callback, PAUSE_MS);
    return undefined as unknown as NodeJS.Immediate; // Dawn keeps none
  };
  // promisify(setImmediate) goes on as it was.
  return Object.defineProperties(schedule, Object.getOwnPropertyDescriptors(original)) as typeof setImmediate;
}

/** Begins; returns what ends it, once. Those that overlap share one. */
export function pausePolling(): () => void {
  const { setImmediate: present } = globalThis;
  shared[INSTALLED] ??= { original: present, paused: paused(present), users: 0 };
  const installed = shared[INSTALLED];
  installed.users++;
  globalThis.setImmediate = installed.paused;
  let ended = false;
  return () => {
    if (ended) return;
    ended = true;
    installed.users--;
    if (installed.users > 0) return;
    shared[INSTALLED] = undefined;
    // Another package may have put its own in this place since.
    if (globalThis.setImmediate === installed.paused) globalThis.setImmediate = installed.original;
  };
}
