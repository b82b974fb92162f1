// Where tuning is remembered in a page: its origin's local storage.

import type { TuningStore } from "./autotune.ts";

interface Storage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

/** Local storage; nothing is remembered where the page may not have it. */
export function pageStore(): TuningStore {
  const storage = (): Storage | undefined => (globalThis as { localStorage?: Storage }).localStorage;
  return {
    async read(name) {
      try {
        return storage()?.getItem(`hotset ${name}`) ?? null;
      } catch {
        return null; // a page with an opaque origin
      }
    },
    async write(name, text) {
      try {
        storage()?.setItem(`hotset ${name}`, text);
      } catch {
        // No storage here, or it is full.
      }
    },
  };
}
