// Remembers the ids of recent answers, so that a conversation that is sent back has the prompt that
// the cache knows.
//
// A client sends the text of an answer back, and the template writes it anew: with other spaces in
// a call's arguments, or with a text cut into other tokens than the model chose. From there on no
// block of the KV cache would fit. So the ids that the template gives are compared with the answers
// that followed the same prompt. Where both say the same, the sampled ones are used:
//
//   prompt    ... <|im_start|>assistant\n
//   sampled   <tool_call>\n{"name":"ls","arguments":{"path":"."}}\n</tool_call><|im_end|>
//   rendered  <tool_call>\n{"name": "ls", "arguments": {"path": "."}}\n</tool_call><|im_end|>
//
// To say the same is to be read alike by the parser of the model's answers: equal text, equal
// reasoning, and the same calls with arguments that are equal as JSON. An answer that the client
// changed, or whose reasoning the template leaves out, is another text: it stays as rendered.
//
// Prompts are found by a hash. Where two share one, no harm is done, because what is put in their
// place is compared in any case. An answer is found only by a request that holds all of its text.

import type { ChatConventions, PromptOptions } from "../chat/conventions.ts";
import { type Json, PythonNumber, parsePythonJson } from "../chat/python_json.ts";
import type { ReplyEvent } from "../chat/reply.ts";
import type { Tokenizer } from "../tokenizer/types.ts";

/** Most ids of answers that are remembered, 4 MiB, and most answers. */
const MOST_IDS = 2 ** 20;
const MOST_ANSWERS = 2 ** 14;
/** Most answers to one prompt: those of `n` choices, or of a client that tries again. */
const MOST_ALIKE = 8;
/** Tokens before an answer that may matter to its first character. */
const LAST = 16;
/** A rendered answer has at most so many ids for each sampled one, and so many more. */
const LONGER = 4;
const MORE = 256;

/** What an answer says, as its reader understands it. */
interface Said {
  readonly reasoning: string;
  readonly text: string;
  readonly calls: readonly { readonly name: string; readonly args: string }[];
  /** Ids of calls that the answer itself shows. */
  readonly ids: readonly string[];
  /** Whether all of it could be read. */
  readonly whole: boolean;
}

interface Answer {
  /** Without the id that ended it. */
  readonly ids: Uint32Array;
  /** What was last found to say the same. */
  rendered: Uint32Array;
}

export interface RecallParts {
  readonly conventions: ChatConventions;
  readonly tokenizer: Tokenizer;
}

export class Recall {
  readonly #parts: RecallParts;
  readonly #ends: ReadonlySet<number>;
  /** By the prompts' keys, each list from the oldest. The least recently used prompt is first. */
  readonly #answers = new Map<number, Answer[]>();
  #ids = 0;
  #count = 0;

  constructor(parts: RecallParts) {
    this.#parts = parts;
    this.#ends = new Set(parts.conventions.stopIds);
  }

  /** Ids that are remembered, sampled and rendered ones. */
  get size(): number {
    return this.#ids;
  }

  /** Remembers an answer that the client has in full, without the id that ended it. */
  remember(prompt: readonly number[], answer: readonly number[]): void {
    if (answer.length === 0 || answer.length > MOST_IDS) return;
    const key = keyOf(prompt.length, prompt.reduce(next, 0));
    const list = this.#answers.get(key) ?? [];
    this.#answers.delete(key);
    this.#answers.set(key, list);
    if (list.some(({ ids }) => equal(answer, ids))) return;
    list.push({ ids: Uint32Array.from(answer), rendered: new Uint32Array(0) });
    this.#ids += answer.length;
    this.#count++;
    if (list.length > MOST_ALIKE) this.#forget(list.shift()!);
    this.#limit();
  }

