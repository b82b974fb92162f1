// Several answers to one request (n choices, a list of prompts): runs a few at a time, and tags
// their events by index.

/** An event of the answer `index`. */
export interface Indexed<T> {
  readonly index: number;
  readonly event: T;
}

/**
 * The events of all answers as they come, from at most `atOnce` answers at a time, each at most one
 * event ahead of the reader. The first failure ends them all; so does leaving the iteration.
 */
export async function* together<T>(
  starts: readonly (() => AsyncIterator<T>)[],
  atOnce: number,
): AsyncGenerator<Indexed<T>> {
  const running = new Map<number, AsyncIterator<T>>();
  const waiting = new Map<number, Promise<{ index: number; next: IteratorResult<T> }>>();
  let started = 0;
  const ask = (index: number, answer: AsyncIterator<T>): void => {
    const asked = answer.next().then((next) => ({ index, next }));
    asked.catch(() => {}); // reported by the race below, or dropped with the others
    waiting.set(index, asked);
  };
  try {
    for (;;) {
      while (started < starts.length && running.size < atOnce) {
        const answer = starts[started]!();
        running.set(started, answer);
        ask(started++, answer);
      }
      if (running.size === 0) return;
      const { index, next } = await Promise.race(waiting.values());
      const answer = running.get(index)!;
      if (next.done) {
        running.delete(index);
        waiting.delete(index);
      } else {
        yield { index, event: next.value };
        ask(index, answer);
      }
    }
  } finally {
    for (const answer of running.values()) answer.return?.().catch(() => {});
  }
}
