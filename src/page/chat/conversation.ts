// A conversation as a tree: every edit and every new answer is a branch, and nothing is lost.

import type { Message, TokenChoice, ToolCall, Usage } from "../engine.ts";
import type { Settings } from "./settings.ts";

/** "chat": messages by turns; "text": a text that the model continues, as a base model does. */
export type Kind = "chat" | "text";

/**
 * A message in the tree. In a text the user's message is the beginning, the assistant's the rest.
 */
export interface Node {
  readonly id: string;
  /** The message before it; null: it is the first. */
  readonly parent: string | null;
  /** Milliseconds since 1970. */
  readonly created: number;
  readonly message: Message;
  /** The answer's tokens, where probabilities were asked for. */
  readonly tokens?: readonly TokenChoice[];
  /** Where in its text the tokens begin. Default 0. */
  readonly tokensFrom?: number;
  /** How the answer ended; absent for other messages. */
  readonly end?: Ending;
}

/** How an answer ended, and what it took. */
export interface Ending {
  readonly model: string;
  /** The engine's reason, "stopped" by the person, or "failed". */
  readonly reason: string;
  /** Why it failed. */
  readonly error?: string;
  /** HTTP's status of the failure; 0: there was no answer. */
  readonly status?: number;
  readonly usage?: Usage;
  /** To its first token, and from there to its end. */
  readonly firstMs?: number;
  readonly answerMs?: number;
}

export interface Conversation {
  readonly id: string;
  readonly kind: Kind;
  /** "" until the first message gives it one. */
  readonly title: string;
  readonly created: number;
  readonly updated: number;
  /** By id; a message comes behind the one that it follows. */
  readonly nodes: ReadonlyMap<string, Node>;
  /** The last message of the branch in view; null: there is none. */
  readonly leaf: string | null;
  readonly settings: Settings;
}

const LONGEST_TITLE = 60;

export function newConversation(kind: Kind, settings: Settings): Conversation {
  const now = Date.now();
  return { id: newId(), kind, title: "", created: now, updated: now, nodes: new Map(), leaf: null, settings };
}

export function newId(): string {
  // crypto.randomUUID() is only there on https and localhost.
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The messages of the branch in view, the first one first. */
export function branchOf({ nodes, leaf }: Pick<Conversation, "nodes" | "leaf">): readonly Node[] {
  const branch: Node[] = [];
  for (let node = leaf === null ? undefined : nodes.get(leaf); node; ) {
    branch.push(node);
    node = node.parent === null ? undefined : nodes.get(node.parent);
  }
  return branch.reverse();
}

/** The messages that stand in the same place, the oldest first. */
export function siblingsOf({ nodes }: Conversation, { parent }: Node): readonly Node[] {
  return [...nodes.values()].filter((node) => node.parent === parent);
}

/** The conversation with one more message, or another in its place, which is then the last. */
export function withNode(conversation: Conversation, node: Node): Conversation {
  const nodes = new Map(conversation.nodes).set(node.id, node);
  const title = conversation.title === "" && node.message.role === "user" ? titleOf(node.message.content) : null;
  return { ...conversation, ...(title !== null && { title }), nodes, leaf: node.id, updated: Date.now() };
}

/** The conversation with the branch of `id` in view, to the end of what was written last there. */
export function showing(conversation: Conversation, id: string): Conversation {
  const last = new Map<string | null, string>();
  for (const node of conversation.nodes.values()) last.set(node.parent, node.id);
  let leaf = id;
  for (let next = last.get(leaf); next !== undefined; next = last.get(leaf)) leaf = next;
  return { ...conversation, leaf };
}

/**
 * The conversation in view with what another tab has kept of it. Where that goes on from the last
 * message in view, its end comes into view.
 */
export function joined(now: Conversation, kept: Conversation): Conversation {
  const nodes = new Map(kept.nodes);
  // Only an answer that is being written changes: the others need not be drawn again.
  for (const node of now.nodes.values())
    if (node.end || node.message.role !== "assistant" || !nodes.has(node.id)) nodes.set(node.id, node);
  const both = { ...now, title: kept.title, updated: Math.max(now.updated, kept.updated), nodes };
  return now.leaf === null ? both : showing(both, now.leaf);
}

export function titleOf(text: string): string {
  const line = text.trim().split("\n", 1)[0]!.replace(/\s+/g, " ");
  return line.length <= LONGEST_TITLE ? line : `${line.slice(0, LONGEST_TITLE - 1).trimEnd()}\u2026`;
}

/** Calls at the end of the branch that have no result yet. */
export function openCalls(branch: readonly Node[]): readonly ToolCall[] {
  const at = branch.findLastIndex(({ message }) => message.role !== "tool");
  const last = branch[at]?.message;
  if (last?.role !== "assistant" || last.calls === undefined) return [];
  // Some models use an id again in later answers.
  const results = branch.slice(at + 1);
  const answered = new Set(results.map(({ message }) => (message.role === "tool" ? message.callId : null)));
  return last.calls.filter(({ id }) => !answered.has(id));
}
