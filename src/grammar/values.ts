// From schemas to a grammar: a rule for each set of signed schemas that a value must meet.

import { Expansion } from "./alternatives.ts";
import { arrayBody } from "./arrays.ts";
import { ANY } from "./char_set.ts";
import { dfaKey, namesKey, partsKey, suits } from "./combine.ts";
import { both, type Dfa, either, everything, isEmpty, not } from "./dfa.ts";
import type { Document } from "./document.ts";
import { JsonText } from "./json_text.ts";
import { at, type Json } from "./keywords.ts";
import { type Names, namesDfa } from "./names.ts";
import { whole } from "./nfa.ts";
import { meets, type NumberPart, numbers } from "./numbers.ts";
import { objectBody } from "./objects.ts";
import { type All, type Alternative, type Part, range, TYPES, type Type } from "./parts.ts";
import { anything, choice, literal, repeat, sequence } from "./regex.ts";
import { Rules } from "./rules.ts";
import type { Body, Term } from "./terms.ts";
import { Unsupported } from "./unsupported.ts";
import type { ValueRules } from "./value_rules.ts";

/** The keyword that an error names for a type where nothing more exact is known. */
const USUAL: Readonly<Record<Type, string>> = {
  null: "anyOf",
  boolean: "anyOf",
  number: "multipleOf",
  string: "pattern",
  array: "contains",
  object: "patternProperties",
};

/** Total states of automata of names beyond which each further object gets only few. */
const NAME_STATES = 4000;

export class Values implements ValueRules {
  readonly rules = new Rules();
  readonly json = new JsonText(this.rules);
  /** Sentences about values that a schema allows and the grammar does not write. */
  readonly warnings = new Set<string>();
  readonly #document: Document;
  readonly #expansion: Expansion;
  readonly #known = new Map<string, Term>();
  readonly #leaves = new Map<string, Term>();
  readonly #others = new Map<string, Dfa>();
  readonly #divided = new Map<string, readonly [Dfa, Dfa]>();
  readonly #keys = new Map<Dfa, Term>();
  /** States so far of automata of unlisted names. */
  #nameStates = 0;
  readonly #todo: { readonly name: string; readonly all: All }[] = [];

  constructor(document: Document) {
    this.#document = document;
    this.#expansion = new Expansion(document, (all) => this.strings(all));
  }

