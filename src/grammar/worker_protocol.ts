// The messages between the main thread and a thread for grammars, and the thread as the platform
// provides it.

import type { Grammar } from "./types.ts";

/** The source of a grammar. Schemas travel as JSON text. */
export interface GrammarSource {
  readonly kind: "json" | "json_schema" | "tools" | "regex" | "ebnf" | "structural";
  readonly text: string;
}

/** The properties of a compiled grammar that travel to the main thread. */
export type GrammarInfo = Omit<Grammar, "matcher">;

/** The bytes of all tokens, one after the other: those of token i end at ends[i]. */
export interface TokenTable {
  readonly bytes: Uint8Array;
  /** [V] */
  readonly ends: Uint32Array;
}

/** The first message is "open". The main thread numbers grammars and matchers. */
export type ToGrammarWorker =
  | { readonly type: "open"; readonly tokens: TokenTable; readonly stops: readonly number[]; readonly memory: number }
  | { readonly type: "compile"; readonly grammar: number; readonly source: GrammarSource }
  | { readonly type: "drop"; readonly grammar: number }
  /** `ids`: tokens that were accepted already. */
  | { readonly type: "begin"; readonly matcher: number; readonly grammar: number; readonly ids: readonly number[] }
  | { readonly type: "accept"; readonly matcher: number; readonly told: Told }
  | { readonly type: "end"; readonly matcher: number };

/** How a matcher's text goes on. */
export interface Told {
  /** Tokens that are kept, the others are taken back. */
  readonly from: number;
  /** Those that follow. */
  readonly ids: readonly number[];
  /** Whether to look for a text that must follow them. */
  readonly forced: boolean;
}

/** An error in a message. `request`: whether the request caused it; otherwise hotset did. */
export interface Failure {
  readonly request: boolean;
  readonly message: string;
}

/** Masks after tokens of one message. */
export interface Masks {
  /** Tokens before the first mask. */
  readonly count: number;
  /** Of "accept": the last of those tokens, and those between the masks. */
  readonly ids: readonly number[];
  /** Fewer than ids where a token is refused. */
  readonly masks: readonly (Int32Array | null)[];
  /** The text that must follow all of ids; null: it was not looked for. */
  readonly forced: string | null;
  /** Why the next one of ids is refused; null: none is. */
  readonly refused: Failure | null;
}

export type FromGrammarWorker =
  | { readonly type: "ready" }
  /** `bytes`: memory that the library uses now. */
  | { readonly type: "compiled"; readonly grammar: number; readonly info: GrammarInfo; readonly bytes: number }
  /** `full`: the thread reached its limit of memory and must not be used any more. */
  | { readonly type: "refused"; readonly grammar: number; readonly failure: Failure; readonly full: boolean }
  | { readonly type: "masks"; readonly matcher: number; readonly found: Masks }
  | { readonly type: "failed"; readonly matcher: number; readonly failure: Failure };

/** A thread that runs `createGrammarService`. */
export interface GrammarWorker {
  post(message: ToGrammarWorker): void;
  onMessage(take: (message: FromGrammarWorker) => void): void;
  /** `full`: it ended because it ran out of memory. */
  onEnd(ended: (why: string, full: boolean) => void): void;
  stop(): void;
}
