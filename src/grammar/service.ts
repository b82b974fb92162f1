// The inside of a thread for grammars: compiles, and computes the next mask as soon as a
// token is accepted.

import { RequestError } from "../errors.ts";
import { createGrammars } from "./grammars.ts";
import type { Grammar, Grammars, Matcher } from "./types.ts";
import type { Failure, FromGrammarWorker, GrammarSource, Masks, ToGrammarWorker, Told } from "./worker_protocol.ts";

/** Limits where only one request waits for the thread: a deadline applies as well. */
const LIMITS = { work: 200_000_000, text: 8 * 1024 * 1024 };

interface Matching {
  readonly constraint: Matcher;
  count: number;
}

/**
 * Returns the function that takes the thread's messages. They are processed one after the other.
 */
export function createGrammarService(
  post: (message: FromGrammarWorker, transfer: ArrayBuffer[]) => void,
): (message: ToGrammarWorker) => void {
  const compiled = new Map<number, Grammar<Matcher>>();
  const matchers = new Map<number, Matching>();
  const memory = new MemoryLimit();
  let grammars: Grammars<Matcher> | null = null;

  function send(matcher: number, found: Masks): void {
    post(
      { type: "masks", matcher, found },
      found.masks.flatMap((mask) => (mask ? [mask.buffer as ArrayBuffer] : [])),
    );
  }

  async function take(message: ToGrammarWorker): Promise<void> {
    switch (message.type) {
      case "open": {
        const { bytes, ends } = message.tokens;
        memory.limit = message.memory;
        const tokenBytes = (id: number): Uint8Array => bytes.subarray(id === 0 ? 0 : ends[id - 1]!, ends[id]!);
        const tokens = { vocabSize: ends.length, isSpecial: (id: number) => tokenBytes(id).length === 0, tokenBytes };
        grammars = createGrammars(tokens, ends.length, message.stops, LIMITS);
        post({ type: "ready" }, []);
        return;
      }
      case "compile": {
        const { grammar, source } = message;
        try {
          const made = await compile(grammars!, source);
          compiled.set(grammar, made);
          const { matcher, ...info } = made;
          post({ type: "compiled", grammar, info, bytes: memory.bytes }, []);
        } catch (error) {
          const full = memory.exceeded || error instanceof RangeError;
          post({ type: "refused", grammar, failure: failureOf(error), full }, []);
        }
        return;
      }
      case "drop":
        compiled.delete(message.grammar);
        return;
      case "begin": {
        const { matcher, ids } = message;
        try {
          const constraint = await compiled.get(message.grammar)!.matcher();
          const matching = { constraint, count: ids.length };
          matchers.set(matcher, matching);
          for (const id of ids) constraint.accept(id);
          send(matcher, { count: ids.length, ids: [], masks: [await constraint.mask()], forced: null, refused: null });
        } catch (error) {
          post({ type: "failed", matcher, failure: failureOf(error) }, []);
        }
        return;
      }
      case "accept": {
        const { matcher, told } = message;
        const matching = matchers.get(matcher);
        if (!matching || told.from > matching.count) return; // it failed, or one before these was refused
        try {
          send(matcher, await accept(matching, told));
        } catch (error) {
          matchers.delete(matcher);
          matching.constraint.close();
          post({ type: "failed", matcher, failure: failureOf(error) }, []);
        }
        return;
      }
      case "end":
        matchers.get(message.matcher)?.constraint.close();
        matchers.delete(message.matcher);
    }
  }

  let last: Promise<void> = Promise.resolve();
  return (message) => {
    last = last.then(() => take(message));
  };
}

/** Continues the text, up to a token that is refused. */
async function accept(matching: Matching, { from, ids, forced }: Told): Promise<Masks> {
  const { constraint } = matching;
  constraint.takeBack(matching.count - from);
  matching.count = from;
  const masks: (Int32Array | null)[] = [];
  for (const id of ids) {
    try {
      constraint.accept(id);
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      return { count: from + 1, ids, masks, forced: null, refused: failureOf(error) };
    }
    matching.count++;
    masks.push(await constraint.mask());
  }
  return { count: from + 1, ids, masks, forced: forced ? constraint.forced() : null, refused: null };
}

function compile(grammars: Grammars<Matcher>, { kind, text }: GrammarSource): Promise<Grammar<Matcher>> {
  switch (kind) {
    case "json":
      return grammars.json();
    case "json_schema":
      return grammars.jsonSchema(JSON.parse(text));
    case "tools":
      return grammars.joined(JSON.parse(text));
    case "regex":
      return grammars.regex(text);
    case "structural":
      return grammars.structural(JSON.parse(text));
    case "ebnf":
      return grammars.ebnf(text);
  }
}

function failureOf(error: unknown): Failure {
  return { request: error instanceof RequestError, message: error instanceof Error ? error.message : String(error) };
}

/** Tracks the size of this thread's WebAssembly memory, and lets none grow beyond the limit. */
class MemoryLimit {
  limit = Number.POSITIVE_INFINITY;
  bytes = 0;
  exceeded = false;

  constructor() {
    const grow = WebAssembly.Memory.prototype.grow;
    const owner = this;
    WebAssembly.Memory.prototype.grow = function (pages) {
      const wanted = this.buffer.byteLength + 65_536 * pages;
      if (wanted > owner.limit) {
        owner.exceeded = true;
        throw new RangeError(`more than ${owner.limit} bytes`);
      }
      const before = grow.call(this, pages);
      owner.bytes = wanted;
      return before;
    };
  }
}
