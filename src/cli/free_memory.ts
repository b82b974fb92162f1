// Frees the memory of a closed model before another one is loaded.

import { setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

let collect: (() => void) | null = null;

/**
 * Collects garbage, once callers have returned. Weights lie in shared WebAssembly memories, which
 * only the garbage collector frees; it does not count their size, so by itself it may keep those of
 * many models. Takes tens of milliseconds.
 */
export async function freeMemory(): Promise<void> {
  await setImmediate();
  if (collect === null) {
    // The only way to the function for a program that was started without the flag.
    setFlagsFromString("--expose-gc");
    collect = runInNewContext("gc") as () => void;
    setFlagsFromString("--no-expose-gc");
  }
  collect();
}
