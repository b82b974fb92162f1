// A value that components follow.

import { useEffect, useState } from "preact/hooks";

export interface Store<T> {
  get(): T;
  /** Sets another value; followers hear of it if it is not the same. */
  set(next: T): void;
  /** Calls `heard` after each change. Returns how to stop. */
  follow(heard: () => void): () => void;
}

export function createStore<T>(first: T): Store<T> {
  let value = first;
  const followers = new Set<() => void>();
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      for (const heard of [...followers]) heard();
    },
    follow(heard) {
      followers.add(heard);
      return () => void followers.delete(heard);
    },
  };
}

/** The store's value; the component is drawn again when it changes. */
export function useStore<T>(store: Store<T>): T {
  const [, redraw] = useState<object>();
  const value = store.get();
  useEffect(() => {
    if (store.get() !== value) redraw({}); // it changed between drawing and here
    return store.follow(() => redraw({}));
  }, [store]);
  return value;
}
