// The grammar library, loaded on first use; what is odd about its package is known here only.
//
// @mlc-ai/web-xgrammar is a UMD file marked as ESM: importing it gives nothing and leaves its API on globalThis.xgrammar. In
// Node it asks for CommonJS's `require` and `__filename` while it starts, to find a WebAssembly file that it holds inline and
// so never reads: stand-ins serve, and are taken away again.

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
}
export interface Compiler extends Owned {
  compileGrammar(ebnf: string): Promise<CompiledGrammar>;
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
    /** Asks the grammar for its vocabulary's size only, by an object that it never frees: hence the stand-in. */
    createGrammarMatcher(grammar: {
      readonly handle: unknown;
      tokenizerInfo(): { getVocabSize(): number };
    }): Promise<Matcher>;
  };
  readonly Testings: { ebnfToGrammarNoNormalization(ebnf: string): Promise<Owned> };
}

let loading: Promise<XGrammar> | null = null;

/** @throws HotsetError where the library is not installed, or does not start */
export function loadXGrammar(): Promise<XGrammar> {
  loading ??= load().catch((error: unknown) => {
    loading = null;
    throw new HotsetError(`grammars need the package @mlc-ai/web-xgrammar, which did not start: ${String(error)}`);
  });
  return loading;
}

async function load(): Promise<XGrammar> {
  const scope = globalThis as unknown as Record<string, unknown>;
  const node = {
    pathToFileURL: (path: string) => ({ href: `file://${path}` }),
    dirname: () => "/",
  };
  const standIns: Readonly<Record<string, unknown>> = {
    require: () => node,
    __filename: "/xgrammar.js",
    xgrammar: undefined,
  };
  const before = new Map(Object.keys(standIns).map((name) => [name, Object.getOwnPropertyDescriptor(scope, name)]));
  const inNode = typeof document === "undefined" && typeof location === "undefined";
  try {
    for (const [name, value] of Object.entries(standIns)) if (inNode && name !== "xgrammar") scope[name] = value;
    // A bundler sees what the file is, and makes exports of it.
    const found: { readonly default?: unknown } = await import("@mlc-ai/web-xgrammar");
    const library = [scope.xgrammar, found.default, found].find(isLibrary);
    if (!library) throw new Error("it left nothing on globalThis.xgrammar, and exports nothing");
    // Its WebAssembly starts with the first call.
    (await library.Testings.ebnfToGrammarNoNormalization('root ::= "a"')).dispose();
    return library;
  } finally {
    for (const [name, was] of before) {
      if (was) Object.defineProperty(scope, name, was);
      else delete scope[name];
    }
  }
}

function isLibrary(value: unknown): value is XGrammar {
  return typeof value === "object" && value !== null && "GrammarCompiler" in value;
}
