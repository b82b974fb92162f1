// The constraint of an answer: the format of its text, the form of its tool calls, or both.

import type { CallGrammar, Written } from "../chat/conventions.ts";
import { RequestError } from "../errors.ts";
import { choicesToEbnf, gbnfToEbnf } from "../grammar/gbnf.ts";
import type { Constraint, Grammar, Grammars } from "../grammar/types.ts";
import type { Tokenizer } from "../tokenizer/types.ts";
import { begunCalls } from "./begun_constraint.ts";
import type { ChatOptions, ResponseFormat } from "./chat_api.ts";
import { hasControls, type Marked, markedConstraint, stopsOf } from "./marked_constraint.ts";

/** The grammar of the empty text. */
const EMPTY = { schema: {}, parts: [], written: [] };

export interface ConstraintParts {
  readonly grammars: Grammars;
  readonly tokenizer: Tokenizer;
  /** V */
  readonly vocab: number;
}

/**
 * The constraint of one answer; null where every token is allowed.
 * - A response format applies from the first token.
 * - Required calls (tool_choice "required" or a name) apply from the first token, control tokens
 *   included.
 * - Optional calls apply from where the model begins one; calls between marks only if a tool is
 *   `strict`. Beside a response format the answer is either a text in it or calls, both held.
 * - Keywords of a tool's schema that cannot be enforced are dropped, or rejected where the tool is
 *   `strict`.
 * @param calls from ChatConventions.callGrammar()
 * @param head what stands in front of a text in a format, from ChatConventions.textHead()
 * @throws RequestError that names an unsupported keyword or combination
 */
export async function constraintOf(
  parts: ConstraintParts,
  options: ChatOptions,
  calls: CallGrammar | null,
  head: readonly Written[] = [],
): Promise<Constraint | null> {
  const { responseFormat } = options;
  const text = await reportedGrammar(parts.grammars, options);
  if (!calls) {
    if (text && hasControls(head, parts.tokenizer)) return marked(parts, [...head, { grammar: text }]);
    return (await text?.matcher()) ?? null;
  }
  const [first] = calls.prefixIds;
  const format = responseFormat?.type ?? "text";
  const { written } = calls;
  // Any JSON object is also a call of the JSON protocol.
  if (text && !calls.required && (written || (first === undefined && format !== "json"))) {
    const marks = written && hasControls(written, parts.tokenizer);
    const all = marks ? written : [{ grammar: await callGrammar(parts.grammars, calls) }];
    return marked(parts, [{ any: [[...head, { grammar: text }], all] }], calls);
  }
  if (written && !calls.required) return begun(parts, calls);
  if (written) return writtenConstraint(parts, { ...calls, written });
  const grammar = await callGrammar(parts.grammars, calls);
  const inner = await grammar.matcher();
  if (calls.required) return new Prefixed(calls.prefixIds, inner, parts.vocab);
  if (first !== undefined) return new Optional(first, (await text?.matcher()) ?? null, inner);
  if (text) {
    inner.close(); // the format allows any JSON object, so it allows calls
    return text.matcher();
  }
  return new OnBrace(parts.tokenizer, inner);
}

/**
 * The grammar of a response format, null for plain text; reports its warnings.
 * @throws RequestError
 */
async function reportedGrammar(
  grammars: Grammars,
  { responseFormat, onWarnings }: Pick<ChatOptions, "responseFormat" | "onWarnings">,
): Promise<Grammar | null> {
  const grammar = await formatGrammar(grammars, responseFormat);
  if (grammar && grammar.warnings.length > 0) onWarnings?.(grammar.warnings);
  return grammar;
}

/**
 * The constraint of a text without tools; null where every token is allowed.
 * @throws RequestError
 */
export async function textConstraint(grammars: Grammars, options: ChatOptions): Promise<Constraint | null> {
  return (await (await reportedGrammar(grammars, options))?.matcher()) ?? null;
}

/** The grammar of a response format, null for plain text. @throws RequestError */
export function formatGrammar(grammars: Grammars, format?: ResponseFormat): Promise<Grammar | null> {
  return blaming("response_format", compileFormat(grammars, format));
}

/** Adds the field `param` to errors that do not name one. */
async function blaming<T>(param: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof RequestError) || error.detail.param !== undefined) throw error;
    throw new RequestError(error.message, { ...error.detail, param });
  }
}

