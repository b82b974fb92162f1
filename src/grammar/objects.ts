// The rules of objects: the members that the schema names, in its order, then members with other
// names; and their number.

import { ANY } from "./char_set.ts";
import { both, type Dfa, few, isEmpty } from "./dfa.ts";
import { contains, listed, type Names, namesDfa } from "./names.ts";
import { whole } from "./nfa.ts";
import { type All, type Part, range } from "./parts.ts";
import { repeat } from "./regex.ts";
import type { Body, Term } from "./terms.ts";
import { Unsupported } from "./unsupported.ts";
import type { ValueRules } from "./value_rules.ts";

const MAX_NAMED = 2000;
const MAX_COUNT = 40;
const MAX_CLASSES = 32;
const MAX_VARIANTS = 32;
/** Names that are tried where one name of a set is required; further ones are not. */
const MAX_CANDIDATES = 8;

type Each = Extract<Part, { kind: "each" }>;
type One = Extract<Part, { kind: "one" }>;

interface Members {
  readonly each: readonly Each[];
  readonly needed: ReadonlySet<string>;
  /**
   * Conditions of one further member, whose name the schema does not list. Empty: there is
   * no such member.
   */
  readonly fresh: readonly One[];
}

/** Unlisted names whose values are all subject to the same schemas. */
interface Kind {
  readonly dfa: Dfa;
  readonly all: All;
  /** How many of the conditions of the fresh member such a name meets. */
  readonly fresh: number;
}

export function objectBody(parts: readonly Part[], values: ValueRules): Body {
  const { min, max } = range(parts);
  if (max !== null && max < min) return [];
  if (Math.max(min, max ?? 0) > MAX_COUNT) {
    const listedNames = parts.flatMap((part) =>
      part.kind === "need" ? [part.name] : part.kind === "each" ? listed(part.names) : [],
    );
    if (min > MAX_COUNT || new Set(listedNames).size > MAX_COUNT)
      throw new Unsupported(`counts of more than ${MAX_COUNT} properties`);
  }
  const each = parts.flatMap((part) => (part.kind === "each" ? [part] : []));
  const needed = new Set(parts.flatMap((part) => (part.kind === "need" ? [part.name] : [])));
  const ones = parts.flatMap((part) => (part.kind === "one" ? [part] : []));
  const names = [
    ...new Set([
      ...each.flatMap((part) => listed(part.names)),
      ...needed,
      ...ones.flatMap((one) => [...listed(one.names), ...(few(namesDfa(one.names), MAX_CANDIDATES) ?? [])]),
    ]),
  ];
  if (names.length > MAX_NAMED) throw new Unsupported(`more than ${MAX_NAMED} properties in one object`);

  // A required member whose name is from a set: one of the listed names, or a further member
  // at the end.
  let variants: Members[] = [{ each, needed, fresh: [] }];
  for (const one of ones) {
    const candidates = names.filter((name) => contains(one.names, name)).slice(0, MAX_CANDIDATES);
    variants = variants.flatMap((members) => [
      ...candidates.map((name) => ({
        ...members,
        each: [
          ...members.each,
          { kind: "each" as const, names: { atoms: [{ name, key: `=${name}` }], negated: false }, all: one.all },
        ],
        needed: new Set([...members.needed, name]),
      })),
      { ...members, fresh: [...members.fresh, one] },
    ]);
    const size = (members: Members): number => members.needed.size + Math.min(members.fresh.length, 1);
    // Keeps the variants that need the fewest members; the grammar writes nothing of the others.
    variants = variants
      .filter((members) => max === null || size(members) <= max)
      .sort((a, b) => size(a) - size(b))
      .slice(0, MAX_VARIANTS);
  }
  return variants.map((members) => [
    { text: "{" },
    values.json.space,
    new Writer(values, names, members, min, max).first,
  ]);
}

class Writer {
  readonly #values: ValueRules;
  readonly #names: readonly string[];
  readonly #members: Members;
  readonly #min: number;
  readonly #max: number | null;
  readonly #kinds: readonly Kind[];
  readonly #known = new Map<string, Term>();
  readonly first: Term;

  constructor(values: ValueRules, names: readonly string[], members: Members, min: number, max: number | null) {
    this.#values = values;
    this.#names = names;
    this.#members = members;
    this.#min = min;
    this.#max = max;
    // Members that no keyword mentions are allowed but not written: a model would only invent them.
    const spoken = members.each.some(
      ({ names: { atoms, negated } }) => negated || atoms.some((atom) => !("name" in atom)),
    );
    const wanted = spoken || names.length === 0 || members.fresh.length > 0 || min > names.length;
    this.#kinds = wanted ? this.#others() : [];
    this.first = this.#named(0, 0, false);
  }