  /** The prompt, with the sampled ids of the answers in it. */
  restore(prompt: readonly number[], options: PromptOptions): number[] {
    if (this.#count === 0) return [...prompt];
    const out: number[] = [];
    let hash = 0;
    const put = (id: number): void => {
      hash = next(hash, id);
      out.push(id);
    };
    for (let at = 0; at < prompt.length; ) {
      const found = this.#find(keyOf(out.length, hash), prompt, at, out, options);
      if (found === null) put(prompt[at++]!);
      else {
        found.ids.forEach(put);
        at = found.end;
      }
    }
    this.#limit();
    return out;
  }

  /** An answer that the rendered ids from `at` on stand for, and where those end. */
  #find(
    key: number,
    prompt: readonly number[],
    at: number,
    before: readonly number[],
    options: PromptOptions,
  ): { readonly ids: Uint32Array; readonly end: number } | null {
    const list = this.#answers.get(key);
    if (list === undefined) return null;
    this.#answers.delete(key);
    this.#answers.set(key, list);
    let said: Said | null = null;
    for (const answer of list.toReversed()) {
      const { ids, rendered } = answer;
      const end = this.#end(prompt, at, at + LONGER * ids.length + MORE);
      if (end === null) continue;
      const written = prompt.slice(at, end);
      const known = [ids, rendered].some((one) => equal(written, one));
      if (!known) {
        said ??= this.#read(before, written, options);
        if (!same(said, this.#read(before, [...ids], options))) continue;
        this.#ids += written.length - rendered.length;
        answer.rendered = Uint32Array.from(written);
      }
      return { ids, end };
    }
    return null;
  }

  /** Where the first id that ends an answer stands, looked for up to `limit`. */
  #end(prompt: readonly number[], at: number, limit: number): number | null {
    for (let i = at; i < Math.min(prompt.length, limit); i++) if (this.#ends.has(prompt[i]!)) return i;
    return null;
  }

  #read(prompt: readonly number[], ids: readonly number[], options: PromptOptions): Said {
    const { conventions, tokenizer } = this.#parts;
    // Where a call is required a parser passes over texts, which must not differ either.
    const toolChoice = options.toolChoice === "none" ? "none" : "auto";
    const parser = conventions.parser({ ...options, continueAssistant: false, toolChoice }, prompt);
    const stream = tokenizer.stream({ prompt: prompt.slice(-LAST) });
    const events: ReplyEvent[] = [];
    let text = "";
    let run: number[] = [];
    const push = (): void => {
      if (run.length > 0) events.push(...parser.push(text, run));
      [text, run] = ["", []];
    };
    // In runs between control tokens: a parser looks at all that it holds in each push.
    for (const id of ids) {
      const control = tokenizer.isSpecial(id);
      if (control) push();
      text += stream.push(id);
      run.push(id);
      if (control) push();
    }
    push();
    events.push(...parser.push(stream.end(), []), ...parser.end());
    const written = tokenizer.decode(ids);
    const calls: { name: string; args: string }[] = [];
    const shown: string[] = [];
    for (const event of events) {
      if (event.type === "tool_call") {
        calls.push({ name: event.name, args: "" });
        if (written.includes(event.id)) shown.push(event.id); // others are made up by the parser
      } else if (event.type === "tool_arguments") calls.at(-1)!.args += event.text;
    }
    const all = (type: "text" | "reasoning"): string =>
      events.map((event) => (event.type === type ? event.text : "")).join("");
    return {
      reasoning: all("reasoning"),
      text: all("text"),
      calls,
      ids: shown,
      whole: !events.some(({ type }) => type === "malformed" || type === "cut"),
    };
  }

  #limit(): void {
    for (const [key, list] of this.#answers) {
      if (this.#ids <= MOST_IDS && this.#count <= MOST_ANSWERS) return;
      this.#answers.delete(key);
      for (const answer of list) this.#forget(answer);
    }
  }

  #forget({ ids, rendered }: Answer): void {
    this.#ids -= ids.length + rendered.length;
    this.#count--;
  }
}

function equal(ids: readonly number[], others: Uint32Array): boolean {
  return ids.length === others.length && others.every((id, i) => id === ids[i]);
}

/** The hash of some ids and one more. */
function next(hash: number, id: number): number {
  return (Math.imul(hash ^ id, 0x9e3779b1) ^ (hash >>> 15)) | 0;
}

/** A number for a prompt's length and hash. */
function keyOf(length: number, hash: number): number {
  return length * 2 ** 32 + (hash >>> 0);
}

function same(a: Said, b: Said): boolean {
  return (
    a.whole &&
    b.whole &&
    a.text === b.text &&
    a.reasoning === b.reasoning &&
    a.ids.join() === b.ids.join() &&
    a.calls.length === b.calls.length &&
    a.calls.every(({ name, args }, i) => name === b.calls[i]!.name && sameJson(args, b.calls[i]!.args))
  );
}

/** Whether two texts are the same JSON, in whatever order their members are. */
function sameJson(a: string, b: string): boolean {
  if (a === b) return true;
  const [first, second] = [parsePythonJson(a), parsePythonJson(b)];
  return first !== undefined && second !== undefined && sameValue(first, second);
}

function sameValue(a: Json, b: Json): boolean {
  if (a instanceof PythonNumber) return b instanceof PythonNumber && sameNumber(a.text, b.text);
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((one, i) => sameValue(one, b[i]!));
  if (a instanceof Map)
    return (
      b instanceof Map && a.size === b.size && [...a].every(([key, one]) => b.has(key) && sameValue(one, b.get(key)!))
    );
  return a === b;
}

/** 1.0 and 1 are the same; two whole numbers that only a double cannot tell apart are not. */
function sameNumber(a: string, b: string): boolean {
  return a === b || (Number(a) === Number(b) && Math.abs(Number(a)) <= Number.MAX_SAFE_INTEGER);
}
