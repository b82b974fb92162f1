// The grammar library, loaded on first use: @mlc-ai/web-xgrammar, which bundle.mjs turns
// into a module.

import { HotsetError } from "../errors.ts";

interface Owned {
  dispose(): void;
}
export interface CompiledGrammar extends Owned {
  readonly handle: unknown;
}
export interface Matcher extends Owned {
  acceptToken(id: number): boolean;
  getNextTokenBitmask(): Promise<Int32Array>;
  isTerminated(): boolean;
  rollBack(tokens: number): void;
  findJumpForwardString(): string;
}
export interface Compiler extends Owned {
  compileGrammar(ebnf: string): Promise<CompiledGrammar>;
  /** @param json of a structural tag. Throws a number where it is refused. */
  compileStructuralTag(json: string): Promise<CompiledGrammar>;
}
export interface XGrammar {
  readonly TokenizerInfo: {
    createTokenizerInfo(
      vocabulary: string[],
      kind: "byte_level",
      prependSpace: boolean,
      size: number,
      stopIds: number[],
    ): Promise<Owned>;
  };
  readonly GrammarCompiler: { createGrammarCompiler(info: Owned, cache: boolean): Promise<Compiler> };
  readonly GrammarMatcher: {
    /**
     * Needs only the size of the grammar's vocabulary, from an object that it never frees: hence
     * the stand-in.
     */
    createGrammarMatcher(grammar: {
      readonly handle: unknown;
      tokenizerInfo(): { getVocabSize(): number };
    }): Promise<Matcher>;
  };
  readonly Testings: { ebnfToGrammarNoNormalization(ebnf: string): Promise<Owned> };
}

let loading: Promise<XGrammar> | null = null;

/** @throws HotsetError where the library does not start */
export function loadXGrammar(): Promise<XGrammar> {
  loading ??= load().catch((error: unknown) => {
    loading = null;
    throw new HotsetError(`the library for grammars did not start: ${String(error)}`);
  });
  return loading;
}

async function load(): Promise<XGrammar> {
  const { default: library }: { readonly default: object } = await import("./xgrammar_library.ts");
  if (!isLibrary(library)) throw new Error("it has no compiler of grammars");
  // Its WebAssembly starts with the first call.
  (await library.Testings.ebnfToGrammarNoNormalization('root ::= "a"')).dispose();
  return library;
}

function isLibrary(value: object): value is XGrammar {
  return "GrammarCompiler" in value;
}