  /** The unlisted names, grouped by the schemas of their values. */
  #others(): readonly Kind[] {
    const names = this.#names;
    const { each, fresh } = this.#members;
    const base = this.#values.otherNames(names);
    let kinds: Kind[] = [{ dfa: base, all: [], fresh: 0 }];
    const split = (by: Names, change: (kind: Kind) => Kind): void => {
      if (by.atoms.every((atom) => "name" in atom)) {
        // All of these names are listed ones.
        if (by.negated) kinds = kinds.map(change);
        return;
      }
      kinds = kinds.flatMap((kind) => {
        const [inside, outside] = this.#values.divided(kind.dfa, by);
        return [
          ...(isEmpty(inside) ? [] : [change({ ...kind, dfa: inside })]),
          ...(isEmpty(outside) ? [] : [{ ...kind, dfa: outside }]),
        ];
      });
      if (kinds.length > MAX_CLASSES) throw new Unsupported("patterns for names that overlap in so many ways");
    };
    for (const part of each) split(part.names, (kind) => ({ ...kind, all: [...kind.all, ...part.all] }));
    for (const one of fresh) split(one.names, (kind) => ({ ...kind, fresh: kind.fresh + 1 }));
    return kinds;
  }

  #rule(key: string, body: () => Body): Term {
    const found = this.#known.get(key);
    if (found) return found;
    const name = this.#values.rules.fresh("o");
    this.#known.set(key, { rule: name });
    this.#values.rules.set(name, body());
    return { rule: name };
  }

  #counted(count: number): number {
    return this.#max === null ? Math.min(count, this.#min) : count;
  }

  /** Members from the i-th name on, after `count` members. */
  #named(i: number, count: number, some: boolean): Term {
    const { json } = this.#values;
    const name = this.#names[i];
    if (name === undefined) return this.#extra(count, 0, some);
    return this.#rule(`${i} ${count} ${some}`, () => {
      const body: Term[][] = [];
      if (this.#max === null || count < this.#max) {
        const all = this.#members.each.flatMap((part) => (contains(part.names, name) ? part.all : []));
        const member = [{ text: JSON.stringify(name) }, json.colon, this.#values.value(all)];
        body.push([...(some ? [json.comma] : []), ...member, this.#named(i + 1, this.#counted(count + 1), true)]);
      }
      if (!this.#members.needed.has(name)) body.push([this.#named(i + 1, count, some)]);
      return body;
    });
  }

  /**
   * Members with unlisted names. A name that comes twice counts once, so members that are needed to
   * reach the minimum get names of different lengths, and a member that must meet a schema comes
   * last, so that no other replaces it.
   */
  #extra(count: number, extras: number, some: boolean): Term {
    const { json } = this.#values;
    const { fresh } = this.#members;
    return this.#rule(`+ ${count} ${extras} ${some}`, () => {
      const body: Term[][] = [];
      const end: Term[] = [...(some ? [json.space] : []), { text: "}" }];
      const room = this.#max === null || count < this.#max;
      if (fresh.length === 0 && count >= this.#min) body.push(end);
      if (!room) return body;
      const comma = some ? [json.comma] : [];
      if (fresh.length > 0 && (count >= this.#min || (extras === 0 && count + 1 >= this.#min))) {
        for (const kind of this.#kinds)
          if (kind.fresh === fresh.length) {
            const all = fresh.flatMap((one) => one.all);
            body.push([...comma, ...this.#member(kind, all), json.space, { text: "}" }]);
          }
      }
      const missing = this.#min - count;
      const apart = missing > 1 || (missing === 1 && extras > 0);
      for (const kind of this.#kinds) {
        const own = apart ? withLength(kind, extras) : kind;
        if (own)
          body.push([
            ...comma,
            ...this.#member(own, []),
            this.#extra(this.#counted(count + 1), missing > 0 ? extras + 1 : 1, true),
          ]);
      }
      return body;
    });
  }

  #member(kind: Kind, more: All): Term[] {
    const { json } = this.#values;
    return [this.#values.keyOf(kind.dfa), json.colon, this.#values.value([...kind.all, ...more])];
  }
}

/** The names of a single length, a different one for each `index`; null if there are none. */
function withLength(kind: Kind, index: number): Kind | null {
  let found = -1;
  for (let length = 0; length < MAX_COUNT * 2; length++) {
    const dfa = both(kind.dfa, whole(repeat({ kind: "set", set: ANY }, length, length)));
    if (!isEmpty(dfa) && ++found === index) return { ...kind, dfa };
  }
  return null;
}