async function compileFormat(grammars: Grammars, format?: ResponseFormat): Promise<Grammar | null> {
  switch (format?.type) {
    case "json":
      return grammars.json();
    case "json_schema":
      return grammars.jsonSchema(format.schema);
    case "regex":
      return grammars.regex(format.pattern);
    case "ebnf":
      return grammars.ebnf(format.grammar);
    case "structural_tag":
      return grammars.structural(format.format);
    case "gbnf":
      return renamed("grammar", async () => grammars.ebnf(gbnfToEbnf(format.grammar)));
    case "choice":
      return renamed("choice", async () => grammars.ebnf(choicesToEbnf(format.choices)));
    default:
      return null;
  }
}

/** Compiles a format that was translated to EBNF: errors name the format that the caller used. */
async function renamed(name: string, compile: () => Promise<Grammar>): Promise<Grammar> {
  try {
    return await compile();
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    throw new RequestError(error.message.replace(/^ebnf:/, `${name}:`), error.detail);
  }
}

/**
 * Optional calls that may stand anywhere in a text. They are free, and the model as fast as without
 * a constraint, unless a tool is `strict`.
 * @throws RequestError for a `strict` tool
 */
async function begun(parts: ConstraintParts, calls: CallGrammar): Promise<Constraint | null> {
  const { begun } = calls;
  const mark = begun ? parts.tokenizer.pieceToId(begun.mark) : null;
  if (!begun || mark === null || calls.parts.every(({ loose }) => loose)) return null;
  const make = (written: readonly Written[]) => writtenConstraint(parts, { ...calls, written });
  for (const written of begun.all) (await make(written)).close(); // compiled: faults are found now
  const stops = await stopsOf(await parts.grammars.joined(EMPTY));
  const begin = (head: string): Promise<Constraint> | null => {
    const written = begun.follows(head);
    return written && make(written);
  };
  return begunCalls({ tokenizer: parts.tokenizer, mark, stops, begin });
}

/** @throws RequestError for a `strict` tool */
async function writtenConstraint(
  parts: ConstraintParts,
  calls: CallGrammar & { readonly written: readonly Written[] },
): Promise<Constraint> {
  if (hasControls(calls.written, parts.tokenizer)) return marked(parts, calls.written, calls);
  return (await callGrammar(parts.grammars, calls)).matcher();
}

/**
 * What is written around control tokens: each value is compiled with the parameters that it needs.
 * @throws RequestError for a `strict` tool
 */
async function marked(
  { grammars, tokenizer, vocab }: ConstraintParts,
  written: readonly Marked[],
  calls?: CallGrammar,
): Promise<Constraint> {
  const compiled = new Map<string, Promise<Grammar>>(); // a value may stand in several places
  const compile = (piece: Written): Promise<Grammar> => {
    const key = JSON.stringify(piece);
    const parts = calls?.parts.filter(({ name }) => "value" in piece && piece.value[1] === name) ?? [];
    const grammar = compiled.get(key) ?? callGrammar(grammars, { schema: {}, plain: {}, parts, written: [piece] });
    compiled.set(key, grammar);
    return grammar;
  };
  const empty = await grammars.joined(EMPTY);
  return markedConstraint({ tokenizer, vocab, empty, compile }, written);
}

/**
 * The grammar of calls; if that is too large, of calls with any object as arguments.
 * @throws RequestError for a `strict` tool
 */
async function callGrammar(
  grammars: Grammars,
  calls: Pick<CallGrammar, "parts" | "written" | "schema" | "plain">,
): Promise<Grammar> {
  const { parts, written } = calls;
  const schema = written ? {} : calls.schema;
  try {
    return await blaming("tools", grammars.joined({ schema, parts, ...(written && { written }) }));
  } catch (error) {
    if (!(error instanceof RequestError) || calls.parts.some(({ loose }) => !loose)) throw error;
    return blaming(
      "tools",
      written ? grammars.joined({ schema, parts: [], written }) : grammars.jsonSchema(calls.plain),
    );
  }
}

/** Fixed tokens first, then a constraint. */
class Prefixed implements Constraint {
  readonly #prefix: readonly number[];
  readonly #then: Constraint;
  readonly #mask: Int32Array;
  #done = 0;

  constructor(prefix: readonly number[], then: Constraint, vocab: number) {
    this.#prefix = prefix;
    this.#then = then;
    this.#mask = new Int32Array(Math.ceil(vocab / 32));
  }

  get ended(): boolean {
    return this.#then.ended;
  }

  async mask(): Promise<Int32Array | null> {
    const next = this.#prefix[this.#done];
    if (next === undefined) return this.#then.mask();
    this.#mask.fill(0);
    this.#mask[next >> 5] = 1 << (next & 31);
    return this.#mask;
  }

