// What a person can do with the conversation in view, while others are answered in the background.
// Every change is kept at once.

import type { Message, PageEngine, TokenShare } from "../engine.ts";
import { createStore, type Store } from "../store.ts";
import { answered } from "./answering.ts";
import {
  branchOf,
  type Conversation,
  joined,
  type Kind,
  type Node,
  newConversation,
  newId,
  openCalls,
  showing,
  withNode,
} from "./conversation.ts";
import type { Head, Library } from "./library.ts";
import { requestOf } from "./requests.ts";
import { PLAIN, type Settings, SettingsError } from "./settings.ts";
import { chosenInstead } from "./token_choice.ts";

/** While an answer is written it is kept so often. */
const KEEP_MS = 2000;
/** Settings are kept when the person has paused. */
const PAUSE_MS = 400;

type AssistantMessage = Extract<Message, { role: "assistant" }>;

export interface Controller {
  readonly conversation: Store<Conversation>;
  /** The answer that is written in view, which the conversation has as it began; null: none. */
  readonly live: Store<Node | null>;
  /** Ids of the conversations that an answer is being written to. */
  readonly answering: Store<ReadonlySet<string>>;
  /** What the person must mend before a request can be made; null: nothing. */
  readonly complaint: Store<string | null>;
  readonly heads: Store<readonly Head[]>;
  /** The model that answers. */
  model: string | null;
  begin(kind: Kind): void;
  open(id: string): Promise<void>;
  rename(id: string, title: string): Promise<void>;
  remove(id: string): Promise<void>;
  /** Keeps conversations that were imported, and opens the first. */
  add(conversations: readonly Conversation[]): Promise<void>;
  set(settings: Partial<Settings>): void;
  /** Appends the person's message, in a text the beginning. Returns whether it is answered. */
  send(text: string): boolean;
  stop(): void;
  /** Answers the message before `node` once more, as a branch. */
  regenerate(node: Node): void;
  /** Another text in place of a message's, as a branch; a person's message is then answered. */
  edit(node: Node, text: string): void;
  /** Goes on with an answer where it ended. */
  goOn(node: Node): void;
  /** Another token in place of an answer's, and on from there, as a branch. */
  choose(node: Node, at: number, choice: TokenShare): void;
  /** Results of the open calls by the calls' ids; the model then goes on. */
  giveResults(results: ReadonlyMap<string, string>): void;
  /** Brings the branch of a message into view. */
  show(node: Node): void;
}

/** An answer that is being written. */
interface Running {
  readonly abort: AbortController;
  /** The conversation as it was left; while it is in view, the store's counts. */
  left: Conversation;
  node: Node;
}

