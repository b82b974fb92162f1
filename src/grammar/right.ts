// Rewrites a grammar so that its rules end only where they must, not in the middle of a repetition.
//
// For each place in a rule, xgrammar precomputes which tokens fit there, up to the end of the rule.
// Tokens that continue past the end are tried one by one, again for each mask. In `"a" (x)* "b"`
// each x would be such an end. Written right-recursively, `"a" more` with `more ::= x more | "b"`,
// there is only the end of the whole.

import type { CharSet } from "./char_set.ts";
import { type Body, rulesIn, type Term } from "./terms.ts";
import { Unsupported } from "./unsupported.ts";

/**
 * A rule whose alternatives consist of texts, sets and rules only. A set with characters beyond
 * ASCII comes first, followed by at most one rule.
 */
export interface Rule {
  readonly body: Body;
  /** No token may continue past the end of this rule: a rule beside it allows those tokens. */
  readonly apart: boolean;
}

/**
 * Repetitions up to this number are counted one by one; beyond it in steps, with a window of single
 * counts beside them.
 */
const WINDOW = 32;
/**
 * Half a window: at least so many single counts always lie ahead, which is more characters than
 * almost any token has.
 */
const STEP = WINDOW / 2;
/** Steps are chained up to so many repetitions; beyond that, blocks of steps are repeated. */
const MAX_CHAINED = 4096;
const MAX_CHAINED_LEAST = 16 * MAX_CHAINED;
const BLOCK = 16 * STEP;
/** Most rules of a grammar. */
export const MAX_RULES = 60_000;
/** Most rules that are written out where they are used. */
const MAX_INLINED = 4000;

/**
 * @param bodies the rules of a grammar, each of which derives some text
 * @param inline whether to write out small rules where something follows them
 */
export function rightRecursive(bodies: ReadonlyMap<string, Body>, inline: boolean): Map<string, Rule> {
  return new Rewriter(bodies, inline).rules();
}

class Rewriter {
  readonly #bodies: ReadonlyMap<string, Body>;
  readonly #out = new Map<string, Rule>();
  readonly #named = new Map<string, Term>();
  readonly #made = new Set<string>();
  readonly #small: ReadonlySet<string>;
  #inlined = 0;
  #apart = false;

  constructor(bodies: ReadonlyMap<string, Body>, inline: boolean) {
    this.#bodies = bodies;
    this.#small = inline ? acyclic(bodies) : new Set();
  }

  rules(): Map<string, Rule> {
    for (const [name, body] of this.#bodies) this.#set(name, this.#body(body, []));
    return this.#out;
  }

  #set(name: string, body: Body): void {
    if (this.#out.size >= MAX_RULES) throw new Unsupported("a schema of so many states");
    this.#out.set(name, { body, apart: this.#apart });
  }

  /** A new rule, or the one that was made for the same key. */
  #rule(key: string, body: (self: Term) => Body): Term {
    const whole = `${this.#apart}${key}`;
    const known = this.#named.get(whole);
    if (known) return known;
    const self = { rule: `r_${this.#named.size}` };
    this.#named.set(whole, self);
    this.#made.add(self.rule);
    this.#set(self.rule, []);
    this.#set(self.rule, body(self));
    return self;
  }

  #body(body: Body, then: readonly Term[]): Term[][] {
    return body.flatMap((terms) => this.#sequence(terms, then));
  }

  /** The alternatives of a sequence followed by `then`, a rule or nothing. */
  #sequence(terms: readonly Term[], then: readonly Term[]): Term[][] {
    const at = terms.findIndex((term, i) => this.#isWrapped(term, i === terms.length - 1 && then.length === 0));
    if (at < 0) return [[...terms, ...then]];
    const term = terms[at]!;
    const rest = this.#after(terms.slice(at + 1), then);
    const found =
      "of" in term
        ? this.#repeat(term, rest)
        : "any" in term
          ? this.#body(term.any, rest)
          : "rule" in term
            ? this.#body(this.#bodies.get(term.rule)!, rest)
            : [[term, ...rest]];
    if (at === 0) return found;
    return [[...terms.slice(0, at), this.#rule(JSON.stringify(found), () => found)]];
  }

  /** Whether the alternatives of a term must be written out in front of what follows it. */
  #isWrapped(term: Term, last: boolean): boolean {
    if ("set" in term) return isWide(term.set);
    if (!("rule" in term)) return !("text" in term);
    return !last && this.#small.has(term.rule) && ++this.#inlined <= MAX_INLINED;
  }

  #after(terms: readonly Term[], then: readonly Term[]): readonly Term[] {
    if (terms.length === 0) return then;
    if (terms.length === 1 && then.length === 0 && "rule" in terms[0]!) return terms;
    return [this.#rule(`after ${JSON.stringify([terms, then])}`, () => this.#sequence(terms, then))];
  }

  #repeat({ of, min, max }: Extract<Term, { readonly of: readonly Term[] }>, then: readonly Term[]): Term[][] {
    const key = JSON.stringify([of, then]);
    const more =
      max === null
        ? [this.#rule(`star ${key}`, (self) => [...this.#sequence(of, [self]), ...this.#spelledOut(then)])]
        : this.#most(of, max - min, then, key);
    return this.#spelledOut(this.#least(of, min, more));
  }

  /** The alternatives of a rule made here, in place of its name. */
  #spelledOut(terms: readonly Term[]): Term[][] {
    const [only] = terms;
    const made = only && "rule" in only && this.#made.has(only.rule) ? this.#out.get(only.rule)!.body : [];
    return (made.length === 0 ? [terms] : made).map((one) => [...one]);
  }

