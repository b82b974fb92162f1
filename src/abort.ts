// What happens when a signal aborts: one listener for each signal, however many wait for it. Node
// warns of a leak where a signal has more than ten, and callers give one signal to many streams.

import { abortReason } from "./errors.ts";

const watched = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls `work` once when `signal` aborts; never where it has aborted already.
 * @returns a function that prevents it
 */
export function onAbort(signal: AbortSignal | undefined, work: () => void): () => void {
  if (signal === undefined || signal.aborted) return () => {};
  const one = () => work(); // the same function may wait twice
  const works = watched.get(signal) ?? watch(signal);
  works.add(one);
  return () => void works.delete(one);
}

function watch(signal: AbortSignal): Set<() => void> {
  const works = new Set<() => void>();
  watched.set(signal, works);
  const abort = (): void => {
    for (const work of works) work();
    works.clear();
  };
  signal.addEventListener("abort", abort, { once: true });
  return works;
}

/** Resolves with `work`, or rejects with the signal's reason if that comes first. */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  let stay = (): void => {};
  try {
    return await Promise.race([
      work,
      new Promise<never>((_, reject) => {
        stay = onAbort(signal, () => reject(abortReason(signal)));
      }),
    ]);
  } finally {
    stay();
  }
}