/** @param first the conversation to begin with; absent: a new one */
export function createController(engine: PageEngine, library: Library, first?: Conversation): Controller {
  const conversation = createStore(first ?? newConversation("chat", PLAIN));
  const live = createStore<Node | null>(null);
  const answering = createStore<ReadonlySet<string>>(new Set());
  const complaint = createStore<string | null>(null);
  const heads = createStore<readonly Head[]>([]);
  /** Answers that were being written to them must not bring them back. */
  const removed = new Set<string>();
  const running = new Map<string, Running>();
  let opened = 0; // of two that are opened, the later one comes into view
  let pause: ReturnType<typeof setTimeout> | undefined;

  const list = async (): Promise<void> => heads.set(await library.heads());
  const keep = async (one: Conversation): Promise<void> => {
    if (one.nodes.size === 0 || removed.has(one.id)) return;
    try {
      await library.save(one);
      await list();
    } catch (error) {
      complaint.set(`This conversation could not be kept: ${(error as Error).message}. Export it, or free some space.`);
    }
  };
  const change = (next: Conversation): void => {
    conversation.set(next);
    void keep(next);
  };
  /** A conversation that is in view or being answered, as it is now. */
  const known = (id: string): Conversation | undefined =>
    conversation.get().id === id ? conversation.get() : running.get(id)?.left;
  const view = (next: Conversation): void => {
    void keep(conversation.get());
    const left = running.get(conversation.get().id);
    if (left) left.left = conversation.get();
    conversation.set(next);
    live.set(running.get(next.id)?.node ?? null);
    complaint.set(null);
  };
  const forget = (id: string): void => {
    removed.add(id);
    running.get(id)?.abort.abort();
    if (conversation.get().id === id) controller.begin(conversation.get().kind);
  };
  /** Takes over what another tab has written to the conversation in view. */
  const join = async (): Promise<void> => {
    const { id } = conversation.get();
    const kept = await library.load(id);
    const now = conversation.get();
    if (kept !== null && now.id === id && !running.has(id)) conversation.set(joined(now, kept));
  };
  library.follow((gone) => {
    if (gone !== null) forget(gone);
    void list();
    void join();
  });
  void list();

  /** Writes the answer that begins as `start`. */
  async function write(start: Node): Promise<void> {
    const { id } = conversation.get();
    if (controller.model === null || running.has(id)) return;
    const begun = withNode(conversation.get(), start);
    const branch = branchOf(begun);
    const isNew = start.message.content === "" && (start.message as AssistantMessage).reasoning === undefined;
    try {
      const request = requestOf(begun, isNew ? branch.slice(0, -1) : branch, controller.model);
      const mine: Running = { abort: new AbortController(), left: begun, node: start };
      running.set(id, mine);
      complaint.set(null);
      live.set(start);
      answering.set(new Set(running.keys()));
      change(begun);
      let kept = performance.now();
      const onChange = (node: Node): void => {
        mine.node = node;
        if (conversation.get().id === id) live.set(node);
        if (performance.now() - kept < KEEP_MS) return;
        kept = performance.now();
        void keep(withAnswer(known(id)!, node));
      };
      const node = await answered({ node: start, request, engine, signal: mine.abort.signal, onChange });
      const done = withAnswer(known(id)!, node);
      running.delete(id);
      answering.set(new Set(running.keys()));
      void keep(done);
      if (conversation.get().id !== id) return;
      conversation.set(done);
      live.set(null);
    } catch (error) {
      if (!(error instanceof SettingsError)) throw error;
      complaint.set(error.message);
    }
  }

  const nodeOf = (parent: string | null, message: Message): Node => ({
    id: newId(),
    parent,
    created: Date.now(),
    message,
  });
  const answer = (parent: string): void => void write(nodeOf(parent, { role: "assistant", content: "" }));
  const copyOf = (node: Node): Node => {
    const { end: _, ...rest } = node;
    return { ...rest, id: newId(), created: Date.now() };
  };
  /** Whether a request could be made of the settings. */
  const sound = (): boolean => {
    try {
      requestOf(conversation.get(), [], controller.model ?? "");
      return true;
    } catch (error) {
      if (!(error instanceof SettingsError)) throw error;
      complaint.set(error.message);
      return false;
    }
  };
  const controller: Controller = {
    conversation,
    live,
    answering,
    complaint,
    heads,
    model: null,
    begin(kind) {
      opened++;
      view(newConversation(kind, conversation.get().settings));
    },
    async open(id) {
      const mine = ++opened;
      const found = known(id) ?? (await library.load(id));
      if (found === null) return list();
      if (mine === opened && conversation.get().id !== id) view(known(id) ?? found);
    },
    async rename(id, title) {
      const found = known(id) ?? (await library.load(id));
      if (found === null) return;
      const next = { ...(known(id) ?? found), title };
      const behind = running.get(id);
      if (conversation.get().id === id) conversation.set(next);
      else if (behind) behind.left = next;
      await keep(next);
    },
    async remove(id) {
      forget(id);
      await library.remove(id);
      await list();
    },
    async add(conversations) {
      await library.add(conversations);
      await list();
      if (conversations[0] !== undefined) await controller.open(conversations[0].id);
    },
    set(settings) {
      const now = conversation.get();
      complaint.set(null);
      conversation.set({ ...now, settings: { ...now.settings, ...settings } });
      clearTimeout(pause);
      pause = setTimeout(() => {
        if (conversation.get().id === now.id) void keep(conversation.get());
      }, PAUSE_MS);
    },
    send(text) {
      if (text === "" || live.get() !== null || controller.model === null || !sound()) return false;
      const now = conversation.get();
      const open = openCalls(branchOf(now));
      if (open.length > 0) {
        complaint.set("The model waits for the results of its calls: give them, or edit your message.");
        return false;
      }
      const node = nodeOf(now.kind === "text" ? null : now.leaf, { role: "user", content: text });
      change(withNode(now, node));
      answer(node.id);
      return true;
    },
    stop: () => running.get(conversation.get().id)?.abort.abort(),
    regenerate(node) {
      if (node.parent !== null && sound()) answer(node.parent);
    },
    edit(node, text) {
      if (live.get() !== null || !sound()) return;
      const { tokens: _, tokensFrom: __, ...copy } = copyOf(node);
      const written = node.message.role === "assistant" && { end: { model: "", reason: "edited" } };
      const next: Node = { ...copy, message: { ...node.message, content: text }, ...written };
      change(withNode(conversation.get(), next));
      if (node.message.role === "user") answer(next.id);
    },
    goOn: (node) => void write(copyOf(node)),
    choose(node, at, choice) {
      const next = chosenInstead(node, at, choice);
      if (next === null || live.get() !== null) return;
      // The token that ends an answer: there is nothing to go on with.
      if (choice.bytes.length === 0) change(withNode(conversation.get(), ended(copyOf(next), node)));
      else void write(copyOf(next));
    },
    giveResults(results) {
      let now = conversation.get();
      if (live.get() !== null) return;
      for (const { id } of openCalls(branchOf(now)))
        now = withNode(now, nodeOf(now.leaf, { role: "tool", callId: id, content: results.get(id) ?? "" }));
      if (now.leaf === null) return;
      change(now);
      answer(now.leaf);
    },
    show: (node) => change(showing(conversation.get(), node.id)),
  };
  return controller;
}

/** The conversation with an answer as it is now; the branch in view stays. */
function withAnswer(conversation: Conversation, node: Node): Conversation {
  return { ...withNode(conversation, node), leaf: conversation.leaf };
}

function ended(node: Node, from: Node): Node {
  return { ...node, end: { model: from.end?.model ?? "", reason: "stop" } };
}
