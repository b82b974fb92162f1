// The conversations that this browser keeps, in IndexedDB; in memory where it keeps nothing.

import type { Conversation, Kind, Node } from "./conversation.ts";

/** What the list shows of a conversation. */
export interface Head {
  readonly id: string;
  readonly title: string;
  readonly kind: Kind;
  readonly updated: number;
}

export interface Library {
  /** Whether conversations outlive the page. */
  readonly lasts: boolean;
  /** The newest first. */
  heads(): Promise<readonly Head[]>;
  load(id: string): Promise<Conversation | null>;
  /** Keeps a conversation. Messages that another tab has added to it stay. */
  save(conversation: Conversation): Promise<void>;
  /** Keeps new conversations, all or none. */
  add(conversations: readonly Conversation[]): Promise<void>;
  remove(id: string): Promise<void>;
  /** Ids of the conversations whose title or messages have the text, in any case of letters. */
  search(text: string): Promise<ReadonlySet<string>>;
  /** Every conversation, one after the other. */
  all(): Promise<readonly Conversation[]>;
  /**
   * Calls `heard` when another tab has changed something, with the id of the conversation that it
   * has removed, or null. Returns how to stop.
   */
  follow(heard: (removed: string | null) => void): () => void;
}

const NAME = "hotset";
const WHOLE = "conversations";
const HEADS = "heads";
/** Conversations that are added before others get the page's thread. */
const AT_ONCE = 50;
/** A kept conversation: a plain list in place of the map. */
type Kept = Omit<Conversation, "nodes"> & { readonly nodes: readonly Node[] };

export async function openLibrary(): Promise<Library> {
  let database: IDBDatabase;
  try {
    database = await opened();
  } catch {
    return inMemory();
  }
  const channel = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel(NAME);
  const changed = (removed: string | null = null): void => channel?.postMessage(removed);
  const read = async <T>(store: string, ask: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> =>
    resultOf(ask(database.transaction(store, "readonly").objectStore(store)));
  const all = async (): Promise<readonly Conversation[]> =>
    (await read<Kept[]>(WHOLE, (store) => store.getAll())).map(asConversation).sort(newestFirst);
  return {
    lasts: true,
    heads: async () => [...(await read<Head[]>(HEADS, (store) => store.getAll()))].sort(newestFirst),
    async load(id) {
      const kept = await read<Kept | undefined>(WHOLE, (store) => store.get(id));
      return kept === undefined ? null : asConversation(kept);
    },
    async save(conversation) {
      const transaction = database.transaction([WHOLE, HEADS], "readwrite");
      const whole = transaction.objectStore(WHOLE);
      const before = await resultOf<Kept | undefined>(whole.get(conversation.id));
      const nodes = new Map((before?.nodes ?? []).map((node) => [node.id, node]));
      for (const node of conversation.nodes.values()) nodes.set(node.id, node);
      whole.put({ ...conversation, nodes: [...nodes.values()] } satisfies Kept);
      transaction.objectStore(HEADS).put(headOf(conversation));
      await finished(transaction);
      changed();
    },
    async add(conversations) {
      const transaction = database.transaction([WHOLE, HEADS], "readwrite");
      for (const [i, one] of conversations.entries()) {
        transaction.objectStore(WHOLE).put({ ...one, nodes: [...one.nodes.values()] } satisfies Kept);
        const put = transaction.objectStore(HEADS).put(headOf(one));
        if (i % AT_ONCE === AT_ONCE - 1) await resultOf(put); // the page must not stall
      }
      await finished(transaction);
      changed();
    },
    async remove(id) {
      const transaction = database.transaction([WHOLE, HEADS], "readwrite");
      transaction.objectStore(WHOLE).delete(id);
      transaction.objectStore(HEADS).delete(id);
      await finished(transaction);
      changed(id);
    },
    search: async (text) => found(await all(), text),
    all,
    follow(heard) {
      const onMessage = ({ data }: MessageEvent<unknown>): void => heard(typeof data === "string" ? data : null);
      channel?.addEventListener("message", onMessage);
      return () => channel?.removeEventListener("message", onMessage);
    },
  };
}

function inMemory(): Library {
  const kept = new Map<string, Conversation>();
  const all = async (): Promise<readonly Conversation[]> => [...kept.values()].sort(newestFirst);
  return {
    lasts: false,
    heads: async () => (await all()).map(headOf),
    load: async (id) => kept.get(id) ?? null,
    save: async (conversation) => void kept.set(conversation.id, conversation),
    async add(conversations) {
      for (const one of conversations) kept.set(one.id, one);
    },
    remove: async (id) => void kept.delete(id),
    search: async (text) => found(await all(), text),
    all,
    follow: () => () => {},
  };
}

function opened(): Promise<IDBDatabase> {
  const request = indexedDB.open(NAME, 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore(WHOLE, { keyPath: "id" });
    request.result.createObjectStore(HEADS, { keyPath: "id" });
  };
  return resultOf(request);
}

function resultOf<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function finished(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onerror = () => reject(transaction.error);
    transaction.onabort = () => reject(transaction.error);
  });
}

function asConversation(kept: Kept): Conversation {
  return { ...kept, nodes: new Map(kept.nodes.map((node) => [node.id, node])) };
}

function headOf({ id, title, kind, updated }: Conversation): Head {
  return { id, title, kind, updated };
}

function newestFirst(a: { readonly updated: number }, b: { readonly updated: number }): number {
  return b.updated - a.updated;
}

function found(all: readonly Conversation[], text: string): ReadonlySet<string> {
  const wanted = text.toLowerCase();
  const has = (said: string): boolean => said.toLowerCase().includes(wanted);
  return new Set(
    all
      .filter(({ title, nodes }) => has(title) || [...nodes.values()].some(({ message }) => has(message.content)))
      .map(({ id }) => id),
  );
}
