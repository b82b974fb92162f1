// Compiled grammars for one vocabulary: JSON, JSON Schema, patterns and EBNF become masks over
// token ids.

import { RequestError } from "../errors.ts";
import { spellBytes } from "../tokenizer/byte_alphabet.ts";
import type { Tokenizer } from "../tokenizer/types.ts";
import { type CharSet, utf8Sequences } from "./char_set.ts";
import { ebnfGrammar } from "./ebnf.ts";
import { joinedGrammar } from "./joined.ts";
import { JsonText } from "./json_text.ts";
import { matching } from "./look.ts";
import type { Printed } from "./print.ts";
import { parseRegex } from "./regex.ts";
import { Rules } from "./rules.ts";
import { schemaGrammar } from "./schema.ts";
import { refusedTag, structuralTag } from "./structural_tag.ts";
import type { Grammar, Grammars, Matcher } from "./types.ts";
import { Invalid, Unsupported } from "./unsupported.ts";
import { type CompiledGrammar, type Compiler, loadXGrammar, type XGrammar } from "./xgrammar.ts";

/** Compiled grammars that are kept for later requests. */
const KEPT = 64;

/** How large a grammar may be. */
export interface CompileLimits {
  /** Characters of the printed grammar. Reading a million takes about two seconds. */
  readonly text: number;
  /**
   * Tokens that compiling looks at, 0.3 us each: for each class of characters in the grammar, the
   * tokens that begin with one of them (an upper bound: the first bytes already rule out most).
   */
  readonly work: number;
}

/** On the main thread, where everything else waits meanwhile. */
const HERE: CompileLimits = { text: 1024 * 1024, work: 8_000_000 };

/** The part of a tokenizer that grammars need. */
export type Tokens = Pick<Tokenizer, "vocabSize" | "isSpecial" | "tokenBytes">;

/** What the library compiles: a grammar's text, or a structural tag's. */
type Source = Printed & { readonly structural?: true };

interface Library {
  readonly api: XGrammar;
  readonly compiler: Compiler;
  readonly free: () => void;
}

/**
 * Grammars over the tokens of a tokenizer, compiled on the calling thread. The library is loaded
 * for the first grammar.
 * @param vocabSize V of the model, which may be larger than the tokenizer's
 * @param stopIds tokens that end a text. No other control token is ever allowed.
 */
export function createGrammars(
  tokenizer: Tokens,
  vocabSize: number,
  stopIds: Iterable<number>,
  limits: CompileLimits = HERE,
): Grammars<Matcher> {
  const stops = [...new Set(stopIds)].filter((id) => id >= 0 && id < vocabSize);
  const kept = new Map<string, Promise<CompiledGrammar>>();
  let library: Promise<Library> | null = null;
  let cost: Float64Array | null = null;
  let closed = false;

  const open = (): Promise<Library> => {
    library ??= start(tokenizer, vocabSize, stops).catch((error: unknown) => {
      library = null;
      throw error;
    });
    return library;
  };

  function check(name: string, { text, sets }: Pick<Printed, "text" | "sets">): void {
    cost ??= tokensByFirstByte(tokenizer);
    let work = 0;
    const known = new Map<string, number>();
    for (const set of sets) {
      const key = set.join();
      const own = known.get(key) ?? beginning(cost, set);
      known.set(key, own);
      work += own;
    }
    if (text.length > limits.text || work > limits.work) {
      const size = Math.ceil(100 * Math.max(work / limits.work, text.length / limits.text));
      throw new RequestError(
        `${name}: too large to compile: ${size} % of the limit; use shorter lengths and counts, or fewer different patterns`,
      );
    }
  }

  /** Compiles equal texts once and keeps those used last. */
  function compiled(key: string, name: string, print: () => Source): Promise<CompiledGrammar> {
    const known = kept.get(key);
    if (known) {
      kept.delete(key);
      kept.set(key, known);
      return known;
    }
    const made = (async () => {
      const printed = print();
      check(name, printed);
      const { compiler } = await open();
      if (closed) throw new RequestError("the model is closed");
      if (!printed.structural) return compiler.compileGrammar(printed.text);
      return compiler.compileStructuralTag(printed.text).catch((error: unknown) => {
        throw typeof error === "number" ? refusedTag() : error;
      });
    })();
    kept.set(key, made);
    made.catch(() => kept.delete(key));
    if (kept.size > KEPT) {
      const [oldest] = kept.keys();
      const gone = kept.get(oldest!)!;
      kept.delete(oldest!);
      gone.then((grammar) => grammar.dispose()).catch(() => {});
    }
    return made;
  }

  async function grammar(
    key: string,
    name: string,
    print: () => Source,
    warnings: readonly string[] = [],
  ): Promise<Grammar<Matcher>> {
    if (closed) throw new RequestError("the model is closed");
    await compiled(key, name, print);
    return {
      warnings,
      // Compiles it again if it was evicted meanwhile.
      matcher: async () => {
        if (closed) throw new RequestError("the model is closed");
        const { api } = await open();
        return createConstraint(api, await compiled(key, name, print), vocabSize, stops);
      },
    };
  }

  return {
    json: () => grammar("json", "json_object", jsonGrammar),
    jsonSchema: async (schema) => {
      // The key is not the schema's own text: schemas too deep for JSON.stringify must
      // be rejected first.
      const printed = schemaGrammar(schema);
      return grammar(`schema ${printed.text}`, "json_schema", () => printed, printed.warnings);
    },
    joined: async (schema) =>
      grammar(`joined ${JSON.stringify(schema)}`, "tools", () =>
        joinedGrammar(schema, (printed) => check("tools", printed)),
      ),
    regex: async (pattern) => grammar(`regex ${pattern}`, "regex", () => regexGrammar(pattern)),
    structural: async (format) => {
      const printed = structuralTag(format, regexGrammar);
      return grammar(`structural ${printed.text}`, "structural_tag", () => printed, printed.warnings);
    },
    ebnf: async (text) => grammar(`ebnf ${text}`, "ebnf", () => ebnfGrammar(text)),
    close() {
      if (closed) return;
      closed = true;
      for (const made of kept.values()) made.then((one) => one.dispose()).catch(() => {});
      kept.clear();
      library?.then(({ free }) => free()).catch(() => {});
    },
  };
}