  accept(id: number): void {
    if (this.#done < this.#prefix.length) this.#done++;
    else this.#then.accept(id);
  }

  expect(ids: readonly number[]): void {
    if (this.#done === this.#prefix.length) this.#then.expect?.(ids);
  }

  forced(): string {
    return (this.#done === this.#prefix.length && this.#then.forced?.()) || "";
  }

  close(): void {
    this.#then.close();
  }
}

/**
 * Free text, or text in a format; and calls once the control token comes that begins them. Text in
 * a format and calls exclude each other.
 */
class Optional implements Constraint {
  readonly #first: number;
  readonly #text: Constraint | null;
  readonly #calls: Constraint;
  #inCalls = false;
  #begun = false;

  constructor(first: number, text: Constraint | null, calls: Constraint) {
    this.#first = first;
    this.#text = text;
    this.#calls = calls;
  }

  get ended(): boolean {
    return (this.#inCalls ? this.#calls : this.#text)?.ended ?? false;
  }

  async mask(): Promise<Int32Array | null> {
    if (this.#inCalls) return this.#calls.mask();
    const mask = (await this.#text?.mask()) ?? null;
    if (mask === null || this.#begun) return mask;
    const both = mask.slice();
    both[this.#first >> 5]! |= 1 << (this.#first & 31);
    return both;
  }

  accept(id: number): void {
    if (this.#inCalls) this.#calls.accept(id);
    else if (id === this.#first && !(this.#text && this.#begun)) this.#inCalls = true;
    else this.#text?.accept(id);
    this.#begun = true;
  }

  expect(ids: readonly number[]): void {
    if (this.#inCalls) this.#calls.expect?.(ids);
    else if (this.#begun) this.#text?.expect?.(ids);
  }

  forced(): string {
    return (this.#inCalls ? this.#calls : this.#begun ? this.#text : null)?.forced?.() ?? "";
  }

  close(): void {
    this.#text?.close();
    this.#calls.close();
  }
}

/** Free text, or calls if it begins with a brace. */
class OnBrace implements Constraint {
  readonly #tokenizer: Tokenizer;
  readonly #calls: Constraint;
  #text: string | null = ""; // null once it is decided
  /** The beginning of the text, still to be tried as calls. */
  #begun: readonly (number | null)[] = [];
  #inCalls = false;

  constructor(tokenizer: Tokenizer, calls: Constraint) {
    this.#tokenizer = tokenizer;
    this.#calls = calls;
  }

  get ended(): boolean {
    return this.#inCalls && this.#calls.ended;
  }

  async mask(): Promise<Int32Array | null> {
    if (this.#begun.length > 0) await this.#tryCalls();
    return this.#inCalls ? this.#calls.mask() : null;
  }

  accept(id: number): void {
    if (this.#inCalls) {
      this.#calls.accept(id);
      return;
    }
    if (this.#text === null) return;
    this.#text += new TextDecoder().decode(this.#tokenizer.tokenBytes(id));
    const seen = this.#text.trimStart();
    if (seen === "") return;
    this.#text = null;
    if (!seen.startsWith("{")) return;
    // The first token may contain a leading space, which the grammar does not allow, and the rest
    // of it may not be a token: hence byte by byte. A vocabulary without a token "{" has at least
    // one of its byte.
    this.#begun = Array.from(new TextEncoder().encode(seen), (byte) => this.#byteId(byte));
  }

  expect(ids: readonly number[]): void {
    if (this.#inCalls) this.#calls.expect?.(ids);
  }

  forced(): string {
    return (this.#inCalls && this.#calls.forced?.()) || "";
  }

  async #tryCalls(): Promise<void> {
    const ids = this.#begun;
    this.#begun = [];
    for (const id of ids) {
      if (id === null) return;
      const mask = await this.#calls.mask();
      if (mask && !((mask[id >> 5] ?? 0) & (1 << (id & 31)))) return; // another object: text
      this.#calls.accept(id);
    }
    this.#inCalls = true;
  }

  #byteId(byte: number): number | null {
    const hex = byte.toString(16).toUpperCase().padStart(2, "0");
    const ascii = byte < 0x80 ? this.#tokenizer.pieceToId(String.fromCharCode(byte)) : null;
    return ascii ?? this.#tokenizer.pieceToId(`<0x${hex}>`);
  }

  close(): void {
    this.#calls.close();
  }
}