  /** Up to `count` repetitions of `of`, then `then`. */
  #most(of: readonly Term[], count: number, then: readonly Term[], key: string): readonly Term[] {
    if (count <= 0) return then;
    if (count > MAX_CHAINED) {
      // The rest may begin after any block; it continues for a window more than a block.
      const blocks = Math.floor((count - BLOCK - WINDOW) / BLOCK);
      const rest = this.#most(of, count - blocks * BLOCK, then, key);
      const some: Term = { of: [this.#exactly(of, BLOCK)], min: 0, max: blocks };
      return [this.#rule(`most ${count} ${key}`, () => [[some, ...rest]])];
    }
    let at = then;
    const one = (n: number): void => {
      const before = at;
      at = [this.#rule(`most ${n} ${key}`, () => [...this.#sequence(of, before), ...this.#spelledOut(then)])];
    };
    if (count <= WINDOW) {
      for (let n = 1; n <= count; n++) one(n);
      return at;
    }
    const window = this.#most(of, WINDOW, then, key);
    const first = count % STEP;
    at = this.#most(of, WINDOW - STEP + first, then, key);
    for (let n = WINDOW + first; n <= count; n += STEP) {
      const before = at;
      if (n === WINDOW) at = window;
      else at = [this.#rule(`most ${n} ${key}`, () => [[this.#exactly(of, STEP), ...before], window])];
    }
    return at;
  }

  /** Exactly `count` repetitions of `of`, then `then`. */
  #least(of: readonly Term[], count: number, then: readonly Term[]): readonly Term[] {
    if (count <= 0) return then;
    const key = JSON.stringify([of, then]);
    if (count > MAX_CHAINED_LEAST) {
      const blocks = Math.floor((count - WINDOW) / BLOCK);
      const rest = this.#least(of, count - blocks * BLOCK, then);
      const some: Term = { of: [this.#exactly(of, BLOCK)], min: blocks, max: blocks };
      return [this.#rule(`least ${count} ${key}`, () => [[some, ...rest]])];
    }
    const known: (readonly Term[])[] = [then];
    for (let n = 1; n <= Math.min(count, WINDOW); n++) {
      const before = known[n - 1]!;
      known.push([this.#rule(`least ${n} ${key}`, () => this.#sequence(of, before))]);
    }
    if (count <= WINDOW) return known[count]!;
    const first = count % STEP;
    let [far, near] = [known[first]!, known[first + STEP]!];
    for (let n = WINDOW + first; n <= count; n += STEP) {
      const [before, later] = [near, far];
      far = near;
      if (n === WINDOW) near = known[WINDOW]!;
      else
        near = [
          this.#rule(`least ${n} ${key}`, () => [
            [this.#exactly(of, STEP), ...before],
            [this.#window(of), ...later],
          ]),
        ];
    }
    return near;
  }

  /** A count that only keeps account: a window beside it says which tokens may come. */
  #exactly(of: readonly Term[], count: number): Term {
    return this.#apartly(() => {
      const one = this.#rule(`one ${JSON.stringify(of)}`, () => this.#sequence(of, []));
      const step = this.#rule(`step ${JSON.stringify(of)}`, () => [Array<Term>(STEP).fill(one)]);
      if (count === STEP) return step;
      return this.#rule(`block ${JSON.stringify(of)}`, () => [Array<Term>(BLOCK / STEP).fill(step)]);
    });
  }

  #window(of: readonly Term[]): Term {
    return this.#apartly(() => this.#least(of, WINDOW, [])[0]!);
  }

  #apartly(make: () => Term): Term {
    const before = this.#apart;
    this.#apart = true;
    try {
      return make();
    } finally {
      this.#apart = before;
    }
  }
}

/** Whether a set has characters beyond ASCII, which are several bytes. */
export function isWide(set: CharSet): boolean {
  return set.length > 0 && set[set.length - 1]! > 0x7f;
}

/** Rules that never refer to themselves, directly or through others. */
function acyclic(bodies: ReadonlyMap<string, Body>): Set<string> {
  const users = new Map<string, string[]>();
  const waits = new Map<string, number>();
  for (const [name, body] of bodies) {
    const used = new Set(rulesIn(body));
    waits.set(name, used.size);
    for (const one of used) {
      const known = users.get(one);
      if (known) known.push(name);
      else users.set(one, [name]);
    }
  }
  const done = [...waits].flatMap(([name, count]) => (count === 0 ? [name] : []));
  for (const name of done) {
    for (const user of users.get(name) ?? []) {
      waits.set(user, waits.get(user)! - 1);
      if (waits.get(user) === 0) done.push(user);
    }
  }
  return new Set(done);
}