  /** Compiles everything that `root` needs. */
  compile(root: All): Term {
    const term = this.value(root);
    for (let next = this.#todo.pop(); next !== undefined; next = this.#todo.pop()) this.#define(next.name, next.all);
    return term;
  }

  /** The rule of values that meet all of these schemas; its body may still be to do. */
  value(wanted: All): Term {
    const all = [...new Set(wanted)].filter((signed) => !this.#isTrivial(signed)).sort((a, b) => a - b);
    if (all.length === 0) return this.json.value;
    const key = all.join();
    const known = this.#known.get(key);
    if (known) return known;
    const name = this.rules.fresh("v");
    const term: Term = { rule: name };
    this.#known.set(key, term);
    this.#todo.push({ name, all });
    return term;
  }

  #isTrivial(signed: number): boolean {
    const { schema, fault } = this.#document.node(signed >> 1);
    if (fault) return false;
    return signed % 2 === 0
      ? schema === true || (schema !== false && Object.keys(schema).length === 0)
      : schema === false;
  }

  #define(name: string, all: All): void {
    const { where } = this.#document.node(all[0]! >> 1);
    const found = at(where, "allOf", () =>
      TYPES.map((type) => ({ type, alternatives: this.#expansion.all(all, type) })),
    );
    if (found.every(({ alternatives }) => alternatives.some(({ parts }) => parts.length === 0))) {
      this.rules.set(name, [[this.json.value]]);
      return;
    }
    const body = found.flatMap(({ type, alternatives }) =>
      alternatives.flatMap((alternative) => at(where, USUAL[type], () => this.#body(type, alternative))),
    );
    this.rules.set(name, body);
  }

  #body(type: Type, { parts }: Alternative): Body {
    switch (type) {
      case "null":
        return [[{ text: "null" }]];
      case "boolean":
        return [false, true]
          .filter((value) => parts.every((part) => part.kind !== "boolean" || part.value === value))
          .map((value) => [{ text: String(value) }]);
      case "number":
        return this.#numbers(parts);
      case "string":
        return this.#strings(parts);
      case "array":
        return arrayBody(parts, this);
      case "object":
        return parts.length === 0 ? [[this.json.object]] : objectBody(parts, this);
    }
  }

  #numbers(found: readonly Part[]): Body {
    const parts = found.flatMap((part) => (part.kind === "number" ? [part.part] : []));
    const list = equals(parts);
    if (list !== null) return list.map((value) => [{ text: JSON.stringify(value) }]);
    if (found.length === 0) return [[this.json.number]];
    if (found.length === parts.length && parts.every((part) => part.kind === "integer" && part.is))
      return [[this.json.integer]];
    return [[this.#once("n", found, () => this.json.plain(preferring(found, numbers(parts))))]];
  }

  #strings(parts: readonly Part[]): Body {
    const list = texts(parts);
    if (list !== null) return list.map((value) => [{ text: JSON.stringify(value) }]);
    if (parts.length === 0) return [[this.json.string]];
    if (parts.every((part) => part.kind === "count")) {
      const { min, max } = range(parts);
      return max !== null && max < min ? [] : [[this.json.sized(min, max)]];
    }
    return [[this.#once("s", parts, () => this.#long(parts) ?? this.json.spelled(shorter(parts)))]];
  }

  /** Texts with high limits of length, where characters can be counted without a state for each. */
  #long(parts: readonly Part[]): Term | null {
    const { min, max } = range(parts);
    if (Math.max(min, max ?? 0) <= LONG) return null;
    return this.json.counted(stringDfa(parts.filter((part) => part.kind !== "count")), min, max);
  }

  /** Makes one rule for equal conditions: a schema often has many texts of one format. */
  #once(kind: string, parts: readonly Part[], spell: () => Term): Term {
    const key = `${kind}\n${partsKey(parts)}`;
    const term = this.#leaves.get(key) ?? spell();
    this.#leaves.set(key, term);
    return term;
  }

  /**
   * Names other than these. Of long lists, names that differ from all of them within
   * the first characters.
   */
  otherNames(names: readonly string[]): Dfa {
    if (names.length === 0) return everything;
    const key = JSON.stringify([...names].sort());
    let dfa = this.#others.get(key);
    if (dfa === undefined) {
      const room = this.#nameStates < NAME_STATES ? NAME_STATES / 4 : NAME_STATES / 100;
      const spelled = names.map((name) => Array.from(name));
      let depth = Math.max(...spelled.map(({ length }) => length));
      while (depth > 1 && new Set(spelled.flatMap((name) => prefixes(name, depth))).size > room) depth--;
      const exact = spelled.map((name) =>
        name.length > depth ? sequence(literal(name.slice(0, depth).join("")), anything) : literal(name.join("")),
      );
      dfa = not(whole(choice(...exact)));
      this.#nameStates += dfa.accepts.length;
      this.#others.set(key, dfa);
    }
    return dfa;
  }

  /** The texts of an automaton that are among the names `by`, and the others. */
  divided(dfa: Dfa, by: Names): readonly [inside: Dfa, outside: Dfa] {
    const key = `${dfaKey(dfa)} ${namesKey(by)}`;
    const known = this.#divided.get(key);
    if (known) return known;
    const names = namesDfa(by);
    const found = [both(dfa, names), both(dfa, not(names))] as const;
    this.#divided.set(key, found);
    return found;
  }

  /** The rule of names, quotes included. */
  keyOf(dfa: Dfa): Term {
    if (dfa.accepts.length === 1 && dfa.accepts[0]) return this.json.string;
    const known = this.#keys.get(dfa) ?? this.json.spelled(dfa);
    this.#keys.set(dfa, known);
    return known;
  }

  /** The strings that meet all of these schemas, as an automaton over their characters. */
  strings(all: All): Dfa {
    return either(not(everything), ...this.#expansion.all(all, "string").map(({ parts }) => stringDfa(parts)));
  }

  /**
   * The values that meet all of these schemas, if they are few and plain: null, booleans, listed
   * numbers and texts.
   */
  few(all: All): readonly Json[] | null {
    const out: Json[] = [];
    for (const type of TYPES) {
      for (const { parts } of this.#expansion.all(all, type)) {
        const numeric = parts.flatMap((part) => (part.kind === "number" ? [part.part] : []));
        const list =
          type === "null"
            ? [null]
            : type === "boolean"
              ? [false, true].filter((v) => parts.every((part) => part.kind !== "boolean" || part.value === v))
              : type === "number"
                ? equals(numeric)
                : type === "string"
                  ? texts(parts)
                  : null;
        if (list === null) return null;
        out.push(...list);
      }
    }
    return [...new Map(out.map((value) => [JSON.stringify(value), value])).values()];
  }

  /** The negation of a single schema; null for several. */
  opposite(all: All): All | null {
    return all.length === 1 ? [all[0]! ^ 1] : null;
  }
}

function prefixes(name: readonly string[], most: number): string[] {
  return Array.from({ length: Math.min(name.length, most) }, (_, i) => name.slice(0, i + 1).join(""));
}

/** The numbers of a list that meet all conditions; null where there is no list. */
function equals(parts: readonly NumberPart[]): readonly number[] | null {
  const given = parts.find((part) => part.kind === "equal" && part.is);
  if (given?.kind !== "equal") return null;
  return given.values.filter((value) => parts.every((part) => meets(value, part)));
}

/** The same for texts. Formats are not applied to a list: the list itself says what is meant. */
function texts(parts: readonly Part[]): readonly string[] | null {
  const given = parts.find((part) => part.kind === "texts" && part.is);
  if (given?.kind !== "texts") return null;
  return given.values.filter((value) => parts.every((part) => suits(value, part)));
}

const LONG = 40;
/**
 * Limits of length that are tried where a pattern or format with a higher one needs
 * too many states.
 */
const SHORTER = [1000, 250, 60];

/**
 * The strings that meet all conditions; only shorter ones, where long ones need too many states.
 */
function shorter(parts: readonly Part[]): Dfa {
  const { min, max } = range(parts);
  for (const most of [Number.POSITIVE_INFINITY, ...SHORTER]) {
    try {
      if (min > most || (most !== Number.POSITIVE_INFINITY && max === null)) break;
      return stringDfa(most >= (max ?? 0) ? parts : [...parts, { kind: "count", min: 0, max: most }]);
    } catch (error) {
      if (!(error instanceof Unsupported)) throw error;
    }
  }
  return stringDfa(parts);
}

function stringDfa(parts: readonly Part[]): Dfa {
  const list = texts(parts);
  if (list !== null) return whole(choice(...list.map(literal)));
  const { min, max } = range(parts);
  const dfas = parts.flatMap((part) => {
    if (part.kind === "match") return [part.is ? part.dfa : not(part.dfa)];
    return part.kind === "texts" ? [not(whole(choice(...part.values.map(literal))))] : [];
  });
  if (max !== null && max < min) return not(everything);
  if (min > 0 || max !== null) dfas.push(whole(repeat({ kind: "set", set: ANY }, min, max ?? undefined)));
  return preferring(parts, both(everything, ...dfas));
}

/** The texts that also follow the formats, or all of them where none does. */
function preferring(parts: readonly Part[], dfa: Dfa): Dfa {
  const formats = parts.flatMap((part) => (part.kind === "format" ? [part.dfa] : []));
  const narrow = formats.length === 0 ? dfa : both(dfa, ...formats);
  if (!isEmpty(narrow)) return narrow;
  return isEmpty(dfa) ? not(everything) : dfa;
}
