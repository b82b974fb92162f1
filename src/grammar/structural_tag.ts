// Structural tags: xgrammar's description of texts in which free text, tags, and what stands in
// tags take turns (xgrammar's tutorial "Structural Tag"). xgrammar puts them together; schemas,
// patterns and grammars within them are compiled here, so that they mean the same as by themselves.

import { RequestError } from "../errors.ts";
import { ANY } from "./char_set.ts";
import { ebnfGrammar } from "./ebnf.ts";
import type { Printed } from "./print.ts";
import { schemaGrammar } from "./schema.ts";

type Json = Readonly<Record<string, unknown>>;

/** A structural tag as the text that xgrammar reads, and what it costs to compile. */
export interface PrintedTag extends Printed {
  readonly structural: true;
  readonly warnings: readonly string[];
}

/** The keys of each kind of format that xgrammar and hotset know, but for `type`. */
const KINDS = {
  const_string: ["value"],
  json_schema: ["json_schema"],
  grammar: ["grammar"],
  regex: ["pattern"],
  any_text: [],
  sequence: ["elements"],
  or: ["elements"],
  tag: ["begin", "content", "end"],
  triggered_tags: ["triggers", "tags", "at_least_one", "stop_after_first"],
  tags_with_separator: ["tags", "separator", "at_least_one", "stop_after_first"],
} as const satisfies Readonly<Record<string, readonly string[]>>;
type Kind = keyof typeof KINDS;

/** How deep formats may stand in each other. */
const MOST_DEPTH = 64;

/** Said where xgrammar refuses what is read here: it gives no reason. */
const RULES =
  "xgrammar does not take it. Free text (any_text, and triggered_tags without stop_after_first) may only stand last, or in a tag that ends";

/**
 * @param format as `format` of xgrammar's structural tags
 * @param regex the grammar of a pattern
 * @throws RequestError that names the place of what is wrong, or not supported
 */
export function structuralTag(format: unknown, regex: (pattern: string) => Printed): PrintedTag {
  const reader = new Reader(regex);
  const text = JSON.stringify({ type: "structural_tag", format: reader.format(format, "format", 0) });
  const { sets, warnings } = reader;
  return { structural: true, text, sets, rules: new Map(), warnings };
}

/** The error of a text that xgrammar does not compile. */
export function refusedTag(): RequestError {
  return new RequestError(`structural_tag: ${RULES}`);
}

class Reader {
  readonly sets: Printed["sets"][number][] = [];
  readonly warnings: string[] = [];
  readonly #regex: (pattern: string) => Printed;

  constructor(regex: (pattern: string) => Printed) {
    this.#regex = regex;
  }

  /** A format as xgrammar reads it. */
  format(value: unknown, at: string, depth: number, known?: Kind): Json {
    if (depth > MOST_DEPTH) throw wrong(at, `is nested more than ${MOST_DEPTH} deep`);
    const given = objectAt(value, at);
    const kind = given.type ?? known;
    if (typeof kind !== "string" || !Object.hasOwn(KINDS, kind))
      throw wrong(`${at}.type`, `expected one of ${Object.keys(KINDS).join(", ")}, found ${JSON.stringify(kind)}`);
    if (known !== undefined && kind !== known) throw wrong(`${at}.type`, `expected ${known}, found ${kind}`);
    const keys: readonly string[] = KINDS[kind as Kind];
    for (const [key, one] of Object.entries(given)) {
      const off = one === undefined || one === null || (Array.isArray(one) && one.length === 0);
      if (key !== "type" && !keys.includes(key) && !off) throw wrong(`${at}.${key}`, "is not supported");
    }
    return this.#kind(kind as Kind, given, at, depth + 1);
  }

  #kind(type: Kind, given: Json, at: string, depth: number): Json {
    const list = (key: string, known?: Kind) =>
      listAt(given, key, at).map((one, i) => this.format(one, `${at}.${key}[${i}]`, depth, known));
    const flags = () => ({
      at_least_one: flagAt(given, "at_least_one", at),
      stop_after_first: flagAt(given, "stop_after_first", at),
    });
    switch (type) {
      case "const_string":
        return { type, value: textAt(given, "value", at) };
      case "json_schema":
        return this.#grammar(`${at}.json_schema`, () => schemaGrammar(given.json_schema));
      case "grammar":
        return this.#grammar(`${at}.grammar`, () => ebnfGrammar(textAt(given, "grammar", at)));
      case "regex":
        return this.#grammar(`${at}.pattern`, () => this.#regex(textAt(given, "pattern", at)));
      case "any_text":
        this.sets.push(ANY);
        return { type };
      case "sequence":
      case "or":
        return { type, elements: list("elements") };
      case "tag": {
        const content = this.format(given.content, `${at}.content`, depth);
        return { type, begin: textAt(given, "begin", at), content, end: endAt(given, at) };
      }
      case "tags_with_separator":
        return { type, tags: list("tags", "tag"), separator: textAt(given, "separator", at), ...flags() };
      case "triggered_tags": {
        this.sets.push(ANY); // the free text between them
        const triggers = listAt(given, "triggers", at).map((_, i, all) => textAt(all, String(i), `${at}.triggers`));
        const tags = list("tags", "tag");
        for (const [i, { begin }] of tags.entries()) {
          const found = triggers.filter((trigger) => (begin as string).startsWith(trigger));
          if (found.length !== 1)
            throw wrong(
              `${at}.tags[${i}].begin`,
              `expected to begin with exactly one of the triggers, found ${found.length} of them`,
            );
        }
        return { type, triggers, tags, ...flags() };
      }
    }
  }

  #grammar(at: string, print: () => Printed & { readonly warnings?: readonly string[] }): Json {
    try {
      const { text, sets, warnings = [] } = print();
      for (const set of sets) this.sets.push(set);
      this.warnings.push(...warnings);
      return { type: "grammar", grammar: text };
    } catch (error) {
      if (!(error instanceof RequestError) || error.message.startsWith("structural_tag:")) throw error;
      throw wrong(at, error.message.replace(/^(json_schema|ebnf|regex): /, ""));
    }
  }
}

function wrong(at: string, why: string): RequestError {
  return new RequestError(`structural_tag: ${at}: ${why}`);
}

function objectAt(value: unknown, at: string): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw wrong(at, `expected an object, found ${shown(value)}`);
  return value as Json;
}

function textAt(given: object, key: string, at: string): string {
  const value: unknown = Reflect.get(given, key);
  if (typeof value !== "string" || (value === "" && key !== "begin" && key !== "separator"))
    throw wrong(`${at}.${key}`, `expected a text, found ${shown(value)}`);
  return value;
}

/** xgrammar's later versions take several ends. */
function endAt(given: Json, at: string): string {
  const { end } = given;
  return Array.isArray(end) && end.length === 1 ? textAt(end, "0", `${at}.end`) : textAt(given, "end", at);
}

function listAt(given: Json, key: string, at: string): readonly unknown[] {
  const value = given[key];
  if (!Array.isArray(value) || value.length === 0)
    throw wrong(`${at}.${key}`, `expected a list that is not empty, found ${shown(value)}`);
  return value;
}

function flagAt(given: Json, key: string, at: string): boolean {
  const value = given[key] ?? false;
  if (typeof value !== "boolean") throw wrong(`${at}.${key}`, `expected true or false, found ${shown(value)}`);
  return value;
}

function shown(value: unknown): string {
  return value === undefined ? "nothing" : (JSON.stringify(value) ?? String(value)).slice(0, 80);
}
