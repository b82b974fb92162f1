// Which conversation this tab has in view, so that a reload brings it back.

const KEPT = "hotset.conversation";

export const inView = {
  /** Its id; null: none is known. */
  get(): string | null {
    try {
      return sessionStorage.getItem(KEPT);
    } catch {
      return null; // the browser keeps nothing
    }
  },
  set(id: string): void {
    try {
      sessionStorage.setItem(KEPT, id);
    } catch {
      // A reload then begins a new conversation.
    }
  },
};
