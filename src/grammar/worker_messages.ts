// What a thread for grammars is asked and what it answers, and the thread as the platform gives it.

import type { Grammar } from "./types.ts";

/** What is compiled. Schemas travel as JSON text. */
export interface Asked {
  readonly kind: "json" | "json_schema" | "tools" | "regex" | "ebnf";
  readonly text: string;
}

/** What is known of a grammar, beside ways through it. */
export type About = Omit<Grammar, "matcher">;

/** The tokens of a vocabulary: bytes of token i end at ends[i] and begin where those of the one before end. */
export interface TokenTable {
  readonly bytes: Uint8Array;
  /** [V] */
  readonly ends: Uint32Array;
}

/** The first message is "open"; grammars and matchers are numbered by who asks. */
export type ToGrammarWorker =
  | { readonly type: "open"; readonly tokens: TokenTable; readonly stops: readonly number[]; readonly memory: number }
  | { readonly type: "compile"; readonly grammar: number; readonly asked: Asked }
  | { readonly type: "drop"; readonly grammar: number }
  /** `ids`: tokens that were accepted before. */
  | { readonly type: "begin"; readonly matcher: number; readonly grammar: number; readonly ids: readonly number[] }
  | { readonly type: "accept"; readonly matcher: number; readonly id: number }
  | { readonly type: "end"; readonly matcher: number };

/** An error as it travels. `request`: the request is at fault; else what went wrong was ours. */
export interface Failure {
  readonly request: boolean;
  readonly message: string;
}

export type FromGrammarWorker =
  | { readonly type: "ready" }
  /** `bytes`: memory that the library holds now. */
  | { readonly type: "compiled"; readonly grammar: number; readonly about: About; readonly bytes: number }
  /** `full`: the limit of memory was met, and nothing is to be asked of this thread any more. */
  | { readonly type: "refused"; readonly grammar: number; readonly failure: Failure; readonly full: boolean }
  /** The mask after `count` accepted tokens. */
  | { readonly type: "mask"; readonly matcher: number; readonly count: number; readonly mask: Int32Array | null }
  | { readonly type: "failed"; readonly matcher: number; readonly failure: Failure };

/** A thread that runs `createGrammarService`. */
export interface GrammarWorker {
  post(message: ToGrammarWorker): void;
  onMessage(take: (message: FromGrammarWorker) => void): void;
  /** `full`: it ended because its memory did. */
  onEnd(ended: (why: string, full: boolean) => void): void;
  stop(): void;
}
