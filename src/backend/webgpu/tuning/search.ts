// Chooses among candidates by their times: how many are tried, how much faster one must be, and
// when it ends.

/** A candidate takes the usual one's place only if it takes so much less time: timings differ. */
const MARGIN = 0.03;

/** Ends a search: after a time, or by a signal. */
export class Deadline {
  readonly #until: number;
  readonly #signal: AbortSignal | undefined;

  constructor(ms: number, signal?: AbortSignal) {
    this.#until = performance.now() + ms;
    this.#signal = signal;
  }

  /** @throws the signal's reason */
  get over(): boolean {
    this.#signal?.throwIfAborted();
    return performance.now() > this.#until;
  }

  /** The part of this deadline that is `share` of what is left. */
  part(share: number): Deadline {
    return new Deadline(Math.max(this.#until - performance.now(), 0) * share, this.#signal);
  }
}

/** A candidate and its time; null where it was left out. */
export interface Timed<T> {
  readonly candidate: T;
  readonly ms: number | null;
}

export interface Choice<T> {
  readonly found: T;
  /** All that were tried, the usual one first. */
  readonly timed: readonly Timed<T>[];
}

export interface Search<T> {
  /** What is used unless another is faster. */
  readonly usual: T;
  /** What every device computes rightly: used where the usual one does not. */
  readonly plain: T;
  /** Candidates, some of which follow from the best of the stages before. */
  readonly stages: readonly ((best: T) => readonly T[])[];
  /** Tells candidates apart. */
  readonly key: (candidate: T) => string;
  /**
   * Milliseconds, or null if it is not right. It may end early with any time above twice `best`.
   * Where not `timed`, only whether it is right is asked.
   */
  readonly measure: (candidate: T, best: number, timed: boolean) => Promise<number | null>;
}

/**
 * The fastest candidate that is right. The usual one is tried whatever the time; it stays if no
 * other is faster by the margin, or if time runs out before one is.
 * @throws the deadline's signal's reason, and what measure() throws
 */
export async function search<T>({ usual, plain, stages, key, measure }: Search<T>, end: Deadline): Promise<Choice<T>> {
  const timed: Timed<T>[] = [];
  const tried = new Set<string>();
  let best: { readonly candidate: T; readonly ms: number } | null = null;
  const attempt = async (candidate: T): Promise<number | null> => {
    const late = end.over;
    const name = key(candidate);
    if (tried.has(name) || (late && tried.size > 0)) return null;
    tried.add(name);
    const ms = await measure(candidate, best?.ms ?? Number.POSITIVE_INFINITY, !late);
    timed.push({ candidate, ms: late && ms !== null ? null : ms });
    if (ms !== null && (!best || ms < best.ms)) best = { candidate, ms };
    return ms;
  };
  const now = (): typeof best => best; // which attempt() changes
  const least = await attempt(usual);
  for (const stage of stages) for (const candidate of stage(now()?.candidate ?? usual)) await attempt(candidate);
  const fastest = now();
  if (!fastest) return { found: plain, timed };
  const enough = least === null || fastest.ms < least * (1 - MARGIN);
  return { found: enough ? fastest.candidate : usual, timed };
}
