// From schemas to a grammar: one rule for each set of signed schemas that a value must meet.

import { Expansion } from "./alternatives.ts";
import { arrayBody } from "./arrays.ts";
import { accepts, both, type Dfa, either, everything, isEmpty, not, whole } from "./automaton.ts";
import { ANY } from "./char_set.ts";
import { at, type Document, type Json } from "./document.ts";
import { JsonText } from "./json_text.ts";
import { meets, type NumberPart, numbers } from "./numbers.ts";
import { objectBody } from "./objects.ts";
import { type All, type Alternative, type Part, TYPES, type Type } from "./parts.ts";
import { literal, repeat } from "./regex.ts";
import { type Body, Rules, type Term } from "./rules.ts";

/** The keyword that a type's limits are named by where nothing more exact is known. */
const USUAL: Readonly<Record<Type, string>> = {
  null: "anyOf",
  boolean: "anyOf",
  number: "multipleOf",
  string: "pattern",
  array: "contains",
  object: "patternProperties",
};

export class Values {
  readonly rules = new Rules();
  readonly json = new JsonText(this.rules);
  readonly #document: Document;
  readonly #expansion: Expansion;
  readonly #known = new Map<string, Term>();
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

  /** The rule of values that meet all of them; its body may still be to do. */
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
    const { schema } = this.#document.node(signed >> 1);
    return signed % 2 === 0
      ? schema === true || (schema !== false && Object.keys(schema).length === 0)
      : schema === false;
  }

  #define(name: string, all: All): void {
    const { where } = this.#document.node(all[0]! >> 1);
    const found = TYPES.map((type) => ({ type, alternatives: this.#expansion.all(all, type) }));
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
    if (parts.length === 0) return [[this.json.number]];
    if (parts.every((part) => part.kind === "integer" && part.is)) return [[this.json.integer]];
    return [[this.json.plain(numbers(parts))]];
  }

  #strings(parts: readonly Part[]): Body {
    const list = texts(parts);
    if (list !== null) return list.map((value) => [{ text: JSON.stringify(value) }]);
    if (parts.length === 0) return [[this.json.string]];
    if (parts.every((part) => part.kind === "count")) {
      const { min, max } = range(parts);
      return max !== null && max < min ? [] : [[this.json.sized(min, max)]];
    }
    return [[this.json.spelled(stringDfa(parts))]];
  }

  /** The strings that meet all of them, as an automaton over their characters. */
  strings(all: All): Dfa {
    return either(not(everything), ...this.#expansion.all(all, "string").map(({ parts }) => stringDfa(parts)));
  }

  /** The values that meet all of them, if they are few and plain: null, booleans, and numbers and texts in a list. */
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

  /** The schema that must not hold where this one must, and the other way round. */
  opposite(all: All): All | null {
    return all.length === 1 ? [all[0]! ^ 1] : null;
  }
}

/** The least and most that all counts allow. */
export function range(parts: readonly Part[]): { readonly min: number; readonly max: number | null } {
  let min = 0;
  let max: number | null = null;
  for (const part of parts) {
    if (part.kind !== "count") continue;
    min = Math.max(min, part.min);
    if (part.max !== null) max = max === null ? part.max : Math.min(max, part.max);
  }
  return { min, max };
}

/** The numbers of a list that meet everything, or null where there is no list. */
function equals(parts: readonly NumberPart[]): readonly number[] | null {
  const given = parts.find((part) => part.kind === "equal" && part.is);
  if (given?.kind !== "equal") return null;
  return parts.every((part) => meets(given.value, part)) ? [given.value] : [];
}

function texts(parts: readonly Part[]): readonly string[] | null {
  const given = parts.find((part) => part.kind === "text" && part.is);
  if (given?.kind !== "text") return null;
  const { min, max } = range(parts);
  const length = Array.from(given.value).length;
  const good = parts.every((part) => {
    if (part.kind === "text") return (part.value === given.value) === part.is;
    return part.kind !== "match" || accepts(part.dfa, given.value) === part.is;
  });
  return good && length >= min && (max === null || length <= max) ? [given.value] : [];
}

function stringDfa(parts: readonly Part[]): Dfa {
  const list = texts(parts);
  const { min, max } = range(parts);
  const dfas = parts.flatMap((part) => {
    if (part.kind === "match") return [part.is ? part.dfa : not(part.dfa)];
    if (part.kind === "text") return [part.is ? whole(literal(part.value)) : not(whole(literal(part.value)))];
    return [];
  });
  if (list?.length === 0 || (max !== null && max < min)) return not(everything);
  if (min > 0 || max !== null) dfas.push(whole(repeat({ kind: "set", set: ANY }, min, max ?? undefined)));
  const dfa = both(everything, ...dfas);
  return isEmpty(dfa) ? not(everything) : dfa;
}
