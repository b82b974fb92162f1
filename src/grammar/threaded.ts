// Grammars that are compiled and matched in threads, so that nothing else waits for them.

import { RequestError } from "../errors.ts";
import { NoThread } from "./grammar_thread.ts";
import { createGrammars, type Tokens } from "./grammars.ts";
import { ThreadedConstraint } from "./thread_constraint.ts";
import { type ThreadedOptions, ThreadPool } from "./thread_pool.ts";
import type { Constraint, Grammar, Grammars } from "./types.ts";
import type { GrammarSource } from "./worker_protocol.ts";

/**
 * As createGrammars(), but in threads; on the calling thread where no thread can be started.
 * @param vocabSize V of the model, which may be larger than the tokenizer's
 * @param stopIds tokens that end a text
 */
export function createThreadedGrammars(
  tokenizer: Tokens,
  vocabSize: number,
  stopIds: Iterable<number>,
  options: ThreadedOptions,
): Grammars {
  const stops = [...new Set(stopIds)].filter((id) => id >= 0 && id < vocabSize);
  const pool = new ThreadPool(tokenizer, vocabSize, stops, options);
  let here: Grammars | null = null;
  let closed = false;

  async function grammar(
    source: GrammarSource,
    compileHere: (grammars: Grammars) => Promise<Grammar>,
  ): Promise<Grammar> {
    if (closed) throw new RequestError("the model is closed");
    if (here) return compileHere(here);
    try {
      const { info } = await pool.compiled(source);
      return { ...info, matcher: () => begun(pool, source) };
    } catch (error) {
      if (!(error instanceof NoThread) || closed || pool.started) throw error;
      here ??= createGrammars(tokenizer, vocabSize, stops);
      return compileHere(here);
    }
  }

  return {
    json: () => grammar({ kind: "json", text: "" }, (grammars) => grammars.json()),
    jsonSchema: async (schema) =>
      grammar({ kind: "json_schema", text: schemaText(schema) }, (grammars) => grammars.jsonSchema(schema)),
    joined: async (schema) =>
      grammar({ kind: "tools", text: schemaText(schema) }, (grammars) => grammars.joined(schema)),
    regex: async (pattern) => {
      if (typeof pattern !== "string") throw new RequestError(`regex: expected a text, found ${typeof pattern}`);
      return grammar({ kind: "regex", text: pattern }, (grammars) => grammars.regex(pattern));
    },
    ebnf: async (text) => {
      if (typeof text !== "string") throw new RequestError(`ebnf: expected a text, found ${typeof text}`);
      return grammar({ kind: "ebnf", text }, (grammars) => grammars.ebnf(text));
    },
    structural: async (format) =>
      grammar({ kind: "structural", text: schemaText(format, "structural_tag: the format") }, (grammars) =>
        grammars.structural(format),
      ),
    close() {
      closed = true;
      pool.close();
      here?.close();
    },
  };
}

/** @throws RequestError for a value that has no JSON text */
function schemaText(schema: unknown, what = "json_schema: the schema"): string {
  try {
    return JSON.stringify(schema) ?? "null";
  } catch (error) {
    const why = error instanceof RangeError ? "is nested too deep" : `is not valid JSON: ${(error as Error).message}`;
    throw new RequestError(`${what} ${why}`);
  }
}

async function begun(pool: ThreadPool, source: GrammarSource): Promise<Constraint> {
  const constraint = new ThreadedConstraint(pool, source);
  await constraint.begin();
  return constraint;
}