async function start(tokenizer: Tokens, vocabSize: number, stops: number[]): Promise<Library> {
  const api = await loadXGrammar();
  // Tokens without bytes are never allowed: control tokens and ids beyond the tokenizer's get none.
  const vocabulary = Array.from({ length: vocabSize }, (_, id) =>
    id >= tokenizer.vocabSize || tokenizer.isSpecial(id) ? "" : spellBytes(tokenizer.tokenBytes(id)),
  );
  const info = await api.TokenizerInfo.createTokenizerInfo(vocabulary, "byte_level", false, vocabSize, stops);
  const compiler = await api.GrammarCompiler.createGrammarCompiler(info, false);
  return {
    api,
    compiler,
    free: () => {
      compiler.dispose();
      info.dispose();
    },
  };
}

async function createConstraint(
  api: XGrammar,
  compiled: CompiledGrammar,
  vocabSize: number,
  stops: readonly number[],
): Promise<Matcher> {
  const matcher = await api.GrammarMatcher.createGrammarMatcher({
    handle: compiled.handle,
    tokenizerInfo: () => ({ getVocabSize: () => vocabSize }),
  });
  let open = true;
  const alive = (): void => {
    if (!open) throw new RequestError("the constraint is closed");
  };
  return {
    async mask() {
      alive();
      if (matcher.isTerminated()) return onlyThese(stops);
      const mask = await matcher.getNextTokenBitmask();
      // xgrammar leaves the bits beyond V set.
      if (vocabSize % 32 > 0) mask[vocabSize >> 5]! &= (1 << (vocabSize % 32)) - 1;
      return mask;
    },
    accept(id) {
      alive();
      if (!matcher.isTerminated() && !matcher.acceptToken(id))
        throw new RequestError(`the grammar does not allow token ${id} here`);
    },
    forced() {
      alive();
      return matcher.isTerminated() ? "" : matcher.findJumpForwardString();
    },
    takeBack(n) {
      alive();
      if (n > 0) matcher.rollBack(n);
    },
    get ended() {
      return open && matcher.isTerminated();
    },
    close() {
      if (open) matcher.dispose();
      open = false;
    },
  };
}

export function onlyThese(ids: readonly number[]): Int32Array {
  const mask = new Int32Array((Math.max(...ids, 0) >> 5) + 1);
  for (const id of ids) mask[id >> 5]! |= 1 << (id & 31);
  return mask;
}

function jsonGrammar(): Printed {
  const rules = new Rules();
  const json = new JsonText(rules);
  rules.set("document", [[json.object]]);
  return rules.print("document")!;
}

function regexGrammar(pattern: string): Printed {
  if (typeof pattern !== "string") throw new RequestError(`regex: expected a text, found ${typeof pattern}`);
  try {
    const rules = new Rules();
    rules.set("document", [[new JsonText(rules).plain(matching(parseRegex(pattern)))]]);
    const printed = rules.print("document");
    if (printed === null) throw new RequestError(`regex: no text matches ${JSON.stringify(pattern)}`);
    return printed;
  } catch (error) {
    if (error instanceof Invalid) throw new RequestError(`regex: the pattern ${error.message}`);
    if (error instanceof Unsupported) throw new RequestError(`regex: ${error.message} is not supported`);
    throw error;
  }
}

/** For each byte the number of tokens that begin with it. [256] */
function tokensByFirstByte(tokenizer: Tokens): Float64Array {
  const out = new Float64Array(256);
  for (let id = 0; id < tokenizer.vocabSize; id++) {
    const first = tokenizer.isSpecial(id) ? undefined : tokenizer.tokenBytes(id)[0];
    if (first !== undefined) out[first]!++;
  }
  return out;
}

/** The number of tokens that begin with the first byte of a character of the set. */
function beginning(tokens: Float64Array, set: CharSet): number {
  const bytes = new Set<number>();
  for (const [first] of utf8Sequences(set)) for (let byte = first![0]; byte <= first![1]; byte++) bytes.add(byte);
  let sum = 0;
  for (const byte of bytes) sum += tokens[byte]!;
  return sum;
}
